"""The checks that built-in optimizers are excused from, with the reason; a test verifies that each excuse is needed."""

from __future__ import annotations

from collections.abc import Mapping

EXCUSES: Mapping[str, Mapping[str, str]] = {
    "options are accepted": {"adan": "its package's max_grad_norm fails on a parameter without dimensions"},
    "still at a rate of zero": {"rprop": "its smallest step, 1e-6, does not depend on lr"},
    "follows a schedule": {"rprop": "lr only sets the size of its first step"},
    "groups have rates of their own": {"rprop": "its smallest step, 1e-6, does not depend on lr"},
    "foreach makes the same steps": dict.fromkeys(
        ("hf", "bdhf", "sfn", "sfn_fixed"), "it refuses foreach: all parameters are one vector already"
    ),
    "state is as stated": {"lbfgs": "it grows until history_size steps are kept"},
}

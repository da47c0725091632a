"""What cannot be asked of an optimizer that comes with the tool, with the reason; a test sees that each is needed."""

from __future__ import annotations

from collections.abc import Mapping

EXCUSES: Mapping[str, Mapping[str, str]] = {
    "options are accepted": {"adan": "its package's max_grad_norm fails on a parameter without dimensions"},
    "still at a rate of zero": {"rprop": "its least step, 1e-6, is apart from lr"},
    "follows a schedule": {"rprop": "lr is the size of its first step only"},
    "groups have rates of their own": {"rprop": "its least step, 1e-6, is apart from lr"},
    "foreach makes the same steps": dict.fromkeys(
        ("hf", "bdhf", "sfn", "sfn_fixed"), "it refuses foreach: all parameters are one vector already"
    ),
    "state is the stated": {"lbfgs": "it grows until history_size steps are kept"},
}

"""The values an optimizer's options may have; a wrong one is refused with its name, its value and what is allowed."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is allowed, and in words which values are."""


def is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether `value` is a finite number in [least, most]; a tensor of one element counts, a bool does not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    number = number or (isinstance(value, Tensor) and value.numel() == 1)
    return number and math.isfinite(value) and bool(least <= value <= most)


def is_integer(value: Any, least: int) -> bool:
    """Whether `value` is an integer >= `least`; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_part(value: Any) -> bool:
    """Whether `value` is a number in [0, 1)."""
    return is_number(value, 0.0, 1.0) and bool(value < 1)


NOT_NEGATIVE: Rule = (lambda v: is_number(v, 0.0), "a number >= 0")
BETAS: Rule = (lambda v: isinstance(v, tuple | list) and len(v) == 2 and all(map(is_part, v)), "two numbers in [0, 1)")
FLAG: Rule = (lambda v: isinstance(v, bool), "True or False")
PART: Rule = (is_part, "a number in [0, 1)")
POSITIVE: Rule = (lambda v: is_number(v, 0.0) and v > 0, "a number > 0")
COUNT: Rule = (lambda v: is_integer(v, 0), "an integer >= 0")
FOREACH: Rule = (lambda v: v is None or isinstance(v, bool), "None, True or False")


def off(reason: str) -> Rule:
    """The rule for an option of other optimizers that can only be off here."""
    return (lambda v: v is None or v is False, f"False: {reason}")


CONVENTIONS: dict[str, Rule] = {
    "maximize": FLAG,
    "capturable": off("counters and random signs live on the host, and a captured CUDA graph would freeze them"),
    "differentiable": off("the update is not differentiated through"),
    "fused": off("there is no fused kernel; foreach=True is the fast path"),
}
"""Options that many of torch's optimizers have: which of them work here, and why the others do not."""


def check_options(options: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Refuse options that break their rule.

    Raises:
        ValueError: naming the option, its value and what is allowed.
    """
    for name, (valid, allowed) in rules.items():
        if name in options and not valid(options[name]):
            raise ValueError(f"{name} must be {allowed}, got {options[name]!r}")

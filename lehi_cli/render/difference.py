"""The difference of two optimizers as text: the same number, sign and interval in tables and in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable

from lehi_cli.stats.paired import Interval
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.verdict import Verdict

from .numbers import with_interval

FACTOR = 2.0  # from here on a ratio is shown as a factor: 16 times, not 1500 % higher
FAR = 5.0  # so is a ratio whose interval reaches this far


def shown_difference(scale: Scale, difference: float, interval: Interval) -> str:
    """`-5.6 % [-7.8, -3.3]`, `x16.1 [15.2, 17.0]`, `-0.0037 [-0.0059, -0.0015]`; `-` if there is none.

    Negative values, and factors below 1, favour the candidate. An interval with an infinite end is not shown.
    """
    if not math.isfinite(difference):
        return "-"
    convert, mark, unit = _units(scale, difference, interval)
    value, low, high = _numbers(convert, difference, interval)
    return f"{mark}{value}{unit}{f' [{low}, {high}]' if low else ''}"


def size_in_words(verdict: Verdict) -> str:
    """`5.6 % lower [3.3, 7.8]`, `16.1 times as high [15.2, 17.0]`, `no different`; empty if there are no values."""
    scale, difference, interval = verdict.scale, verdict.difference, verdict.interval
    if not math.isfinite(difference):
        return ""
    if not difference:
        return "no different"
    if _is_factor(scale, difference, interval):
        value, low, high = _numbers(math.exp, difference, interval)
        return f"{value} times as high{f' [{low}, {high}]' if low else ''}"
    is_lower = difference < 0
    if is_lower:
        convert = _lower_percent if scale.kind == "ratio" else _negative
        interval = Interval(interval.high, interval.low)
    else:
        convert = _percent if scale.kind == "ratio" else _same
    value, low, high = _numbers(convert, difference, interval)
    unit = " %" if scale.kind == "ratio" else ""
    center = " in the median" if verdict.center == "median" else ""
    direction = "lower" if is_lower else "higher"
    return f"{value}{unit} {direction}{center}{f' [{low}, {high}]' if low else ''}"


def what_is_compared(scale: Scale, split: str, metric: str) -> str:
    """`val loss`, `val loss above its floor`, `val error rate`."""
    if scale.best is not None:
        return f"{split} error rate" if metric == "accuracy" else f"{split} {metric} missing to {scale.best:g}"
    return f"{split} {metric}" + (" above its floor" if scale.floor is not None else "")


def _units(scale: Scale, difference: float, interval: Interval) -> tuple[Callable[[float], float], str, str]:
    if _is_factor(scale, difference, interval):
        return math.exp, "x", ""
    return (_percent, "", " %") if scale.kind == "ratio" else (_same, "", "")


def _is_factor(scale: Scale, difference: float, interval: Interval) -> bool:
    is_far = math.log(FAR) <= interval.high < math.inf
    return scale.kind == "ratio" and (difference >= math.log(FACTOR) or is_far)


def _numbers(convert: Callable[[float], float], difference: float, interval: Interval) -> tuple[str, str, str]:
    """The number and the ends, factors to three digits each; without ends if one is infinite."""
    if not all(map(math.isfinite, interval)):
        return f"{convert(difference):.3g}", "", ""
    if convert is math.exp:
        return f"{math.exp(difference):.3g}", f"{math.exp(interval.low):.3g}", f"{math.exp(interval.high):.3g}"
    return with_interval(convert(difference), convert(interval.low), convert(interval.high))


def _percent(log_ratio: float) -> float:
    return 100 * math.expm1(log_ratio)


def _lower_percent(log_ratio: float) -> float:
    return 0.0 - _percent(log_ratio)


def _negative(value: float) -> float:
    return 0.0 - value


def _same(value: float) -> float:
    return value

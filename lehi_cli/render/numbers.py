"""Numbers as text, with no more digits than they deserve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.stats import Estimate

PLAIN_DIGITS = 4
LARGE = 1e6  # from here on there are too many digits before the point
SMALL = 1e-6  # below this, too many after it


def with_spread(value: Estimate) -> str:
    """`0.0821±0.0032`: the standard deviation to two digits, the mean to the same place; `0.08213` for one run."""
    if not math.isfinite(value.mean):
        return "-"
    if not math.isfinite(value.sd):
        return compact(value.mean)
    if value.sd <= 1e-12 * abs(value.mean):  # equal but for rounding in the mean
        return f"{compact(value.mean)}±0"
    if not SMALL <= value.sd < LARGE:
        digits = 2 + max(_exponent(value.mean) - _exponent(value.sd), 0) if value.mean else 2
        return f"{value.mean:.{digits}g}±{value.sd:.2g}"
    return "±".join(_to_second_digit([value.mean, value.sd], value.sd))


def mean_as_shown(value: Estimate) -> str:
    """The mean as `with_spread` writes it, without trailing zeros: means look alike if this is equal."""
    text = with_spread(value).partition("±")[0]
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def with_interval(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A number and the ends of its interval, to the second digit of half the interval, or to three digits."""
    half = (high - low) / 2
    if not SMALL <= half < LARGE:
        return f"{value:.3g}", f"{low:.3g}", f"{high:.3g}"
    number, low_end, high_end = _to_second_digit([value, low, high], half)
    return number, low_end, high_end


def _to_second_digit(values: Sequence[float], of: float) -> list[str]:
    places = max(1 - _exponent(of), 0)
    return [f"{value:z.{places}f}" for value in values]


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def compact(value: float) -> str:
    """A number to four digits: `600`, `0.08213`, `1.2e-07`."""
    if not math.isfinite(value):
        return "-"
    if value == round(value) and abs(value) < LARGE:
        return f"{value:.0f}"
    return f"{value:.{PLAIN_DIGITS}g}"


def duration(seconds: float) -> str:
    """A span of time in at most two units: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def p_value(p: float) -> str:
    """`0.012`, `<0.0001`, or `-` if there is none."""
    if math.isnan(p):
        return "-"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def finite_or_none(value: float) -> float | None:
    """A number for JSON, which has only finite ones; None for any other."""
    return value if math.isfinite(value) else None

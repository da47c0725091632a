"""Numbers as text, with no more digits than they deserve."""

from __future__ import annotations

import math

from lehi_cli.stats import Estimate

PLAIN_DIGITS = 4
LARGE = 1e6  # from here on digits before the point are too many


def with_spread(value: Estimate) -> str:
    """`0.0821±0.0032`: the standard deviation to two digits, the mean to the same place; `0.08213` for one run."""
    if not math.isfinite(value.mean):
        return "-"
    if not math.isfinite(value.sd):
        return compact(value.mean)
    if value.sd <= 1e-12 * abs(value.mean):  # equal but for rounding in the mean
        return f"{compact(value.mean)}±0"
    if value.sd >= LARGE:
        return f"{value.mean:.2g}±{value.sd:.2g}"
    places = min(max(1 - math.floor(math.log10(value.sd)), 0), 6)
    return f"{value.mean:.{places}f}±{value.sd:.{places}f}"


def compact(value: float) -> str:
    """A number to four digits: `600`, `0.08213`, `1.2e-07`."""
    if not math.isfinite(value):
        return "-"
    if value == round(value) and abs(value) < LARGE:
        return f"{value:.0f}"
    return f"{value:.{PLAIN_DIGITS}g}"


def duration(seconds: float) -> str:
    """A span of time in two units at most: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
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
    """`0.012`, `<0.0001`, or `-` where there is none."""
    if math.isnan(p):
        return "-"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def finite(value: float) -> float | None:
    """A number for JSON, which knows no others; None in place of one that is not finite."""
    return value if math.isfinite(value) else None

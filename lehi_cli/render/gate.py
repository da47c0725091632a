"""The assertions and their outcomes: a table, then the reasons for those that are not true."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lehi_cli.stats.scale import Scale

from .difference import shown_difference
from .document import Block, Column, Lines, Part, Table
from .numbers import finite_or_none, p_value, with_interval

if TYPE_CHECKING:
    from lehi_cli.gate import Check

OUTCOMES = ("true", "false", "inconclusive")
CAPTION = (
    "difference: left side minus right, in % where the verdict is on a ratio, mean over the seeds (median where a run "
    "has no value), with its 90 % interval, 95 % where seeds were added after a look; p: one-sided, in the direction "
    "of the difference, so it asks for less than the two-sided verdict"
)


def gate_part(checks: Sequence[Check]) -> Part:
    """The checks as a part of the report, in their order."""
    counts: Counter[str] = Counter(check.outcome for check in checks)
    subtitle = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    columns = [
        Column("assertion", right=False),
        Column("task", right=False),
        Column("outcome", right=False),
        Column("difference [interval]"),
        Column("n"),
        Column("p"),
    ]
    rows = [
        [check.assertion.text, check.task, check.outcome, _difference(check), str(check.n), p_value(check.p)]
        for check in checks
    ]
    blocks: list[Block] = [Table(columns, rows, CAPTION)]
    reasons = [
        f"{in_one_line(check)}: {check.reason}"
        for check in checks
        if check.outcome != "true" or _is_unequal(check) or "skewed" in check.reason
    ]
    return Part("assertions", subtitle, [*blocks, *([Lines(reasons)] if reasons else [])])


def in_one_line(check: Check) -> str:
    """What was asserted, where, at what price, and the outcome."""
    price = f", {check.price}," if _is_unequal(check) else ""
    return f"{check.assertion.text} on {check.task}{price} is {check.outcome}"


def _is_unequal(check: Check) -> bool:
    return bool(check.price) and check.price != "at equal price"


def gate_data(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The checks for a JSON document; a number that is not finite is null.

    [{"assertion", "task", "outcome": "true", "false" or "inconclusive", "n", "center", "difference",
      "interval": [low, high], "price", "is_ratio", "p", "reason"}]

    "difference" and "interval" are of logarithms if "is_ratio".

    """
    return [
        {
            "assertion": check.assertion.text,
            "task": check.task,
            "outcome": check.outcome,
            "n": check.n,
            "center": check.center,
            "difference": finite_or_none(check.difference),
            "interval": [finite_or_none(end) for end in check.interval],
            "price": check.price,
            "is_ratio": check.is_ratio,
            "p": finite_or_none(check.p),
            "reason": check.reason,
        }
        for check in checks
    ]


def _difference(check: Check) -> str:
    """`-0.0074 [-0.0100, -0.0048]`, to the second digit of half the interval; one number if it is exact."""
    low, high = check.interval
    if math.isnan(check.difference):
        return "-"
    if check.is_ratio:
        return shown_difference(Scale("ratio"), check.difference, check.interval)
    if low == high:
        return f"{check.difference:.4g}"
    difference, low_end, high_end = with_interval(check.difference, low, high)
    return f"{difference} [{low_end}, {high_end}]"

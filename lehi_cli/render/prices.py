"""The price of a step against the reference's: a table, and the meaning of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.filesize import decimal

from lehi_cli.analysis.prices import Price, PriceList
from lehi_cli.stats.paired import Interval

from .document import Block, Column, Heading, Lines, Table
from .numbers import compact, finite_or_none

PASSES = "passes in gradients (forward + backward)"
STATE = "state: bytes that the optimizer keeps per parameter"


def price_blocks(prices: PriceList) -> list[Block]:
    """A heading, one row per optimizer, and what could not be measured."""
    blocks: list[Block] = [Heading(_heading(prices)), _table(prices)]
    notes = [f"{price.label}: {price.note}" for price in prices.prices if price.note]
    return [*blocks, Lines(notes)] if notes else blocks


def price_content(prices: PriceList) -> dict[str, Any]:
    """The prices for a JSON document; unknown values are null.

    {"source": "measured" or "runs", "how", "device", "device_name", "threads", "reference", "memory", "prices": [{
        "label", "passes_per_step", "ms_per_step", "ms_quartiles": [first, third], "ratio",
        "ratio_interval": [low, high], "peak_bytes", "state_bytes_per_parameter", "rounds", "note"}]}

    """
    return {
        "source": prices.source,
        "how": prices.how,
        "device": prices.device,
        "device_name": prices.device_name,
        "threads": prices.threads,
        "reference": prices.reference,
        "memory": prices.memory,
        "prices": [_content(price) for price in prices.prices],
    }


def _content(price: Price) -> dict[str, Any]:
    return {
        "label": price.label,
        "passes_per_step": finite_or_none(price.passes_per_step),
        "ms_per_step": finite_or_none(price.ms_per_step),
        "ms_quartiles": [finite_or_none(end) for end in price.ms_quartiles],
        "ratio": finite_or_none(price.ratio),
        "ratio_interval": [finite_or_none(end) for end in price.ratio_interval],
        "peak_bytes": price.peak_bytes,
        "state_bytes_per_parameter": finite_or_none(price.state_bytes_per_parameter),
        "rounds": price.rounds,
        "note": price.note,
    }


def _heading(prices: PriceList) -> str:
    name = f" ({prices.device_name})" if prices.device_name else ""
    threads = f", {prices.threads} thread{'s' if prices.threads > 1 else ''}" if prices.threads else ""
    return f"price of a step on {prices.device}{name}{threads}: {prices.how}"


def _table(prices: PriceList) -> Table:
    has_peak = any(price.peak_bytes is not None for price in prices.prices)
    columns = [
        Column("optimizer", right=False),
        Column("passes/step"),
        Column("ms/step"),
        Column("ratio [95 % interval]"),
        *([Column("peak memory")] if has_peak else []),
        Column("state B/param"),
    ]
    rows = [_row(price, prices.reference, has_peak) for price in prices.prices]
    return Table(columns, rows, _caption(prices, has_peak))


def _row(price: Price, reference: str, has_peak: bool) -> list[str]:
    peak = "-" if price.peak_bytes is None else decimal(price.peak_bytes)
    return [
        price.label,
        compact(float(f"{price.passes_per_step:.4g}")),
        compact(float(f"{price.ms_per_step:.3g}")),
        _ratio(price, reference),
        *([peak] if has_peak else []),
        compact(float(f"{price.state_bytes_per_parameter:.3g}")),
    ]


def _ratio(price: Price, reference: str) -> str:
    """`1.62 [1.58, 1.66]`: to the second digit of half the interval, or to three digits without one."""
    if price.label == reference or not math.isfinite(price.ratio):
        return "1" if price.label == reference else "-"
    low, high = price.ratio_interval
    if not math.isfinite(low):
        return f"{price.ratio:.3g}"
    places = _places(price.ratio_interval, price.ratio)
    ratio, low_end, high_end = (f"{value:.{places}f}" for value in (price.ratio, low, high))
    return f"{ratio} [{low_end}, {high_end}]"


def _places(interval: Interval, ratio: float) -> int:
    half = (interval.high - interval.low) / 2
    if half <= 1e-3 * ratio:
        return max(2 - math.floor(math.log10(ratio)), 0)
    return max(1 - math.floor(math.log10(half)), 0)


def _caption(prices: PriceList, has_peak: bool) -> str:
    within = "within rounds" if prices.source == "measured" else "within seeds"
    middle = "over the rounds" if prices.source == "measured" else "over the runs"
    said: Sequence[str] = [
        f"{PASSES}, ms: median {middle}",
        f"ratio of time to {prices.reference}: geometric mean of the ratios {within}",
        *([prices.memory] if has_peak else []),
        STATE,
    ]
    return "; ".join(said)

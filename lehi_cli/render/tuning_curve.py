"""How the best value grows with the number of trials: a plot, a table with bands, and where two curves cross."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.stats.tuning_curve import TuningCurve, crossing, leader, tuning_curve
from lehi_cli.tuning import ADAPTIVE, Tuned

from .content import Block, Column, Figure, Lines, Table, Trace
from .numbers import compact

MIN_TRIALS = 3


def tuning_curve_blocks(results: Sequence[Tuned], sampler: str) -> list[Block]:
    """Curves of one task's optimizers; a word in their place where there are too few trials or they hang together."""
    count = len(results[0].trials)
    if sampler in ADAPTIVE:
        return [Lines([f"no tuning curve: trials drawn by {sampler} depend on each other"])]
    if count < MIN_TRIALS:
        return []
    curves = [tuning_curve([trial.value for trial in result.trials]) for result in results]
    labels = [result.label for result in results]
    traces = [
        Trace(label, [float(k) for k in curve.trials], curve.expected, i, low=curve.low, high=curve.high)
        for i, (label, curve) in enumerate(zip(labels, curves, strict=True))
    ]
    title = f"{results[0].task}: expected best validation loss after k trials"
    figure = Figure(title, "trials", traces, f"band: {curves[0].confidence:.0%} of its median, all k at once")
    return [figure, curve_table(labels, curves), Lines(crossings(labels, curves))]


def curve_table(labels: Sequence[str], curves: Sequence[TuningCurve]) -> Table:
    """Expected best and band at 1, 2, 4, ... trials and at all of them."""
    n = curves[0].n
    chosen = [k for k in (2**i for i in range(n.bit_length())) if k < n] + [n]
    columns = [Column("trials")] + [Column(label) for label in labels]
    rows = [[str(k), *(_cell(curve, curve.trials.index(k)) for curve in curves)] for k in chosen]
    caption = (
        f"expected best of k of the {n} trials (U-statistic), and the exact simultaneous {curves[0].confidence:.0%} "
        "band of its median, which takes trials to be independent draws; a lost trial counts as infinite"
    )
    return Table(columns, rows, caption)


def _cell(curve: TuningCurve, i: int) -> str:
    return f"{_number(curve.expected[i])} [{_number(curve.low[i])}, {_number(curve.high[i])}]"


def _number(value: float) -> str:
    return compact(value) if math.isfinite(value) else "inf" if value > 0 else "-inf"


def crossings(labels: Sequence[str], curves: Sequence[TuningCurve]) -> list[str]:
    """For every pair, which leads in the end and from how many trials on."""
    lines = []
    for i, first in enumerate(curves):
        for j in range(i + 1, len(curves)):
            since, ahead = crossing(first.expected, curves[j].expected), leader(first.expected, curves[j].expected)
            if since is None or ahead is None:
                lines.append(f"{labels[i]} and {labels[j]} end level")
                continue
            best, other = (labels[i], labels[j]) if ahead == 0 else (labels[j], labels[i])
            when = "at any number of trials" if since == 1 else f"from {since} trials on, not before"
            lines.append(f"{best} is expected to be ahead of {other} {when}")
    return lines

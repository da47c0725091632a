"""How the best value improves with what is spent on tuning: a plot, a table with bands, and where the bands are apart.

Optimizers are compared at equal price: one whose trials cost twice as much gets half as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from lehi_cli.experiment.tuning import ADAPTIVE_SAMPLERS, Tuned
from lehi_cli.stats.tuning_curve import Lead, TuningCurve, leads, tuning_curve

from .document import Block, Column, Figure, Lines, Table, Trace
from .numbers import compact

MIN_TRIALS = 3
ERROR = 0.05  # chance that any band of a task does not hold, and so that any sentence about it is wrong


def tuning_curve_blocks(results: Sequence[Tuned], sampler: str) -> list[Block]:
    """Curves of one task's optimizers; a sentence instead if there are too few trials or they are not independent."""
    if sampler in ADAPTIVE_SAMPLERS:
        return [Lines([f"no tuning curve: trials drawn by {sampler} depend on each other"])]
    if len(results[0].trials) < MIN_TRIALS:
        return []
    free = [result.label for result in results if not result.passes_per_trial > 0]
    said = [f"no tuning curve of {label}: none of its trials took a step" for label in free]
    shown = [result for result in results if result.label not in free]
    if not shown:
        return [Lines(said)]
    labels, prices = [result.label for result in shown], [result.passes_per_trial for result in shown]
    curves = curves_of([[trial.value for trial in result.trials] for result in shown])
    said += comparisons(labels, curves, prices)
    blocks: list[Block] = [_figure(shown[0].task, labels, curves, prices), curve_table(labels, curves, prices)]
    return [*blocks, Lines(said)] if said else blocks


def curves_of(values: Sequence[Sequence[float]]) -> list[TuningCurve]:
    """One curve per optimizer, with bands that all hold together with confidence 95 % (Bonferroni)."""
    return [tuning_curve(of_one, confidence=1 - ERROR / len(values)) for of_one in values]


def _figure(task: str, labels: Sequence[str], curves: Sequence[TuningCurve], prices: Sequence[float]) -> Figure:
    traces = [
        Trace(label, [k * price for k in curve.trials], curve.expected, i, low=curve.low, high=curve.high)
        for i, (label, curve, price) in enumerate(zip(labels, curves, prices, strict=True))
    ]
    caption = f"one point per trial; band: {_confidence(curves)} of its median, all prices at once"
    return Figure(f"{task}: expected best validation loss", "passes spent on tuning", traces, caption)


def _confidence(curves: Sequence[TuningCurve]) -> str:
    """`95%`, or `97.5% each` if two bands then hold together with 95%."""
    return f"{100 * curves[0].confidence:.4g}%" + (" each" if len(curves) > 1 else "")


def curve_table(labels: Sequence[str], curves: Sequence[TuningCurve], prices: Sequence[float]) -> Table:
    """Expected best and band at 1, 2, 4, ... trials and at all of them."""
    n = curves[0].n
    chosen = [k for k in (2**i for i in range(n.bit_length())) if k < n] + [n]
    columns = [Column("trials")] + [Column(label) for label in labels]
    rows = [[str(k), *(_cell(curve, curve.trials.index(k)) for curve in curves)] for k in chosen]
    together = f", all {len(curves)} together {1 - ERROR:.0%}" if len(curves) > 1 else ""
    caption = (
        f"expected best of k of the {n} trials (U-statistic), and the exact simultaneous band of its median "
        f"({_confidence(curves)}{together}), which takes trials to be independent draws; a lost trial counts as "
        f"infinite; passes of a trial: {_in_words(labels, prices)}"
    )
    return Table(columns, rows, caption)


def _in_words(labels: Sequence[str], prices: Sequence[float]) -> str:
    return ", ".join(f"{label} {_passes(price)}" for label, price in zip(labels, prices, strict=True))


def _passes(number: float) -> str:
    return compact(round(number, 1))


def _cell(curve: TuningCurve, i: int) -> str:
    return f"{_number(curve.expected[i])} [{_number(curve.low[i])}, {_number(curve.high[i])}]"


def _number(value: float) -> str:
    return compact(value) if math.isfinite(value) else "inf" if value > 0 else "-inf"


def comparisons(labels: Sequence[str], curves: Sequence[TuningCurve], prices: Sequence[float]) -> list[str]:
    """For every pair, the prices at which the bands are apart and one is ahead, or that they overlap."""
    lines = []
    for i, j in combinations(range(len(curves)), 2):
        names, n = (labels[i], labels[j]), curves[i].n
        found = leads(curves[i], curves[j], (prices[i], prices[j]))
        if found is None:
            cheap, dear = names if prices[i] < prices[j] else names[::-1]
            lines.append(
                f"{cheap} and {dear} were not tried at equal price: one trial of {dear} costs more than {n} of {cheap}"
            )
        elif found:
            lines += [_ahead(names, lead) for lead in found]
        else:
            where = "number of trials" if math.isclose(prices[i], prices[j]) else "price"
            lines.append(
                f"the bands of {names[0]} and {names[1]} overlap at every {where}: "
                f"these {n} trials do not tell them apart"
            )
    return lines


def _ahead(names: tuple[str, str], lead: Lead) -> str:
    """`adam is ahead of lehi at 500 to 1000 passes spent on tuning (lehi 1 trial, adam 1 to 2 trials)`."""
    best, other = names if lead.ahead == 0 else names[::-1]
    price = _span(_passes(lead.low), _passes(lead.high))
    counts = ", ".join(f"{name} {_trials(*span)}" for name, span in zip(names, lead.trials, strict=True))
    return f"{best} is ahead of {other} at {price} passes spent on tuning ({counts})"


def _trials(low: int, high: int) -> str:
    return f"{_span(str(low), str(high))} {'trial' if high == 1 else 'trials'}"


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"

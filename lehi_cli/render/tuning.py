"""The results of tuning: the settings found, their price, and how the best value improved with the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lehi_cli.experiment.tuning import Tuned, Tuning
from lehi_cli.runs.specs import format_value

from .document import Block, Column, Lines, Part, Table
from .numbers import compact
from .tuning_curve import tuning_curve_blocks


def tuning_parts(tuning: Tuning) -> list[Part]:
    """For each task a table, a note on every winner near an end of its space, and the tuning curves."""
    parts = []
    for task in dict.fromkeys(result.task for result in tuning.results):
        results = [result for result in tuning.results if result.task == task]
        blocks: list[Block] = [tuning_table(results, tuning.final_passes)]
        if said := notes(results):
            blocks.append(Lines(said))
        blocks += tuning_curve_blocks(results, tuning.sampler)
        parts.append(Part(task, f"tuning, {len(results[0].trials)} trials each", blocks))
    return parts


def tuning_table(results: Sequence[Tuned], final_passes: Mapping[tuple[str, str], float] | None) -> Table:
    """Best setting, its value, and what was spent, for each optimizer."""
    columns = [Column("optimizer", right=False), Column("trials"), Column("lost"), Column("pruned"), Column("val loss")]
    columns += [Column("best setting", right=False, wraps=True), Column("tuning passes", 1)]
    if final_passes is not None:
        columns.append(Column("final passes", 1))
    rows = []
    for result in results:
        best = result.best
        setting = (
            " ".join(f"{item.name}={format_value(best.spec.options[item.name])}" for item in result.space)
            if best
            else "-"
        )
        row = [
            result.label,
            str(len(result.trials)),
            str(result.lost),
            str(result.pruned),
            compact(best.value) if best else "-",
        ]
        row += [setting or "-", compact(round(result.passes, 1))]
        if final_passes is not None:
            row.append(compact(round(final_passes.get((result.task, result.label), 0.0), 1)))
        rows.append(row)
    return Table(
        columns,
        rows,
        "val loss: mean of the last 3 evaluations of the best trial; lost: diverged or failed, pruned: ended early",
    )


def notes(results: Sequence[Tuned]) -> list[str]:
    """Winners near an end of their space, and optimizers whose every trial was lost."""
    lines = []
    for result in results:
        if result.best is None:
            lines.append(f"{result.label}: every trial was lost, so it runs with the settings it was given")
        for edge in result.edges():
            item, value = edge.dimension, format_value(edge.value)
            place = f"at the {edge.end} end of {item}"
            lines.append(f"{result.label}: the best {item.name}, {value}, lies {place}; widen it with {edge.flag}")
    return lines


def tuning_content(tuned: Sequence[Tuned]) -> list[dict[str, Any]]:
    """Every trial, for the JSON document."""
    return [
        {
            "task": result.task,
            "label": result.label,
            "space": {item.name: str(item) for item in result.space},
            "passes": result.passes,
            "passes_per_trial": result.passes_per_trial,
            "edges": [edge.flag for edge in result.edges()],
            "trials": [
                {
                    "options": dict(trial.spec.options),
                    "val_loss": trial.value if math.isfinite(trial.value) else None,
                    "statuses": list(trial.statuses),
                    "passes": trial.passes,
                }
                for trial in result.trials
            ],
        }
        for result in tuned
    ]

"""Where all optimizers ended on one task, on the task's scale: the basis of ranks, wins and averages over tasks.

It is the scale on which the task's verdicts compare, with the same share of the reference as margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lehi_cli.stats.paired import mean_of
from lehi_cli.stats.scale import Scale

from .finals import Column, finals_by_seed, scale_in
from .results import Section

BySeed = Mapping[int, float]
MOST_NAMES = 6  # in one note


@dataclass(frozen=True)
class TaskScores:
    """The final values on one task.

    Attributes:
        finals: values by seed of each optimizer that has any, as measured; infinite for a run that diverged or failed.
        scale: the scale on which they are compared.
        adaptive: whether seeds were added after a look.
    """

    finals: Mapping[str, BySeed]
    scale: Scale
    adaptive: bool = False

    @property
    def is_ratio(self) -> bool:
        """Whether differences on the scale are logarithms of ratios, so that those of several tasks have one unit."""
        return self.scale.kind == "ratio"

    def score(self, label: str) -> float:
        """Mean over the runs on the scale, where less is better; infinite with a run that diverged or failed."""
        values = self.on_scale(label)
        return mean_of(list(values.values())) if all(map(math.isfinite, values.values())) else math.inf

    def margin(self, label: str, share: float) -> float:
        """How far behind this optimizer another may be without it mattering, in units of the scale."""
        return self.scale.margin(share, list(self.finals[label].values()))

    def on_scale(self, label: str) -> dict[int, float]:
        """Value on the scale by seed; infinite for a run without one."""
        return {seed: self.scale.of(value) for seed, value in self.finals[label].items()}


def task_scores(section: Section, column: Column) -> TaskScores:
    """The final values of a section in a column (split, metric), of the optimizers with a run that ended."""
    finals = {series.label: finals_by_seed(series, column) for series in section.series}
    return TaskScores(
        {label: own for label, own in finals.items() if own},
        scale_in(section, column),
        any(run.adaptive for run in section.runs),
    )


def listed(names: Sequence[str]) -> str:
    """Names for a note: the first few, and how many more."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more

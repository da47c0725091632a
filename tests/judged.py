"""Comparisons of made-up values, without runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.analysis.equal_price import PriceOf
from lehi_cli.analysis.margins import Margins
from lehi_cli.runs.metrics import METRICS
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import scale_of
from lehi_cli.stats.verdict import Verdict, family_size, judge_pairs


def by_seed(values: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(map(float, values)))


def compared(
    values: Mapping[str, Sequence[float]],
    *,
    metric: str = "loss",
    floor: float | None = None,
    split: str = "val",
    margins: Margins | None = None,
    notes: Sequence[str] = (),
    prices: Mapping[str, float] | None = None,
    judge: Callable[..., dict[str, Verdict]] = judge_pairs,
) -> Comparison:
    """Everybody against the first, by values at seeds 0, 1, ...; `prices` are ratios, 1 where none is given."""
    reference, *others = values
    margins = margins or Margins()
    scale = scale_of([value for own in values.values() for value in own], floor, METRICS[metric].best)
    contests = {
        label: Contest(by_seed(values[label]), by_seed(values[reference]), scale, margins.of(split, metric), runs=label)
        for label in others
    }
    judgements = [
        Judgement(label, metric, verdict, contests[label].has_values, split)
        for label, verdict in judge(contests).items()
    ]
    priced = {
        label: PriceOf(label, 600.0, 600.0, (prices or {}).get(label, 1.0), reference, "epochs", 600.0)
        for label in values
    }
    return Comparison(reference, margins, family_size(contests.values()), judgements, notes, priced)

"""From sections of stored runs to verdicts: each optimizer against the reference, paired over seeds.

What is compared is where the runs ended: the last validation loss, and the task's first further metric. A run that
diverged or failed has no such value, and dropping it would favour the optimizer that diverges, so it counts as worst.
A run that was pruned, was interrupted or is still going on says nothing about where it would have ended, so its seed is
left out of the pairs. All pairs of all sections shown together are one family: who looks at ten tables finds something.

Where seeds were added until the verdict was settled, the section is judged by what stays valid under such looks. What
was settled has no run at the later seeds, which is no loss to be spoken of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.shards import Metrics
from lehi_cli.stats import HIGHER_IS_BETTER
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.verdict import Verdict, judge_pairs
from lehi_cli.store import PRUNED, StoredRun

from .results import Section, Series

MOST_SERIES = 12
UNFINISHED = ("planned", "running", "interrupted", PRUNED)

LOOKED_AT = (
    "seeds were added until settled: intervals and words are valid however often one looks "
    "(anytime-valid t, arXiv 2310.03722)"
)

Column = tuple[str, str]  # split, metric
Key = tuple[int, str, Column]  # section, label
Pair = tuple[Mapping[int, float], Mapping[int, float]]  # values by seed: of an optimizer, of the reference


@dataclass(frozen=True)
class Judgement:
    """An optimizer against the reference on one metric.

    Attributes:
        label: of the optimizer.
        metric: `loss`, or one of the task's.
        verdict: what the pairs say.
        has_values: whether any run of either ended with a value.
        split: of the data: `val` or `test`.
    """

    label: str
    metric: str
    verdict: Verdict
    has_values: bool = True
    split: str = "val"


@dataclass(frozen=True)
class Comparison:
    """The verdicts of one section.

    Attributes:
        reference: label of the optimizer that the others are compared with.
        margin: share of the reference's mean within which a difference does not matter.
        family: number of comparisons that the p-values are adjusted for, those of other sections included.
        judgements: optimizer by optimizer, best first, metric by metric.
        notes: which runs were left out of the pairs, and why.
    """

    reference: str
    margin: float
    family: int
    judgements: Sequence[Judgement]
    notes: Sequence[str]

    @property
    def is_anytime(self) -> bool:
        """Whether the verdicts are those that stay valid when seeds are added after a look."""
        return any(judgement.verdict.method == "anytime" for judgement in self.judgements)

    def by_label(self) -> dict[str, list[Judgement]]:
        """The judgements of each optimizer."""
        grouped: dict[str, list[Judgement]] = {}
        for judgement in self.judgements:
            grouped.setdefault(judgement.label, []).append(judgement)
        return grouped


def compare_sections(
    sections: Sequence[Section],
    *,
    reference: str | None = None,
    order: Sequence[str] = (),
    margin: float = 0.01,
    columns: Sequence[Column] | None = None,
) -> list[Comparison | None]:
    """Verdicts for each section, None for one with a single optimizer, too many, or without the reference or columns.

    Args:
        sections: all that are shown; their pairs are one family.
        reference: label or name of the reference; None for the first of `order`, or else of the section.
        order: labels or names in the order in which they were asked for.
        margin: share of the reference's mean within which a difference does not matter.
        columns: what is judged as (split, metric), as far as a section has it; None for the validation loss and the
            section's first further metric.

    Raises:
        UsageError: on a reference that no section has or that is several optimizers of one, and on a bad margin.
    """
    if reference is not None:
        _refuse_unknown(sections, reference)
    chosen = [_reference(section, reference, order) for section in sections]
    pairs: dict[Key, Pair] = {}
    for i, (section, other) in enumerate(zip(sections, chosen, strict=True)):
        if other is not None:
            found = _pairs(section, other, _columns(section, columns))
            pairs |= {(i, *key): pair for key, pair in found.items()}
    anytime = {i for i, section in enumerate(sections) if any(run.adaptive for run in section.runs)}
    family = sum(key[0] in anytime or _is_test(pair) for key, pair in pairs.items())
    judged = _judge(pairs, anytime, margin, family)
    grouped: list[list[Judgement]] = [[] for _ in sections]
    for (i, *_), judgement in judged.items():
        grouped[i].append(judgement)
    notes = [[*([LOOKED_AT] if i in anytime else []), *_left_out(section)] for i, section in enumerate(sections)]
    return [
        Comparison(other.label, margin, family, own, said) if other and own else None
        for other, own, said in zip(chosen, grouped, notes, strict=True)
    ]


def _columns(section: Section, asked: Sequence[Column] | None) -> list[Column]:
    if asked is None:
        return [("val", metric) for metric in ("loss", *section.metric_names[:1])]
    return [column for column in asked if column in section.columns]


def _pairs(section: Section, reference: Series, columns: Sequence[Column]) -> dict[tuple[str, Column], Pair]:
    """Final values of each optimizer and of the reference by seed; by label and column."""
    others = [series for series in section.ranked() if series is not reference]
    return {
        (series.label, column): (_by_seed(series, column), _by_seed(reference, column))
        for series in others
        for column in columns
    }


def _judge(pairs: Mapping[Key, Pair], anytime: AbstractSet[int], margin: float, family: int) -> dict[Key, Judgement]:
    """A verdict on each pair.

    Args:
        pairs: what is compared.
        anytime: sections whose seeds were added after a look.
        margin: share of the reference's mean.
        family: number of comparisons. A single seed cannot find anything, so it is no test and not counted as one:
            otherwise the single runs in a folder would take the power from its comparisons. Where seeds are added all
            count, because their number must not depend on what was found.
    """
    looked = {key: pair for key, pair in pairs.items() if key[0] in anytime}
    tests = {key: pair for key, pair in pairs.items() if key not in looked and _is_test(pair)}
    rest = {key: pair for key, pair in pairs.items() if key not in looked and key not in tests}
    found = judge_anytime(looked, margin=margin, family=family) | judge_pairs(tests, margin=margin, family=family)
    found |= judge_pairs(rest, margin=margin)
    judged = {}
    for key, pair in pairs.items():
        _, label, (split, metric) = key
        verdict = _turned(found[key]) if metric in HIGHER_IS_BETTER else found[key]
        judged[key] = Judgement(label, metric, verdict, _has_values(pair), split)
    return judged


def _is_test(pair: Pair) -> bool:
    return len(_shared(pair)) > 1


def _has_values(pair: Pair) -> bool:
    return any(math.isfinite(values[seed]) for values in pair for seed in _shared(pair))


def _shared(pair: Pair) -> AbstractSet[int]:
    own, other = pair
    return own.keys() & other.keys()


def _turned(verdict: Verdict) -> Verdict:
    """The verdict on negated values, in the values' own direction."""
    low, high = verdict.interval
    return replace(
        verdict,
        difference=0.0 - verdict.difference,  # so that 0 stays 0, without a sign
        interval=Interval(0.0 - high, 0.0 - low),
        effect_size=0.0 - verdict.effect_size,
    )


def _by_seed(series: Series, column: Column) -> dict[int, float]:
    """Final value of each run, of a metric where more is better its negative: lower is better in all of them."""
    split, metric = column
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    values: dict[int, float] = {}
    for run, metrics in zip(series.runs, series.metrics, strict=True):
        if run.status == "ok":
            value = metrics.final(split, metric)
            if value is not None:
                values[run.seed] = sign * value
        elif run.status not in UNFINISHED:
            values[run.seed] = math.inf
    return values


def _why_left_out(run: StoredRun, metrics: Metrics) -> str | None:
    if run.status in UNFINISHED:
        return run.status
    if run.status == "ok" and metrics.final("val", "loss") is None:
        return "ok, but its metrics are lost"
    return None


def _left_out(section: Section) -> list[str]:
    notes = []
    for series in section.series:
        for run, metrics in zip(series.runs, series.metrics, strict=True):
            why = _why_left_out(run, metrics)
            if why is not None:
                notes.append(f"{series.label}, seed {run.seed}: {why}; left out of the pairs")
        seeds = [run.seed for run in series.runs]
        notes += [
            f"{series.label}, seed {seed}: {seeds.count(seed)} runs, the last one counts"
            for seed in dict.fromkeys(seeds)
            if seeds.count(seed) > 1
        ]
    return notes


def _reference(section: Section, reference: str | None, order: Sequence[str]) -> Series | None:
    """The series that the others are compared with; None where nothing is to be compared."""
    if not 2 <= len(section.series) <= MOST_SERIES:
        return None
    if reference is None:
        asked = (series for name in order for series in named(section, name))
        return next(asked, section.series[0])
    found = named(section, reference)
    if len(found) > 1:
        labels = ", ".join(series.label for series in found)
        raise UsageError(f"--reference {reference!r} is several optimizers of {section.task}", f"one of {labels}")
    return found[0] if found else None


def named(section: Section, name: str) -> list[Series]:
    """The series of that label; when there is none, those stored under it, then those of that optimizer."""
    by_label = [series for series in section.series if series.label == name]
    stored = [series for series in section.series if series.runs[0].label == name]
    return by_label or stored or [series for series in section.series if series.runs[0].optimizer == name]


def _refuse_unknown(sections: Sequence[Section], reference: str) -> None:
    if not any(named(section, reference) for section in sections):
        labels = dict.fromkeys(series.label for section in sections for series in section.series)
        raise UnknownNameError("reference", reference, labels)

"""From sections of stored runs to verdicts: each optimizer against the reference, paired over seeds.

What is compared is where the runs ended (`lehi_cli.analysis.finals`): the last validation loss, and the task's first
other metric; after tuning, on the test split. How many runs ended at all is compared as well. All pairs of one
comparison form one family: whoever looks at ten tables finds something. Sections that were not asked for together, such
as two budgets that happen to be in one folder, are separate families.

How a pair is judged depends on whether it was looked at before: `lehi_cli.analysis.looks`. Settings that were chosen on
the very runs that are shown are not judged at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.metrics import METRICS, known_metrics
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.status import UNFINISHED, Status
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.anytime import after_first_look, judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.verdict import OTHER_SEEDS, Verdict, family_size, judge_pairs, without_word

from .equal_price import PriceOf, price_of
from .finals import Column, finals_by_seed, scale_in
from .looks import Looks, Rule, pair_id
from .margins import Margins
from .results import Section, Series

MOST_SERIES = 12

LOOKED_AT = (
    "seeds were added after a look: intervals and words are valid however often one looks "
    "(anytime-valid t, arXiv 2310.03722)"
)

Key = tuple[int, str, Column]  # section, label


@dataclass(frozen=True)
class Judgement:
    """An optimizer against the reference on one metric.

    Attributes:
        label: label of the optimizer.
        metric: `loss`, or one of the task's metrics.
        verdict: what the pairs say.
        has_values: whether any run of either ended with a value.
        split: split of the data: `val` or `test`.
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
        margins: shares of the reference within which a difference does not matter.
        family: number of tests for which the p-values are adjusted, including those of other sections.
        judgements: optimizer by optimizer, best first, metric by metric.
        notes: which runs were left out of the pairs, and why.
        prices: for each optimizer, including the reference, the price at which it was compared.
        pairs: for each judged optimizer the id of its pair, see `lehi_cli.analysis.looks.pair_id`.
        seeds: for each judged optimizer the seeds that it shares with the reference.
    """

    reference: str
    margins: Margins
    family: int
    judgements: Sequence[Judgement]
    notes: Sequence[str]
    prices: Mapping[str, PriceOf] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def is_anytime(self) -> bool:
        """Whether some verdict is of the kind that stays valid when seeds are added after a look."""
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
    margins: Margins | None = None,
    columns: Sequence[Column] | None = None,
    split: str = "val",
    looks: Looks | None = None,
    together: bool = True,
) -> list[Comparison | None]:
    """Verdicts for each section, None for one with a single optimizer, too many, or without the reference or columns.

    Args:
        sections: all sections shown.
        reference: label or name of the reference; None for the first of `order`, or else of the section.
        order: labels or names in the order in which they were asked for.
        margins: shares of the reference within which a difference does not matter.
        columns: the columns to judge, as (split, metric), where a section has them; None for the loss and the section's
            first other metric.
        split: the split of these two, used without `columns`.
        looks: the seeds at which the pairs were looked at before.
        together: whether the sections were asked for together, so that their pairs are one family.

    Raises:
        UsageError: on a reference that means several optimizers of a section, and on a negative or infinite margin.
        UnknownNameError: on a reference that no section has, on a margin for a metric by which no section is judged,
            and on one of `columns` whose direction is unknown.
    """
    margins, looks = margins or Margins(), looks or Looks()
    if reference is not None:
        _refuse_unknown(sections, reference)
    chosen = [_reference(section, reference, order) for section in sections]
    judged = [_judged(section, columns, split) for section in sections]
    if any(chosen):
        margins.check(column for found in judged for column in found)
    contests = _Contests(margins, looks)
    for i, (section, other) in enumerate(zip(sections, chosen, strict=True)):
        if other is not None:
            contests.add(i, section, other, judged[i])
    verdicts = contests.judge([range(len(sections))] if together else [[i] for i in range(len(sections))])
    return [
        _comparison(section, other, margins, contests, {key: verdicts[key] for key in verdicts if key[0] == i}, i)
        for i, (section, other) in enumerate(zip(sections, chosen, strict=True))
    ]


class _Contests:
    """All pairs of several sections, and how each is to be judged."""

    def __init__(self, margins: Margins, looks: Looks):
        self._margins = margins
        self._looks = looks
        self._contests: dict[Key, Contest] = {}
        self._rules: dict[Key, Rule] = {}
        self.families: dict[int, int] = {}
        self.pairs: dict[tuple[int, str], str] = {}

    def add(self, i: int, section: Section, reference: Series, columns: Sequence[Column]) -> None:
        """Every optimizer of a section against the reference, on every column."""
        for series in section.ranked():
            if series is reference or series.chosen_from > 1 or reference.chosen_from > 1:
                continue
            pair = self.pairs[i, series.label] = pair_id(section, series, reference)
            for column in columns:
                contest = Contest(
                    finals_by_seed(series, column),
                    finals_by_seed(reference, column),
                    scale_in(section, column),
                    self._margins.of(*column),
                    runs=(i, series.label),
                    first=self._looks.order(pair),
                )
                key = (i, series.label, column)
                self._contests[key] = contest
                is_old = any(run.adaptive for run in section.runs)
                rule = self._looks.rule(pair, contest.seeds)
                self._rules[key] = Rule("anytime") if is_old and rule.method == "fixed" else rule

    def judge(self, families: Sequence[Sequence[int]]) -> dict[Key, Verdict]:
        """A verdict on each contest; the sections of a family share its level."""
        found: dict[Key, Verdict] = {}
        for sections in families:
            own = {key: contest for key, contest in self._contests.items() if key[0] in sections}
            found |= self._judge(own)
        return {key: found[key] for key in self._contests}

    def _judge(self, contests: Mapping[Key, Contest]) -> dict[Key, Verdict]:
        """Judge one family; where seeds are added all pairs count, as their number must not depend on what was found.

        The family is at least as large as any in which one of its pairs was looked at before.
        """
        by_method = {
            method: {key: contest for key, contest in contests.items() if self._rules[key].method == method}
            for method in ("fixed", "anytime", "refused")
        }
        family = family_size([*by_method["fixed"].values(), *by_method["refused"].values()])
        family += len(by_method["anytime"])
        family = max([family, *(self._rules[key].family for key in contests)])
        for i, *_ in contests:
            self.families[i] = family
        refused = judge_pairs(by_method["refused"], family=family)
        return {
            **judge_pairs(by_method["fixed"], family=family),
            **self._judge_again(by_method["anytime"], family),
            **{key: without_word(verdict, OTHER_SEEDS) for key, verdict in refused.items()},
        }

    def _judge_again(self, contests: Mapping[Key, Contest], family: int) -> dict[Key, Verdict]:
        """Verdicts where seeds were added after a look: by what stays valid, with what a fixed first look found."""
        shares = {key: self._rules[key].share for key in contests}
        later = judge_anytime(contests, family=family, shares=shares)
        firsts = {key: own.at(self._rules[key].first) for key, own in contests.items() if self._rules[key].first}
        found = judge_pairs(firsts, family=family)
        return {
            key: after_first_look(found[key], verdict) if key in found else verdict for key, verdict in later.items()
        }

    def seeds(self, i: int, label: str) -> list[int]:
        """The seeds that an optimizer of a section and its reference both have."""
        return sorted({seed for key, own in self._contests.items() if key[:2] == (i, label) for seed in own.seeds})

    def judgement(self, key: Key, verdict: Verdict) -> Judgement:
        """A verdict with the names under which it is shown."""
        _, label, (split, metric) = key
        return Judgement(label, metric, verdict, self._contests[key].has_values, split)


def _comparison(
    section: Section,
    reference: Series | None,
    margins: Margins,
    contests: _Contests,
    verdicts: Mapping[Key, Verdict],
    i: int,
) -> Comparison | None:
    if reference is None or not verdicts:
        return None
    judgements = [contests.judgement(key, verdict) for key, verdict in verdicts.items()]
    is_anytime = any(judgement.verdict.method == "anytime" for judgement in judgements)
    return Comparison(
        reference.label,
        margins,
        contests.families[i],
        judgements,
        [*([LOOKED_AT] if is_anytime else []), *_not_judged(section), *_left_out(section)],
        {series.label: price_of(section, series, reference) for series in section.ranked()},
        {label: pair for (at, label), pair in contests.pairs.items() if at == i},
        {label: contests.seeds(i, label) for at, label in contests.pairs if at == i},
    )


def _judged(section: Section, asked: Sequence[Column] | None, split: str) -> list[Column]:
    if asked is None:
        return [(split, metric) for metric in ("loss", *known_metrics(section.metric_names)[:1])]
    return [column for column in asked if column in section.columns]


def _why_left_out(run: StoredRun, metrics: RunMetrics) -> str | None:
    if run.status in UNFINISHED:
        return run.status
    if run.status == Status.OK and metrics.final("val", "loss") is None:
        return "ok, but its metrics are lost"
    return None


def _not_judged(section: Section) -> list[str]:
    """Which metrics of the task are shown but cannot be judged."""
    unknown = [name for name in section.metric_names if name not in METRICS] if section.shown is None else []
    return [f"{', '.join(unknown)}: not judged: which way is better is unknown"] if unknown else []


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
    """The series with which the others are compared; None where there is nothing to compare."""
    if not 2 <= len(section.series) <= MOST_SERIES:
        return None
    if reference is None:
        asked = (series for name in order for series in named(section, name))
        return next(asked, section.series[0])
    found = named(section, reference)
    if len(found) > 1:
        labels = ", ".join(series.label for series in found)
        raise UsageError(
            f"--reference {reference!r} means several optimizers of {section.task}", f"name one of {labels}"
        )
    return found[0] if found else None


def named(section: Section, name: str) -> list[Series]:
    """The series with that label; if there is none, those stored under it, and failing that those of that optimizer."""
    by_label = [series for series in section.series if series.label == name]
    stored = [series for series in section.series if series.runs[0].label == name]
    return by_label or stored or [series for series in section.series if series.runs[0].optimizer == name]


def _refuse_unknown(sections: Sequence[Section], reference: str) -> None:
    if not any(named(section, reference) for section in sections):
        labels = dict.fromkeys(series.label for section in sections for series in section.series)
        raise UnknownNameError("reference", reference, labels)

"""The report on stored runs: everything that is found out about them, before any of it is written.

One way through: runs -> sections -> verdicts, times, prices -> one `Report`, from which every format is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.arrivals import Arrivals, Target, all_arrivals
from lehi_cli.analysis.columns import Columns, restrict
from lehi_cli.analysis.comparison import Comparison, compare_sections, named
from lehi_cli.analysis.distinction import mixed_notes
from lehi_cli.analysis.equal_price import unequal
from lehi_cli.analysis.grouping import best_of_sections, chosen_notes, group_sections
from lehi_cli.analysis.looks import Looks
from lehi_cli.analysis.margins import Margins
from lehi_cli.analysis.prices import PriceList, load_prices, prices_of_runs
from lehi_cli.analysis.provenance import provenance
from lehi_cli.analysis.results import Section
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from lehi_cli.analysis.across import Across
    from lehi_cli.gate import Assertion, Check

    from .tuning import Tuning

Detail = Literal["brief", "usual", "full"]


@dataclass(frozen=True)
class View:
    """What to find out about the runs, and how to show it.

    Attributes:
        x: horizontal axis of the curves: passes, steps or seconds.
        sweep: many settings, of which the best are shown, without a verdict.
        reference: optimizer that the others are compared with; None for the first.
        order: optimizers in the order in which they were named.
        margins: shares of the reference within which a difference does not matter.
        target: the target of the runs; None for each task's own.
        columns: the metrics and splits that are shown and judged.
        by: options by whose values settings are grouped, a comma list; None for no grouping.
        best_by: column by which the best setting of an optimizer, or of a group, is chosen; None to show all of them.
        cost: whether the price table is shown.
        assertions: the gate's assertions.
        allow_diverged: let an assertion be true although its better side loses more runs.
        command: the words typed after `lehi`.
        detail: how much is shown.
        decides: the split that verdicts are on: `test` if settings were chosen on the validation split.
        looks: the seeds at which pairs of optimizers were looked at before.
        together: whether all sections were asked for together, so that their verdicts are one family.
        settings: how the optimizers' settings were found, if that is known and they were not tuned.
        undecided: why these runs decide nothing, for example because some are missing; empty if they may.
        notes: other remarks on the runs, such as which were left out.
        comparison: id of the stored comparison; empty for none.
    """

    x: str = "passes"
    sweep: bool = False
    reference: str | None = None
    order: Sequence[str] = ()
    margins: Margins = field(default_factory=Margins)
    target: Target | None = None
    columns: Columns = field(default_factory=Columns)
    by: str | None = None
    best_by: str | None = None
    cost: bool = False
    assertions: Sequence[Assertion] = ()
    allow_diverged: bool = False
    command: Sequence[str] = ()
    detail: Detail = "usual"
    decides: Literal["val", "test"] = "val"
    looks: Looks = field(default_factory=Looks)
    together: bool = True
    settings: str = ""
    undecided: str = ""
    notes: Sequence[str] = ()
    comparison: str = ""


@dataclass(frozen=True)
class SectionReport:
    """One section and what was found out about it.

    Attributes:
        section: the runs of one task and budget.
        comparison: the verdicts; None if there are none.
        arrivals: when the runs reached the target; None without one.
        prices: the price of a step; None if it was not asked for.
        notes: other remarks, on settings chosen from many and runs made in different places.
    """

    section: Section
    comparison: Comparison | None
    arrivals: Arrivals | None = None
    prices: PriceList | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """Everything that is shown.

    Attributes:
        view: what was asked for.
        sections: one per task and budget.
        across: the optimizers over all tasks; None if there is nothing to look across.
        checks: the gate's assertions and whether they hold.
        tuning: the trials that came before; None if nothing was tuned.
        mixed: sections that cannot be compared with each other, and why.
        provenance: names and values of everything a reader needs to get the same numbers.
    """

    view: View
    sections: Sequence[SectionReport]
    across: Across | None = None
    checks: Sequence[Check] = ()
    tuning: Tuning | None = None
    mixed: Sequence[str] = ()
    provenance: Sequence[tuple[str, str]] = ()


def make_report(
    store: Store,
    runs: Sequence[StoredRun],
    view: View,
    labels: Mapping[str, str] | None = None,
    tuning: Tuning | None = None,
) -> Report:
    """Arrange runs, compare them, and find out whatever else the view asks for.

    Args:
        store: where the metrics are.
        runs: the runs to show.
        view: what to find out about them.
        labels: display name by run id, in place of the one stored.
        tuning: the trials that came before.

    Raises:
        UsageError: when the view names something that these runs do not have.
    """
    arranged = arrange(store, runs, labels)
    sections = _chosen(restrict(arranged, view.columns), view)
    comparisons = _compare(sections, view)
    arrivals = [None] * len(sections) if view.sweep else all_arrivals(sections, view.target)
    reports = [
        SectionReport(section, comparison, arrival, _prices(store, section, comparison, view), _notes(section))
        for section, comparison, arrival in zip(sections, comparisons, arrivals, strict=True)
    ]
    return Report(
        view,
        reports,
        _across(reports, view),
        _checks(sections, view),
        tuning,
        mixed_notes(arranged),
        provenance(sections, view.command),
    )


def _chosen(sections: Sequence[Section], view: View) -> list[Section]:
    """The settings that were asked for."""
    if view.by is not None:
        return group_sections(sections, view.by, view.best_by or "val_loss")
    return best_of_sections(sections, view.best_by) if view.best_by else list(sections)


def _compare(sections: Sequence[Section], view: View) -> Sequence[Comparison | None]:
    """The verdicts of each section; none in a sweep, where the best of many settings wins by chance.

    Every column that is shown is judged, except the training loss: it is a mean over steps, each with other weights.
    """
    if view.sweep or view.undecided:
        return [None] * len(sections)
    asked = dict.fromkeys(column for section in sections for column in section.columns if column[0] != "train")
    return compare_sections(
        sections,
        reference=view.reference,
        order=view.order,
        margins=view.margins,
        columns=None if view.columns == Columns() else list(asked),
        split=view.decides,
        looks=view.looks,
        together=view.together,
    )


def _prices(store: Store, section: Section, comparison: Comparison | None, view: View) -> PriceList | None:
    """The prices that were measured separately, or those from the runs' own clocks if none were."""
    if not view.cost:
        return None
    reference = comparison.reference if comparison else None
    return load_prices(store, section, reference) or prices_of_runs(section, reference)


def _across(reports: Sequence[SectionReport], view: View) -> Across | None:
    """The view across tasks; if a task has several sections only the one with most runs, so that none counts twice."""
    if view.sweep or view.undecided or len({item.section.task for item in reports}) < 2:
        return None
    from lehi_cli.analysis.across import across

    largest: dict[str, SectionReport] = {}
    for item in reports:
        task = item.section.task
        if task not in largest or len(item.section.runs) > len(largest[task].section.runs):
            largest[task] = item
    kept = [item for item in reports if item is largest[item.section.task]]
    column = (view.decides, "loss")
    references = [item.comparison.reference for item in kept if item.comparison]
    found = across(
        [item.section for item in kept],
        [item.arrivals for item in kept],
        view.x,
        view.margins.of(*column),
        column=column,
        words=[_words(item.comparison, column) for item in kept],
        reference=references[0] if len(set(references)) == 1 else None,
    )
    if found is None:
        return None
    prices = [f"{item.section.title}: {', '.join(said)}" for item in kept if (said := prices_apart(item))]
    others = [item.section.title for item in reports if item not in kept]
    notes = [f"left out, as a task counts once: {', '.join(others)}"] if others else []
    return replace(found, notes=(*found.notes, *notes), price="; ".join(prices) or "at equal price")


def _words(comparison: Comparison | None, column: tuple[str, str]) -> dict[tuple[str, str], str]:
    """The verdicts on a column, by optimizer and reference."""
    if comparison is None:
        return {}
    return {
        (judgement.label, comparison.reference): judgement.verdict.word
        for judgement in comparison.judgements
        if (judgement.split, judgement.metric) == column
    }


def prices_apart(item: SectionReport) -> list[str]:
    """The optimizers whose price differs from the reference's, in words."""
    section, comparison = item.section, item.comparison
    return unequal(section, named(section, comparison.reference)[0] if comparison else None)


def _checks(sections: Sequence[Section], view: View) -> Sequence[Check]:
    if not view.assertions:
        return ()
    from lehi_cli.gate import check_all, undecided

    if view.undecided:
        return [undecided(assertion, view.undecided) for assertion in view.assertions]
    return check_all(
        view.assertions,
        sections,
        target=view.target,
        looks=view.looks,
        allow_diverged=view.allow_diverged,
        split=view.decides,
    )


def _notes(section: Section) -> list[str]:
    return [
        *chosen_notes(section),
        *(f"warning: {line}" for line in environment_differences(section.runs)),
    ]


def environment_differences(runs: Sequence[StoredRun]) -> list[str]:
    """The respects in which compared runs were made differently."""
    found = []
    for key in ("device", "device_name", "threads", "torch", "lehi", "python"):
        values = sorted({_kind(key, run.environment.get(key)) for run in runs if run.environment})
        if len(values) > 1:
            found.append(f"the runs differ in {key}: {', '.join(values)} (--no-cache trains all of them again)")
    return found


def _kind(key: str, value: object) -> str:
    """A value to compare; the GPUs of one machine count as one device, because runs are distributed over them."""
    return str(value).partition(":")[0] if key == "device" else str(value)

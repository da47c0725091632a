"""What is to be shown of stored runs, and everything that is found out about them before any of it is written.

One way through: runs -> sections -> verdicts, times, prices -> one `Report`, which every format is written from.
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
    """What is asked of the runs.

    Attributes:
        x: what curves are drawn against: passes, steps or seconds.
        sweep: many settings, of which the best are shown, and no verdict.
        reference: optimizer that the others are compared with; None for the first.
        order: optimizers as they were named, the first of them first.
        margins: shares of the reference within which a difference does not matter.
        target: what runs are to reach; None for what each task says.
        columns: the metrics and splits that are shown and judged.
        by: options by whose values settings are grouped, a comma list; None for no grouping.
        best_by: column by which the best setting of an optimizer, or of a group, is chosen; None to show all of them.
        cost: whether the price table is shown.
        assertions: the gate's.
        allow_diverged: let an assertion be true although its better side loses more runs.
        command: what was typed after `lehi`.
        detail: how much of it is shown.
        decides: split on which verdicts are: `test` where the validation split has chosen settings.
        looks: at which seeds pairs of optimizers were looked at before.
        together: whether all sections were asked for together, so that their verdicts are one family.
        settings: how the optimizers' settings were come by, where that is known and they were not tuned.
        undecided: why nothing is decided by these runs, such as that some of them are missing; empty where it may be.
        notes: what else is to be said of the runs, such as which were left out.
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
        comparison: the verdicts; None where there are none.
        arrivals: when the runs got to the target; None without one.
        prices: what a step costs; None when that was not asked for.
        notes: what else must be known: settings that were chosen from many, runs made in different places.
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
        across: the optimizers over all tasks; None where there is nothing to look across.
        checks: the gate's assertions and whether they hold.
        tuning: the trials that came before; None when nothing was tuned.
        mixed: which sections cannot be compared with each other, and why.
        provenance: names and values of what a reader needs to get the same numbers.
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
    """Arrange runs, compare them, and find out whatever else is asked.

    Args:
        store: where their metrics are.
        runs: those to be shown.
        view: what is asked of them.
        labels: display name by run id, in place of the one stored.
        tuning: the trials that came before.

    Raises:
        UsageError: when the view names what these runs do not have.
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

    What was asked to be shown is judged, but for the training loss: it is a mean over steps, of other weights each.
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
    """As measured apart; where nothing was, by the runs' own clocks."""
    if not view.cost:
        return None
    reference = comparison.reference if comparison else None
    return load_prices(store, section, reference) or prices_of_runs(section, reference)


def _across(reports: Sequence[SectionReport], view: View) -> Across | None:
    """The view across tasks; of a task that has several sections the one of most runs, so that none counts twice."""
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
    """Whose price is not that of the reference, in words."""
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
        *(f"warning: {line}" for line in differences(section.runs)),
    ]


def differences(runs: Sequence[StoredRun]) -> list[str]:
    """In what runs that are compared were made differently."""
    found = []
    for key in ("device", "device_name", "threads", "torch", "lehi", "python"):
        values = sorted({_kind(key, run.environment.get(key)) for run in runs if run.environment})
        if len(values) > 1:
            found.append(f"the runs differ in {key}: {', '.join(values)} (--no-cache trains all of them anew)")
    return found


def _kind(key: str, value: object) -> str:
    """The GPUs of one machine are one device: runs were dealt to them."""
    return str(value).partition(":")[0] if key == "device" else str(value)

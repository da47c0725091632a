"""Reports on the store: a comparison as it was first shown, or runs chosen now. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lehi_cli.analysis.filters import NO_TAGS, Filter, stored_facts
from lehi_cli.analysis.looks import Looks
from lehi_cli.errors import UsageError
from lehi_cli.runs.comparisons import TUNING_SEED, ComparisonRecord, Comparisons, Member, now
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.runs.tags import read_tags

from .recorded import keep, pairs_shown, report_on, seen_by, stored_view, view_data
from .report import Report, View, make_report

ROLES = ("final", "trial", "all")
TRIALS = "these are trials, from which settings are chosen; compare the chosen ones on fresh seeds"


@dataclass(frozen=True)
class Selection:
    """Which of the stored runs to show.

    Attributes:
        comparison: id of a stored comparison, or a prefix of it; None to choose among the runs.
        chosen: the filter that chooses runs.
        role: `final`, `trial` or `all`; None for final runs, or for trials if nothing else is stored.
        asked: options given that cannot go with a stored comparison, by the names the user knows.
    """

    comparison: str | None = None
    chosen: Filter = field(default_factory=Filter)
    role: str | None = None
    asked: Sequence[str] = ()


def report_stored(store: Store, selection: Selection, view: View) -> tuple[Report, Sequence[ComparisonRecord]]:
    """The report to show, and all comparisons if nothing in particular was asked for.

    Raises:
        UsageError: when there is nothing to show, or options would change how a stored comparison is shown.
    """
    comparisons = Comparisons(store)
    if selection.comparison is not None:
        if selection.asked:
            raise UsageError(
                f"--comparison shows what was asked then, but {selection.asked[0]} asks for something else",
                "leave out one of them",
            )
        return _stored(store, comparisons.find(selection.comparison), view), ()
    if not selection.asked and comparisons.shown:
        return _stored(store, comparisons.shown[-1], view), comparisons.shown
    return _chosen(store, comparisons, view, selection), ()


def _stored(store: Store, record: ComparisonRecord, view: View) -> Report:
    """The report on a stored comparison, in the detail that is asked for now.

    Raises:
        UsageError: when its record is damaged, when it compares nothing, or when its runs are gone.
    """
    if not record.runs:
        raise UsageError(
            f"comparison {record.id} compares nothing: {'; '.join(record.left_out) or 'it has no runs'}",
            "lehi report --comparison ID shows another, lehi report --task '*' the runs there are",
        )
    asked = replace(stored_view(record), detail=view.detail)
    return report_on(store, record, seen_by(record, asked))


def _chosen(store: Store, comparisons: Comparisons, view: View, selection: Selection) -> Report:
    """The report on runs chosen now; the pairs it looks at are recorded."""
    chosen, role = selection.chosen, selection.role
    runs = wanted(store, chosen)
    roles = comparisons.roles(runs)
    is_choosing = view.by is not None or view.best_by is not None
    trials = {run_id for run_id, own in roles.items() if own == "trial"}
    hidden = trials
    if role is None and is_choosing:  # the runs of a sweep are meant to be chosen from, tuning trials are not
        hidden = {run.run_id for run in runs if run.run_id in trials and run.seed == TUNING_SEED}
    role = role or ("final" if len(hidden) < len(runs) else "trial")
    kept = [run for run in runs if role == "all" or (run.run_id in hidden) == (role == "trial")]
    if not kept:
        raise UsageError(f"no {role} run in {store.name} matches", "--role all shows all of them")
    has_trials = any(run.run_id in trials for run in kept)
    count = "1 trial is" if len(hidden) == 1 else f"{len(hidden)} trials are"
    left_out = f"{count} left out: settings were chosen from among the trials (--role all shows them)"
    view = replace(
        view,
        order=chosen.order(kept),
        sweep=has_trials and not is_choosing,
        undecided=TRIALS if has_trials else "",
        looks=Looks(comparisons.looked()),
        notes=[left_out] if role == "final" and hidden else [],
    )
    report = make_report(store, kept, view)
    members = [Member(run.run_id, run.label, roles[run.run_id]) for run in kept]
    record = ComparisonRecord("report", members, view_data(view), command=list(view.command), created=now())
    seen = comparisons.looked()
    if any(seeds not in [look.seeds for look in seen.get(pair, [])] for pair, seeds in pairs_shown(report).items()):
        keep(comparisons, record, report)
    return report


def wanted(store: Store, chosen: Filter) -> list[StoredRun]:
    """The runs to show.

    Raises:
        UsageError: when there are none.
    """
    stored = store.runs()
    if not stored:
        raise UsageError(f"no runs in {store.name}", "make some with lehi compare")
    found = chosen.select(stored, read_tags(store) if chosen.tag is not None else NO_TAGS)
    if not found:
        raise UsageError(f"no stored run in {store.name} matches", stored_facts(stored))
    return found

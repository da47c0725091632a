"""From a plan or a stored comparison to its page: one record, and so the same page every time it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lehi_cli import gate
from lehi_cli.analysis.arrivals import parse_target
from lehi_cli.analysis.looks import Looks
from lehi_cli.analysis.margins import parse_margins
from lehi_cli.errors import Notice, StoreError, UsageError
from lehi_cli.gate import Check
from lehi_cli.runs.comparisons import ComparisonRecord, Comparisons, Kind, Member, Role, now
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

from .report import Report, View, make_report
from .tuning import Tuning, stored_tuning, tuning_data

MISSING = "some of the runs asked for are missing"


def described(
    comparisons: Comparisons,
    stored: Sequence[StoredRun],
    runs: Sequence[RunSpec],
    view: View,
    tuning: Tuning | None = None,
    adaptive: bool = False,
) -> tuple[ComparisonRecord, View]:
    """The comparison that a command asks for; the stored one if it was asked for before.

    Final runs that may have served to choose settings in an earlier comparison are left out, and named.

    Args:
        comparisons: the comparisons of the store.
        stored: the runs that exist.
        runs: the plan; it gives the labels.
        view: what is asked of the runs.
        tuning: the trials that came before.
        adaptive: whether seeds were added until the verdicts were settled.
    """
    labels = {run.run_id: run.label for run in runs}
    kind = _kind(view, runs)
    chosen = comparisons.chosen_by(labels) if kind == "compare" else {}
    role: Role = "trial" if view.sweep else "final"
    members = [Member(run, of.label, "trial") for of, run in _trials(tuning) if run not in labels]
    members += [Member(run.run_id, labels[run.run_id], role) for run in stored if run.run_id not in chosen]
    view = replace(view, decides="test" if tuning and not view.sweep else "val")
    record = ComparisonRecord(
        kind=kind,
        runs=members,
        view=view_data(view),
        adaptive=adaptive,
        left_out=_left_out([run for run in stored if run.run_id in chosen], chosen, labels),
        tuning=tuning_data(tuning) if tuning else None,
        looked=comparisons.looked(),
        command=list(view.command),
        created=now(),
    )
    record = comparisons.known(record) or record
    return record, seen_by(record, view)


def seen_by(record: ComparisonRecord, view: View) -> View:
    """The view of a comparison, with the looks that came before it and the runs it leaves out."""
    return replace(
        view,
        command=record.command or view.command,
        looks=Looks(record.looked, record.adaptive),
        notes=record.left_out,
        comparison=record.id,
    )


def report_on(store: Store, record: ComparisonRecord, view: View, tuning: Tuning | None = None) -> Report:
    """The page of a comparison.

    Raises:
        UsageError: when all of its runs are gone.
    """
    shown = record.of_role("trial" if view.sweep else "final")
    found = [run for run in (store.find(member.run_id) for member in shown) if run is not None]
    gone = len(shown) - len(found)
    if shown and not found:
        raise UsageError(
            f"the runs of comparison {record.id} are gone from {store.name}", "train them again: lehi compare ..."
        )
    if gone:
        words = f"{gone} of its {len(shown)} runs {'is' if gone == 1 else 'are'} gone from {store.name}"
        view = replace(view, notes=[*view.notes, words], undecided=MISSING)
    labels = {member.run_id: member.label for member in record.runs}
    if tuning is None and record.tuning is not None:
        with _readable(record):
            tuning = stored_tuning(record.tuning, store, found, labels)
    return make_report(store, found, view, labels, tuning)


def keep(comparisons: Comparisons, record: ComparisonRecord, report: Report) -> ComparisonRecord:
    """Store a comparison with the pairs its page showed at which seeds; a notice if it cannot be stored."""
    families = [item.comparison.family for item in report.sections if item.comparison]
    about = _pairs_on(report)
    looked = {pair: looks for pair, looks in record.looked.items() if pair in about}
    record = replace(record, pairs=pairs_shown(report), family=max(families, default=0), looked=looked)
    try:
        comparisons.save(record)
    except StoreError as error:
        comparisons.notice(Notice(f"this look cannot be recorded: {error.message}", error.hint))
    return record


def pairs_shown(report: Report) -> dict[str, list[int]]:
    """The seeds at which each pair was judged."""
    shown: dict[str, list[int]] = {}
    for item in report.sections:
        if item.comparison is not None:
            for label, pair in item.comparison.pairs.items():
                seeds = item.comparison.seeds[label]
                if len(seeds) > 1:
                    shown[pair] = sorted(seeds)
    for check in report.checks:
        if check.pair and check.n > 1 and check.seeds:
            shown.setdefault(check.pair, sorted(check.seeds))
    return shown


def remember_checks(store: Store, runs: Sequence[StoredRun], checks: Sequence[Check]) -> None:
    """Keep which pairs assertions looked at, as far as nobody had looked at them at these seeds."""
    comparisons = Comparisons(store)
    seen = comparisons.looked()
    pairs = {check.pair: sorted(check.seeds) for check in checks if check.pair and check.n > 1 and check.seeds}
    new = {pair: seeds for pair, seeds in pairs.items() if seeds not in [look.seeds for look in seen.get(pair, [])]}
    if not new:
        return
    members = [Member(run.run_id, run.label) for run in runs]
    view = {"assertions": [check.assertion.text for check in checks]}
    record = ComparisonRecord("report", members, view, pairs=new, family=len(new), created=now())
    try:
        comparisons.save(record)
    except StoreError as error:
        comparisons.notice(Notice(f"this look is not remembered: {error.message}", error.hint))


def _pairs_on(report: Report) -> set[str]:
    """Every pair that a page is about."""
    compared = {pair for item in report.sections if item.comparison for pair in item.comparison.pairs.values()}
    return compared | {check.pair for check in report.checks}


def view_data(view: View) -> dict[str, Any]:
    """The stored part of a view, as plain data."""
    return {
        "x": view.x,
        "sweep": view.sweep,
        "order": list(view.order),
        "margins": str(view.margins),
        "target": f"{view.target.column}={view.target.value!r}" if view.target else None,
        "cost": view.cost,
        "assertions": [assertion.text for assertion in view.assertions],
        "allow_diverged": view.allow_diverged,
        "decides": view.decides,
        "settings": view.settings,
    }


def stored_view(record: ComparisonRecord) -> View:
    """The view in which a comparison was shown.

    Raises:
        UsageError: when its record is damaged.
    """
    data = record.view
    with _readable(record):
        return View(
            x=data["x"],
            sweep=data["sweep"],
            order=data["order"],
            margins=parse_margins(data["margins"]),
            target=parse_target(data["target"]) if data["target"] else None,
            cost=data["cost"],
            assertions=[gate.parse(text) for text in data["assertions"]],
            allow_diverged=data["allow_diverged"],
            decides=data["decides"],
            settings=data["settings"],
        )


@contextmanager
def _readable(record: ComparisonRecord) -> Iterator[None]:
    """Turn a missing or malformed entry of a record into an error with a next step."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"comparison {record.id} cannot be shown: its record is damaged ({type(error).__name__}: {error})"
        raise UsageError(why, "choose among the runs instead: lehi report --task '*'") from error


def _trials(tuning: Tuning | None) -> list[tuple[Any, str]]:
    if tuning is None:
        return []
    return [(result, run) for result in tuning.results for trial in result.trials for run in trial.runs]


def _kind(view: View, runs: Sequence[RunSpec]) -> Kind:
    if view.sweep:
        return "sweep"
    return "compare" if len({run.label for run in runs}) > 1 else "train"


def _left_out(runs: Sequence[StoredRun], chosen: Mapping[str, str], labels: Mapping[str, str]) -> list[str]:
    """Notes on the final runs that are left out, with their seeds, and what to do about it."""
    by_label: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        by_label.setdefault((labels[run.run_id], chosen[run.run_id]), []).append(run.seed)
    return [
        f"{label}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}: left out, because its "
        f"setting may have been chosen by these very runs (comparison {comparison}); name other seeds"
        for (label, comparison), seeds in by_label.items()
    ]

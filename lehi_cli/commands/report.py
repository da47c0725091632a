"""`lehi report`: tables, curves, verdicts and exports of what is stored; trains nothing."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lehi_cli.analysis.columns import parse_column, parse_columns
from lehi_cli.analysis.filters import Filter, stored_facts
from lehi_cli.analysis.looks import Looks
from lehi_cli.errors import UsageError
from lehi_cli.report import Report, View, make_report
from lehi_cli.runs.comparisons import TUNING_SEED, ComparisonRecord, Comparisons, Member, now
from lehi_cli.runs.store import Store, StoredRun

from .options import (
    AXES,
    DEFAULT_RUNS,
    TYPED,
    AllowDiverged,
    Assertions,
    Brief,
    Cost,
    Full,
    Json,
    Margin,
    Reference,
    Runs,
    Target,
    choice,
    chosen_detail,
    parsed_assertions,
    parsed_margins,
    parsed_target,
)
from .output import FORMATS, chosen_format, show
from .recorded import keep, pairs_shown, report_on, seen_by, stored_view, view_data

ROLES = ("final", "trial", "all")
TRIALS = "these are trials, by which settings are chosen; compare the chosen ones on fresh seeds"
Axis = Annotated[
    str | None, typer.Option("--x", help="What curves are drawn against: passes (the default), steps or seconds.")
]
TaskFilter = Annotated[str | None, typer.Option("--task", help="Only these tasks, a comma list; `*` matches any.")]
OptimFilter = Annotated[str | None, typer.Option("--optims", help="Only these optimizers: names or labels.")]
LabelFilter = Annotated[str | None, typer.Option("--label", help="Only these labels.")]
SeedFilter = Annotated[str | None, typer.Option("--seeds", help="Only these seeds: a count or a list.")]
StatusFilter = Annotated[str | None, typer.Option("--status", help="Only runs that ended so, a comma list.")]
Since = Annotated[str | None, typer.Option(help="Only runs started since a day, a moment, or 2d, 12h, 30min ago.")]
Until = Annotated[str | None, typer.Option(help="Only runs started until then; a day counts whole.")]
MetricChoice = Annotated[str | None, typer.Option("--metric", help="Show and judge these, such as loss,accuracy.")]
SplitChoice = Annotated[str | None, typer.Option("--split", help="Of these splits: train, val, test.")]
BestBy = Annotated[str | None, typer.Option(help="Of each optimizer only the best setting by this, such as val_loss.")]
By = Annotated[str | None, typer.Option(help="Group settings by the values of these options, such as factor,clip.")]
Format = Annotated[str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; else by the name of the file.")]
Output = Annotated[Path | None, typer.Option(help="Write into this file.")]
Which = Annotated[str | None, typer.Option("--comparison", help="Show this comparison just as it was shown first.")]
RoleFilter = Annotated[
    str | None, typer.Option("--role", help="final, trial or all; by default trials only where nothing else is stored.")
]


def report(
    comparison: Which = None,
    task: TaskFilter = None,
    optims: OptimFilter = None,
    label: LabelFilter = None,
    seeds: SeedFilter = None,
    status: StatusFilter = None,
    since: Since = None,
    until: Until = None,
    role: RoleFilter = None,
    metric: MetricChoice = None,
    split: SplitChoice = None,
    best_by: BestBy = None,
    by: By = None,
    runs: Runs = DEFAULT_RUNS,
    x: Axis = None,
    reference: Reference = None,
    margin: Margin = None,
    target: Target = None,
    cost: Cost = False,
    assertions: Assertions = None,
    allow_diverged: AllowDiverged = False,
    brief: Brief = False,
    full: Full = False,
    format: Format = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show stored comparisons again, or choose among the stored runs.

    Without options: the comparisons there are, and the last of them.
    """
    chosen = Filter(task=task, optims=optims, label=label, seeds=seeds, status=status, since=since, until=until)
    if best_by is not None:
        parse_column(best_by)
    view = View(
        x=choice(x or View.x, AXES, "--x"),
        reference=reference,
        margins=parsed_margins(margin),
        target=parsed_target(target),
        columns=parse_columns(metric, split),
        by=by,
        best_by=best_by,
        cost=cost,
        assertions=parsed_assertions(assertions),
        allow_diverged=allow_diverged,
        command=TYPED.get(),
        detail=chosen_detail(brief, full),
        together=False,
    )
    kind = chosen_format(format, output, json)
    wanted = choice(role, ROLES, "--role") if role is not None else None
    choosing = {
        "--task": task, "--optims": optims, "--label": label, "--seeds": seeds, "--status": status, "--since": since,
        "--until": until, "--role": role, "--metric": metric, "--split": split, "--best-by": best_by, "--by": by,
        "--x": x, "--reference": reference, "--margin": margin, "--target": target, "--cost": cost or None,
        "--assert": assertions or None, "--allow-diverged": allow_diverged or None,
    }  # fmt: skip
    given = [flag for flag, value in choosing.items() if value is not None]
    store = Store(runs)
    with _keeping_all():
        page, listed = _page(store, comparison, given, view, chosen, wanted)
        raise typer.Exit(show(page, store, kind, output, listed))


def _page(
    store: Store, comparison: str | None, given: Sequence[str], view: View, chosen: Filter, role: str | None
) -> tuple[Report, Sequence[ComparisonRecord]]:
    """What is to be shown, and the comparisons to be listed before it.

    Raises:
        UsageError: when there is nothing to show, or a stored comparison was to be shown otherwise than it is.
    """
    comparisons = Comparisons(store)
    if comparison is not None:
        if given:
            raise UsageError(
                f"--comparison shows what was asked then, {given[0]} asks for something else", "leave out one of them"
            )
        return _stored(store, comparisons.find(comparison), view), ()
    if not given and comparisons.shown:
        return _stored(store, comparisons.shown[-1], view), comparisons.shown
    return _chosen(store, comparisons, view, chosen, role), ()


def _stored(store: Store, record: ComparisonRecord, view: View) -> Report:
    """A stored comparison, as much of it as is asked for now.

    Raises:
        UsageError: when its record does not say what it should, or its runs are gone.
    """
    asked = replace(stored_view(record), detail=view.detail)
    return report_on(store, record, seen_by(record, asked))


def _chosen(store: Store, comparisons: Comparisons, view: View, chosen: Filter, role: str | None) -> Report:
    """A page on runs that were chosen here; what pairs it looks at is remembered."""
    runs = _wanted(store, chosen)
    roles = comparisons.roles(runs)
    is_choosing = view.by is not None or view.best_by is not None
    trials = {run_id for run_id, own in roles.items() if own == "trial"}
    hidden = trials
    if role is None and is_choosing:  # a sweep is there to be chosen from, the trials of a tuning are not
        hidden = {run.run_id for run in runs if run.run_id in trials and run.seed == TUNING_SEED}
    role = role or ("final" if len(hidden) < len(runs) else "trial")
    kept = [run for run in runs if role == "all" or (run.run_id in hidden) == (role == "trial")]
    if not kept:
        raise UsageError(f"no {role} run in {store.root} matches", "--role all shows all of them")
    has_trials = any(run.run_id in trials for run in kept)
    left_out = f"{len(hidden)} trials are left out: settings were chosen by them (--role all shows them)"
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


@contextmanager
def _keeping_all() -> Iterator[None]:
    """Without looking for cycles: a report makes a great deal and throws next to nothing away, so none are found."""
    was_enabled = gc.isenabled()
    gc.disable()
    if "torch" not in sys.modules:  # its bindings print warnings when the process ends like this
        atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _wanted(store: Store, chosen: Filter) -> list[StoredRun]:
    """The runs that are to be shown.

    Raises:
        UsageError: when there is none.
    """
    stored = store.runs()
    if not stored:
        raise UsageError(f"no runs in {store.root}", "make some with lehi compare")
    wanted = chosen.select(stored)
    if not wanted:
        raise UsageError(f"no stored run in {store.root} matches", stored_facts(stored))
    return wanted

"""What `train` and `compare` have in common: carry out a plan, show what came of it, say where it lies."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from lehi_cli.analysis.arrivals import check_target
from lehi_cli.data.folder import data_folder
from lehi_cli.errors import DataError, Exit, Notice, StoreError, UsageError
from lehi_cli.execute.conduct import conduct, place_of, split
from lehi_cli.execute.place import Place
from lehi_cli.gate import check_names
from lehi_cli.plan import Request, plan
from lehi_cli.registry import optimizers, tasks
from lehi_cli.render.content import Column, Table
from lehi_cli.render.live import watcher
from lehi_cli.render.numbers import compact, duration
from lehi_cli.render.table import print_table
from lehi_cli.report import View
from lehi_cli.runs.comparisons import Comparisons
from lehi_cli.runs.measurements import save_measurement
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import FAILED, Store, StoredRun

from .options import DEFAULT_RUNS, TYPED
from .output import say, show
from .recorded import MISSING, described, keep, report_on
from .run_options import RunOptions

if TYPE_CHECKING:
    from lehi_cli.execute.estimate import Cost
    from lehi_cli.tuning import Tuning

LIMIT = 200
"""Runs that are trained without asking."""


class Session:
    """One command that trains: its store, its settings, what is asked of its runs, and what it has trained so far."""

    def __init__(self, options: RunOptions, view: View):
        self.options = options
        self.view = view
        self.settings = options.settings()
        self.store = Store(options.runs)
        self.comparisons = Comparisons(self.store)
        self.errors = Console(stderr=True)
        self._reused: set[str] = set()
        self._trained: set[str] = set()
        self._confirmed = options.yes

    def check(self, runs: Sequence[RunSpec]) -> None:
        """Check that a plan will have what is asked of it, before any of it is trained.

        Raises:
            UsageError: when its runs will not have the target, a metric with a margin, or what is asserted about.
        """
        check_target(self.view.target, runs)
        check_names(self.view.assertions, runs, self.view.target)
        metrics = dict.fromkeys(name for run in runs for name in ("loss", *run.task.metrics[:1]))
        self.view.margins.check((split, name) for name in metrics for split in ("val", "test"))

    def missing(self, runs: Sequence[RunSpec]) -> Sequence[RunSpec]:
        """Those that have to be trained: not in the store, or not to be taken from it."""
        return runs if self.settings.fresh else split(runs, self.store, self.settings.is_mock)[1]

    def confirm(self, count: int, at_most: bool = False) -> None:
        """Ask, once, before more runs are trained than anyone means to start by accident.

        Args:
            count: runs that would be trained.
            at_most: whether they may turn out to be fewer.

        Raises:
            UsageError: when nobody is at a terminal to answer.
            Exit: when the answer is no.
        """
        if count <= LIMIT or self._confirmed:
            return
        message = f"that is {'up to ' if at_most else ''}{count} runs to train"
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{message}, more than {LIMIT}", "--yes starts them, --dry-run shows what they cost")
        if not typer.confirm(f"{message}, start them?", err=True):
            raise typer.Exit(Exit.USAGE)
        self._confirmed = True

    def train(self, runs: Sequence[RunSpec]) -> None:
        """Train what the store does not have.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after what was running was stored.
        """
        missing = self.missing(runs)
        self._trained |= {run.run_id for run in missing}
        self._reused |= {run.run_id for run in runs} - self._trained
        with watcher(self.errors, len(missing), self.options.quiet) as watch:
            conduct(missing, self.store, self.settings, watch)

    def train_all(self, runs: Sequence[RunSpec]) -> bool:
        """`train`, and whether it was interrupted."""
        try:
            self.train(runs)
        except KeyboardInterrupt:
            return True
        return False

    def found(self, runs: Sequence[RunSpec]) -> list[StoredRun]:
        """What the store has of them."""
        return [run for run in map(self.store.find, (run.run_id for run in runs)) if run is not None]

    def has_failed(self) -> bool:
        """Whether any run that was trained, tuning trials included, ended without a result."""
        found = map(self.store.find, sorted(self._trained))
        return any(run is not None and run.status in FAILED for run in found)

    def say_where(self, runs: Sequence[RunSpec], comparison: str = "") -> None:
        """Where the results lie, and the command that shows the same page again."""
        if self.options.quiet or self.options.json:
            return
        shown = {run.run_id for run in self.found(runs)}
        trials = (self._trained | self._reused) - {run.run_id for run in runs}
        before = f", after {_counted(len(trials), 'tuning trial')} {self._new(trials)}" if trials else ""
        for line in (
            f"{_counted(len(shown), 'run')} in {self.options.runs} {self._new(shown)}{before}",
            *([f"show again: {self._report_command(comparison)}"] if comparison else []),
        ):
            self.errors.print(line, markup=False, highlight=False, soft_wrap=True)

    def _new(self, run_ids: AbstractSet[str]) -> str:
        """`(1 new, 3 reused)`."""
        new = len(run_ids & self._trained)
        return f"({new} new, {len(run_ids) - new} reused)"

    def _report_command(self, comparison: str) -> str:
        """What shows the same page."""
        command = ["lehi", "report", "--comparison", comparison]
        if self.options.runs != DEFAULT_RUNS:
            command += ["--runs", str(self.options.runs)]
        detail = {"brief": ["--brief"], "full": ["--full"]}.get(self.view.detail, [])
        return shlex.join([*command, *detail])

    def say_interrupted(self) -> None:
        """What to type after Ctrl-C."""
        again = [word for word in TYPED.get() if word != "--no-cache"]  # which would train all of it once more
        command = shlex.join(["lehi", *again])
        self.errors.print(
            f"interrupted; to go on with what is missing: {command}", markup=False, highlight=False, soft_wrap=True
        )


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def run_and_show(request: Request, options: RunOptions, view: View) -> None:
    """Plan, train what is missing, show everything, and exit with what the runs came to."""
    session = Session(options, view)

    def run(request: Request) -> None:
        runs = plan(request)
        session.check(runs)
        if options.dry_run:
            show_plan(Console(), runs, session)
            return
        session.confirm(len(session.missing(runs)))
        finish(session, runs, session.train_all(runs))

    say_registry(session.errors)
    or_with_fake_data(run, request, session)


def or_with_fake_data(run: Callable[[Request], None], request: Request, session: Session) -> None:
    """Run a request; when it is a smoke run and its data is not at hand, run it with fake data."""
    try:
        run(request)
    except DataError as error:
        if not request.smoke or request.fake:
            raise
        say(session.errors, [Notice(error.message, "the smoke run uses fake data instead")])
        run(replace(request, fake=True))


def finish(
    session: Session,
    runs: Sequence[RunSpec],
    interrupted: bool,
    tuning: Tuning | None = None,
    adaptive: bool = False,
) -> None:
    """Show the runs there are, keep the comparison, and exit with what the runs came to.

    Args:
        session: what trained them.
        runs: the plan.
        interrupted: whether the plan was cut short.
        tuning: the trials that came before.
        adaptive: whether seeds were added until it was settled.
    """
    if session.view.cost and not interrupted:
        _measure_prices(session, runs)
    asked = replace(session.view, order=[run.label for run in runs[:1]], undecided=MISSING if interrupted else "")
    record, view = described(session.comparisons, session.found(runs), runs, asked, tuning, adaptive)
    report = report_on(session.store, record, view, tuning)
    if not interrupted:
        record = keep(session.comparisons, record, report)
    gate = show(report, session.store, "json" if session.options.json else "table")
    session.say_where(runs, "" if interrupted else record.id)
    if interrupted:
        session.say_interrupted()
        raise typer.Exit(Exit.INTERRUPTED)
    if session.has_failed():
        raise typer.Exit(Exit.RUN_FAILED)
    raise typer.Exit(gate)


def _measure_prices(session: Session, runs: Sequence[RunSpec]) -> None:
    """Measure what a step of each optimizer costs, and keep it beside the runs."""
    if session.settings.is_mock or session.settings.is_ray:
        say(session.errors, [Notice("prices are by the clocks of the runs: there is no device here to measure on")])
        return
    from lehi_cli.execute.pricing import measure_prices

    if not session.options.quiet:
        session.errors.print("measuring what a step costs, in turns", highlight=False)
    for measurement in measure_prices(runs, place_of(session.settings)):
        try:
            save_measurement(session.store.root, measurement)
        except StoreError as error:
            say(session.errors, [Notice(f"prices are by the clocks of the runs: {error.message}", error.hint)])


def say_registry(errors: Console) -> None:
    """What plug-ins had to say when they were loaded."""
    say(errors, [*tasks.load().notices, *optimizers.load().notices])


def show_plan(console: Console, runs: Sequence[RunSpec], session: Session) -> None:
    """The plan as a table: what would be trained, what is already there, and what the rest will cost."""
    done, missing = split(runs, session.store, session.settings.is_mock)
    kept = {run.run_id for run in done}
    costs = estimates(missing, session)
    columns = [Column("task", right=False), Column("optimizer", right=False), Column("seed"), Column("budget")]
    columns += [Column("passes"), Column("time"), Column("run", right=False), Column("state", right=False)]
    rows = [
        [
            run.task.name,
            run.label,
            str(run.seed),
            str(run.task.budget),
            *_cost_cells(costs.get(run.run_id)),
            run.run_id,
            "stored" if run.run_id in kept else "to train",
        ]
        for run in runs
    ]
    print_table(console, Table(columns, rows))
    console.print(f"{len(runs)} runs: {len(missing)} to train, {len(done)} stored", highlight=False)
    for line in _total(costs, session.settings.jobs):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def estimates(runs: Sequence[RunSpec], session: Session) -> dict[str, Cost | str]:
    """Expected cost of each run, from a few steps; what is being measured is told at once."""
    settings = session.settings
    if not runs or settings.is_mock:
        return {}
    from lehi_cli.execute.environment import pick_device
    from lehi_cli.execute.estimate import estimate_costs

    def tell(line: str) -> None:
        if not session.options.quiet:
            session.errors.print(line, markup=False, highlight=False, soft_wrap=True)

    return estimate_costs(runs, Place(pick_device(settings.device), data_folder(settings.data)), tell)


def _cost_cells(cost: Cost | str | None) -> list[str]:
    if cost is None or isinstance(cost, str):
        return ["-", "-" if cost is None else "?"]
    return ["?" if cost.passes is None else compact(round(cost.passes, 1)), duration(cost.seconds)]


def _total(costs: Mapping[str, Cost | str], jobs: int) -> list[str]:
    """Sum of what is known, and why the rest is not."""
    known = [cost for cost in costs.values() if not isinstance(cost, str)]
    lines = []
    if known:
        seconds, passes = sum(cost.seconds for cost in known), sum(cost.passes or 0.0 for cost in known)
        each = f", {duration(seconds / jobs)} with {jobs} jobs at best" if jobs > 1 else ""
        lines.append(f"about {compact(round(passes))} passes and {duration(seconds)}{each}, from a few steps of each")
    lines += dict.fromkeys(cost.note for cost in known if cost.note)
    reasons = dict.fromkeys(cost for cost in costs.values() if isinstance(cost, str))
    return [*lines, *(f"no estimate: {reason}" for reason in reasons)]

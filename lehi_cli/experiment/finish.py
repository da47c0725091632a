"""The end of an experiment: its report is made and its comparison stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lehi_cli.errors import Notice, StoreError
from lehi_cli.execute.conduct import place_of
from lehi_cli.runs.measurements import save_measurement
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.stored_run import StoredRun

from .recorded import MISSING, described, keep, report_on
from .report import Report
from .session import Count, Session
from .tuning import Tuning


@dataclass(frozen=True)
class Finished:
    """The result of an experiment.

    Attributes:
        report: everything there is to show; None if it was interrupted before there was anything.
        runs: the runs of the plan that the store has.
        count: how many of these are new.
        others: the same count for the other runs it used: tuning trials.
        comparison: id of the stored comparison; empty if the experiment was interrupted.
        interrupted: whether it was interrupted.
        failed: whether any trained run ended without a result.
    """

    report: Report | None
    runs: Sequence[StoredRun]
    count: Count
    others: Count
    comparison: str
    interrupted: bool
    failed: bool


def finish(
    session: Session,
    runs: Sequence[RunSpec],
    interrupted: bool,
    tuning: Tuning | None = None,
    adaptive: bool = False,
) -> Finished:
    """Make the report on the runs that exist, and store the comparison.

    Args:
        session: the session that trained them.
        runs: the plan.
        interrupted: whether the plan was interrupted.
        tuning: the trials that came before.
        adaptive: whether seeds were added until the verdicts were settled.

    Raises:
        UsageError: when nothing is left to compare without the runs that may have chosen the settings.
    """
    if not interrupted:
        session.check_left(runs)
        if session.view.cost:
            _measure_prices(session, runs)
    found = session.found(runs)
    asked = replace(session.view, order=[run.label for run in runs[:1]], undecided=MISSING if interrupted else "")
    record, view = described(session.comparisons, found, runs, asked, tuning, adaptive)
    report = report_on(session.store, record, view, tuning)
    if not interrupted:
        record = keep(session.comparisons, record, report)
    return Finished(
        report=report,
        runs=found,
        count=session.count(runs),
        others=session.count_others(runs),
        comparison="" if interrupted else record.id,
        interrupted=interrupted,
        failed=session.has_failed(),
    )


def cut_short(session: Session) -> Finished:
    """An experiment that was interrupted before there was anything to report."""
    return Finished(None, [], Count(0, 0), session.count_others([]), "", interrupted=True, failed=session.has_failed())


def _measure_prices(session: Session, runs: Sequence[RunSpec]) -> None:
    """Measure the cost of a step of each optimizer, and store it beside the runs."""
    if session.settings.is_mock or session.settings.is_ray:
        session.listener.notice(Notice("prices come from the runs' own clocks: there is no device here to measure on"))
        return
    from lehi_cli.execute.pricing import measure_prices

    session.listener.say("measuring the price of a step, in turns")
    for measurement in measure_prices(runs, place_of(session.settings)):
        try:
            save_measurement(session.store.root, measurement)
        except StoreError as error:
            notice = Notice(f"prices come from the runs' own clocks: {error.message}", error.hint)
            session.listener.notice(notice)

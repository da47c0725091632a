"""An experiment that adds seeds until its verdicts are settled: train, look, and go on where one is open."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.comparison import MOST_SERIES, Judgement, compare_sections
from lehi_cli.analysis.looks import Looks
from lehi_cli.errors import UsageError
from lehi_cli.runs.specs import RunSpec
from lehi_cli.stats.verdict import Word

from .contests import FIRST, Rival, contests, next_runs
from .finish import Finished, finish
from .plan import plan
from .preview import Preview, preview
from .request import Request
from .session import Session

HOPELESS: Final = "no run of either has a value"
REFUSED: Final = "looked at before with other seeds"
State = Word | Literal["no run of either has a value", "looked at before with other seeds"]


@dataclass(frozen=True)
class SeedBySeed:
    """Plan with every seed that may be needed, train until each verdict is settled, and report on the trained runs."""

    request: Request

    def run(self, session: Session) -> Finished:
        """Carry out the experiment."""
        runs = self._planned(session)
        session.confirm(len(session.missing(runs)), at_most=True)
        asked, interrupted = train_until_settled(session, runs)
        return finish(session, asked, interrupted, adaptive=True)

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained first, and what may follow."""
        runs = self._planned(session)
        return preview(next_runs(runs, contests(runs)), session, f"then {up_to(self.request)}")

    def _planned(self, session: Session) -> list[RunSpec]:
        check_count(self.request)
        session.say_registry()
        runs = plan(self.request)
        session.check(runs)
        session.check_left(next_runs(runs, contests(runs)))
        session.say_optimizers(runs)
        return runs


def check_count(request: Request) -> None:
    """Check that there will be verdicts to settle.

    Raises:
        UsageError: when there are too many optimizers for verdicts.
    """
    if len(request.optimizers) > MOST_SERIES:
        message = f"--seeds auto waits for verdicts, and there are none on {len(request.optimizers)} optimizers"
        raise UsageError(message, f"name up to {MOST_SERIES}, or give a number of seeds")


def up_to(request: Request) -> str:
    """What comes after the first seeds, in words."""
    most = len(request.seeds)
    count = len(request.tasks) * len(request.optimizers) * most
    return f"one seed at a time where the verdict is not settled, up to {most} seeds ({count} runs in all)"


def train_until_settled(session: Session, runs: Sequence[RunSpec], split: str = "val") -> tuple[list[RunSpec], bool]:
    """Train seed by seed until each optimizer's verdict on the loss is settled.

    If no run of either optimizer ends with a value, no number of seeds would settle the verdict: it is given up after
    the first look.

    Args:
        session: the session that trains the runs.
        runs: every run that may be needed: for each task and seed, the reference first.
        split: the split that verdicts are on.

    Returns:
        The runs that were asked for, and whether training was interrupted.
    """
    unsettled, asked, done = contests(runs), list[RunSpec](), 0
    most = max(run.seed for run in runs)
    while batch := next_runs(runs, unsettled, done, session.settings.jobs):
        asked += batch
        if session.train_all(batch):
            return asked, True
        seeds = sorted({run.seed for run in batch})
        for seed in seeds if done else seeds[-1:]:
            words = _look(session, [run for run in asked if run.seed <= seed], split, last=seed == most)
            _say(session, words, {task for task, _ in unsettled}, seed + 1)
            unsettled = [contest for contest, word in words.items() if word == "inconclusive"]
        done += len(seeds)
    return asked, False


def _look(session: Session, runs: Sequence[RunSpec], split: str, last: bool) -> dict[Rival, State]:
    """The verdict on the loss in each contest, by tests that stay valid at every look.

    A contest that was looked at before with more seeds than these stays open until all of those are trained.
    """
    labels = {run.run_id: run.label for run in runs}
    chosen = session.comparisons.chosen_by(labels)
    sections = arrange(session.store, [run for run in session.found(runs) if run.run_id not in chosen], labels)
    compared = compare_sections(
        sections,
        order=[runs[0].label],
        margins=session.view.margins,
        split=split,
        looks=Looks(session.comparisons.looked(), adaptive=True),
    )
    found: dict[Rival, State] = {
        (section.task, judgement.label): _state(judgement, last)
        for section, comparison in zip(sections, compared, strict=True)
        if comparison
        for judgement in comparison.judgements
        if (judgement.split, judgement.metric) == (split, "loss")
    }
    return {contest: found.get(contest, "inconclusive") for contest in contests(runs)}


def _state(judgement: Judgement, last: bool) -> State:
    if judgement.verdict.method == "refused":
        return REFUSED if last else "inconclusive"
    is_hopeless = judgement.verdict.n >= FIRST and not judgement.has_values
    return HOPELESS if is_hopeless else judgement.verdict.word


def _say(session: Session, words: Mapping[Rival, State], tasks: Collection[str], seeds: int) -> None:
    """Tell the listener one line for each of the tasks."""
    for task in dict.fromkeys(task for task, _ in words if task in tasks):
        states = ", ".join(_in_words(label, word) for (other, label), word in words.items() if other == task)
        session.listener.say(f"{task}: {seeds} seeds, {states}")


def _in_words(label: str, state: State) -> str:
    if state in (HOPELESS, REFUSED):
        return f"{label} given up ({state})"
    return f"{label} open" if state == "inconclusive" else f"{label} settled ({state})"

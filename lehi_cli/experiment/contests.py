"""The runs a comparison needs next if seeds are added until each verdict is settled. Pure data; nothing is trained.

A contest is an optimizer against the reference on one task. All contests start with a few seeds. After that the
optimizer and the reference of each open contest run the next seed, until all contests are settled or the seeds are used
up. `lehi_cli.stats.anytime` explains why verdicts stay valid although results decide what is run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lehi_cli.runs.specs import RunSpec

FIRST = 3

Rival = tuple[str, str]  # task, label of the optimizer


def contests(runs: Sequence[RunSpec]) -> list[Rival]:
    """Every optimizer against the reference, the first optimizer of its task; in the order of the runs."""
    reference = _references(runs)
    every = dict.fromkeys((run.task.name, run.label) for run in runs)
    return [(task, label) for task, label in every if label != reference[task]]


def next_runs(runs: Sequence[RunSpec], unsettled: Collection[Rival], done: int = 0, jobs: int = 1) -> list[RunSpec]:
    """The runs at the next seeds; none if all contests are settled or every seed is used.

    At first the runs of three seeds; after that those of one seed, or of as many as can be run at once.

    Args:
        runs: every run that may be needed: for each task and seed, the reference first.
        unsettled: contests that need more seeds.
        done: number of seeds already run.
        jobs: runs at a time.
    """
    seeds = sorted({run.seed for run in runs})[done:]
    reference = _references(runs)
    wanted = {*unsettled, *((task, reference[task]) for task, _ in unsettled)}
    needed = [run for run in runs if (run.task.name, run.label) in wanted]
    count = max(1, jobs // len(wanted)) if done and wanted else FIRST
    return [run for run in needed if run.seed in seeds[:count]]


def is_any_left(runs: Sequence[RunSpec], left: Sequence[RunSpec]) -> bool:
    """Whether any contest of a plan has a seed at which both optimizers are among the runs that are left of it."""
    reference = _references(runs)
    there = {(run.task.name, run.label, run.seed) for run in left}
    pairs = ((task, label, seed) for task, label, seed in there if label != reference[task])
    return any((task, reference[task], seed) in there for task, _, seed in pairs)


def _references(runs: Sequence[RunSpec]) -> dict[str, str]:
    """Label of the first optimizer of each task."""
    return {run.task.name: run.label for run in reversed(runs)}

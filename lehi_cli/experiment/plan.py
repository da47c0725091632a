"""Turn a request into the list of runs that answers it. Pure data: nothing is imported, opened or trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lehi_cli.data.folder import data_folder
from lehi_cli.data.locate import Found, find
from lehi_cli.errors import UsageError
from lehi_cli.registry import optimizers, tasks
from lehi_cli.registry.optimizers import OptimizerRecord
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import Budget, OptimSpec, RunSpec, TaskSpec

from .request import Request

SMOKE = Budget("steps", 5)


def plan(request: Request) -> list[RunSpec]:
    """Every run of the request: task by task, seed by seed, and within a seed optimizer by optimizer.

    Runs that will be compared therefore lie close together in time, on a machine whose speed may drift.

    Raises:
        UsageError: when anything is unknown or malformed, or two optimizers turn out to be the same run.
    """
    if request.precision not in RunSpec.PRECISIONS:
        raise UsageError(f"unknown precision {request.precision!r}", f"one of {', '.join(RunSpec.PRECISIONS)}")
    runs: list[RunSpec] = []
    for task, found in _found_tasks(request):
        resolved = [_optimizer(spec, task) for spec in request.optimizers]
        codes = [record.code_hash() for record, _ in resolved]
        labels = _labels(
            [replace(typed, name=record.name) for typed, (record, _) in zip(request.optimizers, resolved, strict=True)]
        )
        for seed in request.seeds:
            for (record, spec), label, code in zip(resolved, labels, codes, strict=True):
                spec = replace(spec, label=label)
                runs.append(RunSpec(task, spec, seed, request.precision, code, record.origin, data_place=found.place))
    _refuse_twins(runs)
    return runs


def tasks_of(request: Request) -> list[TaskSpec]:
    """The tasks with every change applied.

    Raises:
        UsageError: when a task is unknown, or given twice, even once by name and once by path.
    """
    return [spec for spec, _ in _found_tasks(request)]


def _found_tasks(request: Request) -> list[tuple[TaskSpec, Found]]:
    """The tasks, each with the location of the file that its data names."""
    tasks_found = [_task(task, request) for task in request.tasks]
    names = [spec.name for spec, _ in tasks_found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"task {name!r} is given twice", "its runs would be counted twice")
    return tasks_found


def _task(task: str | TaskRecord, request: Request) -> tuple[TaskSpec, Found]:
    record = task if isinstance(task, TaskRecord) else tasks.find(task)
    spec, found = record.spec(request.overrides), Found()
    if request.fake:
        spec = replace(spec, data={**spec.data, "fake": True})
    elif isinstance(spec.data.get("path"), str):
        found = find(spec, data_folder(request.data))
        spec = replace(spec, data={**spec.data, "fingerprint": found.fingerprint})
    if request.smoke:
        return replace(spec, budget=SMOKE, evaluations=1), found
    # A task's own budget is stated at one gradient per step; in a comparison every optimizer gets that same price.
    return replace(spec, budget=request.budget or spec.budget.at_equal_price()), found


def _optimizer(spec: OptimSpec, task: TaskSpec) -> tuple[OptimizerRecord, OptimSpec]:
    """The optimizer's record, and its spec with the task's tuned defaults and its own filled in."""
    record = optimizers.find(spec.name)
    tuned = task.optimizers.get(record.name, {}).get("options", {})
    return record, record.resolve(spec, tuned)


def _labels(specs: Sequence[OptimSpec]) -> list[str]:
    """The name of each in tables: its label, its name if no other has it, or the text as typed."""
    names = [spec.name for spec in specs]
    return [spec.label or (spec.name if names.count(spec.name) == 1 else str(spec)) for spec in specs]


def _refuse_twins(runs: Sequence[RunSpec]) -> None:
    labels: dict[str, str] = {}
    for run in runs:
        twin = labels.setdefault(run.run_id, run.label)
        if twin != run.label:
            raise UsageError(f"{twin!r} and {run.label!r} are the same optimizer with the same options")

"""Runs as they lie in a store, written as any run is, with made-up numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.results import Section
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

EVERY_STEP = {"epoch": 0.1, "step": 1, "samples": 1, "passes": 2.0, "seconds": 0.1}
EVERY_TENTH = {"epoch": 0.25, "step": 10, "samples": 320, "passes": 20.0, "seconds": 0.5}


def write(
    store: Store,
    run: RunSpec,
    val: Sequence[float] = (1.0,),
    *,
    status: str = "ok",
    train: Sequence[float] = (),
    accuracy: Sequence[float] = (),
    test: Sequence[float] = (),
    says: Sequence[dict[str, float]] = (),
    data: str = "da7a000000000000",
    started: str = "",
    mock: bool = False,
    first: int = 1,
    apart: Mapping[str, float] = EVERY_STEP,
) -> StoredRun:
    """One run whose i-th evaluation, from 1, is at step i and pass 2i.

    Args:
        store: where to.
        run: what it is.
        val: validation losses.
        status: how it ended; one that failed has no outcome.
        train: training losses.
        accuracy: validation accuracies, one per validation loss.
        test: test losses.
        says: what the optimizer says of itself, one per training loss.
        data: checksum of what was read.
        started: ISO time; without it the i-th run of a store, from 1, was started i minutes past ten on New Year's Day.
        mock: whether nothing was trained.
        first: number of the first evaluation; 0 for one before the first step.
        apart: what lies between two evaluations.
    """
    recorder = store.claim(run, {"device": "cpu", "threads": 1, "mock": mock})
    assert recorder is not None
    for split, losses, more in (
        ("train", train, list(says)),
        ("val", val, [{"accuracy": value} for value in accuracy]),
        ("test", test, []),
    ):
        for i, (loss, said) in enumerate(zip(losses, more or [{}] * len(losses), strict=True), first):
            place = {unit: i * distance for unit, distance in apart.items()}
            recorder.add({"split": split, **place, "loss": loss, "lr_now": 0.1}, said)
    recorder.state["started"] = started or f"2026-01-01T10:{len(list(store.root.iterdir())):02d}:00.000+00:00"
    outcome = asdict(Outcome(status, 10, 20.0, 1.0, 100, 800, "1417", "04de4", data, {}))
    failed = status not in ("ok", "diverged", "pruned")
    recorder.finish(status, {} if failed else outcome, {"type": "Boom", "message": "boom"} if failed else {})
    found = store.find(run.run_id)
    assert found is not None
    return found


def write_all(store: Store, optimizers: str, values: Sequence[Sequence[float]], **changes: Any) -> list[StoredRun]:
    """For each optimizer the final validation loss at seeds 0, 1, ..."""
    count = len(values)
    runs = runs_of(optimizers, seeds=max(map(len, values)), **changes)  # seed by seed
    return [
        write(store, runs[seed * count + i], [2.0, value])
        for i, own in enumerate(values)
        for seed, value in enumerate(own)
    ]


@dataclass(frozen=True)
class Curve:
    """Validation losses, the first before step 1, then one every 10 steps, 320 samples, 20 passes and 0.5 seconds."""

    losses: Sequence[float]
    status: str = "ok"


def sections(root: Path, tasks: Mapping[str, Mapping[str, Sequence[Curve]]], **target: float) -> list[Section]:
    """A section per task: of each optimizer, by name, one run per curve, at seeds 0, 1 and so on.

    Training losses are half the validation losses. What is in the folder already is in the sections too.
    """
    store = Store(root)
    store.prepare()
    for task, optimizers in tasks.items():
        for optimizer, curves in optimizers.items():
            for run, curve in zip(runs_of(optimizer, seeds=len(curves)), curves, strict=True):
                write(
                    store,
                    replace(run, task=replace(run.task, name=task, target=target)),
                    curve.losses,
                    status=curve.status,
                    train=[loss / 2 for loss in curve.losses],
                    accuracy=[1 - loss for loss in curve.losses],
                    data="",
                    first=0,
                    apart=EVERY_TENTH,
                )
    return arrange(store, store.runs())

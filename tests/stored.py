"""Runs as they lie in a store, written as any run is, with made-up numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cases import runs_of

from lehi_cli.records import Outcome
from lehi_cli.specs import RunSpec
from lehi_cli.store import Store, StoredRun


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
    """
    recorder = store.claim(run, {"device": "cpu", "threads": 1, "mock": mock})
    assert recorder is not None
    for split, losses, more in (
        ("train", train, list(says)),
        ("val", val, [{"accuracy": value} for value in accuracy]),
        ("test", test, []),
    ):
        for i, loss in enumerate(losses, 1):
            place = {"split": split, "epoch": 0.1 * i, "step": i, "samples": i, "passes": 2.0 * i, "seconds": 0.1 * i}
            recorder.add({**place, "loss": loss, "lr_now": 0.1}, more[i - 1] if more else {})
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

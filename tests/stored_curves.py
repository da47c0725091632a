"""Sections of stored runs with chosen validation curves, through the recorder that every run goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cases import runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.results import Section
from lehi_cli.specs import RunSpec
from lehi_cli.store import Store


@dataclass(frozen=True)
class Curve:
    """Validation losses, the first before step 1; then one every 10 steps, 320 samples, 20 passes and 0.5 seconds."""

    losses: Sequence[float]
    status: str = "ok"


def sections(root: Path, tasks: Mapping[str, Mapping[str, Sequence[Curve]]], **target: float) -> list[Section]:
    """A section per task: of each optimizer, by name, one run per curve, at seeds 0, 1 and so on.

    What is in the folder already is in the sections too.
    """
    store = Store(root)
    store.prepare()
    for task, optimizers in tasks.items():
        for optimizer, curves in optimizers.items():
            for run, curve in zip(runs_of(optimizer, seeds=len(curves)), curves, strict=True):
                write(store, replace(run, task=replace(run.task, name=task, target=target)), curve)
    return arrange(store, store.runs())


def write(store: Store, run: RunSpec, curve: Curve) -> None:
    """One run."""
    recorder = store.claim(run, {"device": "cpu"})
    assert recorder is not None
    for i, loss in enumerate(curve.losses):
        row = {"split": "val", "epoch": i / 4, "step": 10 * i, "samples": 320 * i, "passes": 20.0 * i}
        recorder.add({**row, "seconds": i / 2, "loss": loss, "lr_now": 0.1}, {"accuracy": 1 - loss})
        recorder.add({**row, "split": "train", "seconds": i / 2, "loss": loss / 2, "lr_now": 0.1}, {})
    recorder.finish(curve.status, {}, {})

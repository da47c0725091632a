"""Everything but training: synthetic metrics, the same for the same spec, through the same recorder.

It serves to try out plans at scale: ten thousand runs take seconds, and neither torch nor any data is loaded. Every
record says that it is made up, and a made-up run does not count as done when it is to be trained.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lehi_cli.errors import StoreError
from lehi_cli.runs.metrics import METRICS
from lehi_cli.runs.recorder import Recorder
from lehi_cli.runs.records import Outcome, Row
from lehi_cli.runs.specs import Budget, RunSpec, canonical_json
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.version import __version__

from .place import Place
from .watch import Watcher

ENVIRONMENT = {"device": "mock", "device_name": "none: synthetic metrics", "threads": 0, "mock": True}
POINTS = 4
STEPS_PER_EPOCH, STEPS_PER_SECOND, BATCH = 100, 1000, 32
BEST_RATE = 1e-2


class Mock:
    """An executor that makes up results."""

    def run(self, runs: Sequence[RunSpec], place: Place, store: Store, watch: Watcher) -> None:
        """Write a synthetic record of each of `runs` that no other process is training, see `Executor`."""
        for run in runs:
            try:
                recorder = store.claim(run, {**ENVIRONMENT, "lehi": __version__})
                if recorder is not None:
                    watch.started(run)
                    _record(run, recorder)
                    watch.finished(run, Status.OK, "")
            except OSError as error:
                raise StoreError(f"cannot write run {run.run_id} to {store.root}: {error.strerror}") from error


def _record(run: RunSpec, recorder: Recorder) -> None:
    steps = _steps(run)
    draw = random.Random(_asked(run))  # noqa: S311  (not a secret: equal specs must give equal numbers)
    final = _final_loss(run, draw)
    try:
        for i in range(POINTS + 1):
            row = _row(run, "val", i / POINTS, steps, final)
            recorder.add(_values(row), row.metrics)
            if i:
                recorder.add(_values(_row(run, "train", i / POINTS, steps, final * 0.9)), {})
        row = _row(run, "test", 1.0, steps, final * 1.1)
        recorder.add(_values(row), row.metrics)
    except KeyboardInterrupt:
        recorder.finish(Status.INTERRUPTED, {}, {"type": "KeyboardInterrupt", "message": ""})
        raise
    outcome = asdict(_outcome(run, steps))
    recorder.finish(outcome.pop("status"), outcome, {})


def _asked(run: RunSpec) -> str:
    """What decides a run's numbers, without the code: a mock does not run it, so an edit changes nothing made up."""
    asked = run.identity()
    del asked["task"]["code"], asked["optimizer"]["code"]
    return canonical_json(asked)


def _steps(run: RunSpec) -> int:
    budget = run.task.budget
    per_unit = {
        "epochs": STEPS_PER_EPOCH,
        Budget.EPOCH_PASSES: STEPS_PER_EPOCH,
        "seconds": STEPS_PER_SECOND,
    }.get(budget.kind, 1)
    return max(1, math.ceil(budget.amount * per_unit))


def _final_loss(run: RunSpec, draw: random.Random) -> float:
    """A bowl in the logarithm of the learning rate, with noise, so that tuning has a best value to find."""
    rate = run.optimizer.options.get("lr")
    distance = math.log10(rate / BEST_RATE) if isinstance(rate, float) and rate > 0 else 0.0
    return 0.1 + 0.1 * distance**2 + 0.02 * draw.random()


def _row(run: RunSpec, split: str, progress: float, steps: int, final: float) -> Row:
    step = round(progress * steps)
    loss = final + 2 * math.exp(-5 * progress)
    rate = run.optimizer.options.get("lr")
    return Row(
        split=split,
        epoch=step / STEPS_PER_EPOCH,
        step=step,
        samples=step * BATCH,
        passes=float(step),
        seconds=step / STEPS_PER_SECOND,
        loss=loss,
        lr_now=rate if isinstance(rate, float) else 0.0,
        metrics={name: math.exp(-loss) if METRICS[name].higher_is_better else loss for name in run.task.metrics},
    )


def _values(row: Row) -> dict[str, Any]:
    values = dict(vars(row))
    del values["metrics"]
    return values


def _outcome(run: RunSpec, steps: int) -> Outcome:
    paired = f"{random.Random(run.seed).getrandbits(64):016x}"  # noqa: S311
    return Outcome(
        status=Status.OK,
        steps=steps,
        passes=float(steps),
        seconds=steps / STEPS_PER_SECOND,
        parameters=0,
        state_bytes=0,
        init_checksum=paired,
        order_checksum=paired,
        data_checksum="",
        floor={},
    )

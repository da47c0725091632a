"""Take one run from claim to final status, whatever happens in between. Every executor ends up here."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict

import torch

from lehi_cli.data.locate import at_hand
from lehi_cli.data.units import told_of
from lehi_cli.errors import LehiError, StoreError
from lehi_cli.runs.recorder import Recorder
from lehi_cli.runs.records import Pulse, Row
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store
from lehi_cli.training.loop import train

from .environment import environment
from .pace import Pace
from .place import Place
from .pruning import Pruner

TORCH_THREADS = torch.get_num_threads()


def execute(
    run: RunSpec, place: Place, store: Store, started: Callable[[], None], pulse: Callable[[Pulse], None]
) -> tuple[Status, str] | None:
    """Train one run into the store.

    Returns:
        Its status and what went wrong, or None if it is already done or another process is training it.

    Raises:
        StoreError: when the store cannot be written to; nothing can be recorded then.
        KeyboardInterrupt: after the run was recorded as interrupted.
    """
    # Set for every run: the previous one may have set its own number.
    torch.set_num_threads(run.task.threads or place.threads or TORCH_THREADS)
    try:
        recorder = store.claim(run, environment(place.device))
        if recorder is None:
            return None
        hopeless = Pruner(store, run.peers, run.task.evaluations) if run.peers else _never
        return _record(run, place, recorder, started, pulse, hopeless)
    except OSError as error:
        raise StoreError(f"cannot write run {run.run_id} to {store.root}: {error.strerror}") from error


def _record(
    run: RunSpec,
    place: Place,
    recorder: Recorder,
    started: Callable[[], None],
    pulse: Callable[[Pulse], None],
    hopeless: Callable[[Row], bool],
) -> tuple[Status, str]:
    trouble: list[OSError] = []
    pace = Pace()

    def emit(row: Row) -> None:
        try:
            values = dict(vars(row))  # asdict would copy every number, at a tenth of a short run's fixed cost
            recorder.add(values, values.pop("metrics"))
            if pace.due():
                recorder.flush()
        except OSError as error:
            trouble.append(error)
            raise

    def finish(status: Status, error: BaseException) -> tuple[Status, str]:
        recorder.finish(status, {}, _describe(error))
        return status, f"{type(error).__name__}: {error}"

    try:
        started()
        ready = at_hand(run, place.data, place.planned_here)
        outcome = asdict(train(ready, place.device, place.data, emit, pulse, hopeless))
        outcome |= told_of(ready.task, place.data)
    except KeyboardInterrupt as error:
        finish(Status.INTERRUPTED, error)
        raise
    except Exception as error:  # whatever a task's or an optimizer's code raises is that run's result
        if trouble:
            raise
        return finish(Status.OOM if _is_out_of_memory(error) else Status.ERROR, error)
    status = outcome.pop("status")
    recorder.finish(status, outcome, {})
    return status, ""


def _never(_: Row) -> bool:
    return False


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch's CPU allocator says so in words only."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _describe(error: BaseException) -> Mapping[str, str]:
    message = f"{error.message} {error.hint}".strip() if isinstance(error, LehiError) else str(error)
    return {"type": type(error).__name__, "message": message, "traceback": "".join(traceback.format_exception(error))}

"""Build every task and optimizer of a plan once before anything is written, so that a bad option is a usage error."""

from __future__ import annotations

from collections.abc import Sequence

from lehi_cli.data.locate import at_hand
from lehi_cli.errors import UsageError
from lehi_cli.runs.specs import RunSpec, canonical_json
from lehi_cli.training.loop import Training

from .place import Place


def preflight(runs: Sequence[RunSpec], place: Place) -> None:
    """Build each distinct pair of task and optimizer at `place`; trains nothing.

    Raises:
        UsageError: when an argument is refused, with the message of the refusal. Any other failure is left for the run
            itself to record.
    """
    pairs = {canonical_json([run.task.identity(), run.optimizer.name, run.optimizer.options]): run for run in runs}
    for run in pairs.values():
        try:
            Training(at_hand(run, place.data), place.device, place.data).check_differentiable()
        except (TypeError, ValueError) as error:
            raise UsageError(f"{run.task.name} with {run.label} cannot be built: {error}") from error
        except UsageError:
            raise
        except Exception:  # noqa: S112  (a run that raises is a result: it is stored and shown as such)
            continue

"""The runs an experiment would train, and their expected cost; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lehi_cli.data.folder import data_folder
from lehi_cli.execute.conduct import split
from lehi_cli.execute.place import Place
from lehi_cli.runs.specs import RunSpec

from .session import Session

if TYPE_CHECKING:
    from lehi_cli.execute.estimate import Cost


@dataclass(frozen=True)
class Preview:
    """The plan of an experiment.

    Attributes:
        runs: the runs that are known before anything is trained.
        stored: ids of those that are already stored.
        costs: expected cost of each of the others, by id, or why it is unknown.
        then: what comes after them, in words.
    """

    runs: Sequence[RunSpec]
    stored: AbstractSet[str]
    costs: Mapping[str, Cost | str]
    then: Sequence[str] = ()


def preview(runs: Sequence[RunSpec], session: Session, *then: str) -> Preview:
    """A plan with the runs that are stored, and the cost of the others, measured with a few steps of each."""
    done, missing = split(runs, session.store, session.settings.is_mock)
    return Preview(runs, {run.run_id for run in done}, _estimates(missing, session), then)


def _estimates(runs: Sequence[RunSpec], session: Session) -> dict[str, Cost | str]:
    settings = session.settings
    if not runs or settings.is_mock:
        return {}
    from lehi_cli.execute.environment import pick_device
    from lehi_cli.execute.estimate import estimate_costs

    return estimate_costs(runs, Place(pick_device(settings.device), data_folder(settings.data)), session.listener.say)

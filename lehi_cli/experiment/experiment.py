"""What every kind of experiment can do; the kinds are in `fixed`, `sequential` and `tuned`."""

from __future__ import annotations

from typing import Protocol

from .finish import Finished
from .preview import Preview
from .request import Request
from .session import Session


class Experiment(Protocol):
    """A request with a way to answer it."""

    @property
    def request(self) -> Request:
        """What was asked for."""

    def run(self, session: Session) -> Finished:
        """Train what is missing, and report on all of it.

        Raises:
            LehiError: when it cannot be carried out as it was put.
        """

    def preview(self, session: Session) -> Preview:
        """What would be trained, and what that is expected to cost.

        Raises:
            LehiError: when it could not be carried out as it was put.
        """

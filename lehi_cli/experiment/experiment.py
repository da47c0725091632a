"""The interface of an experiment; its kinds are in `fixed`, `sequential` and `tuned`."""

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
        """Train what is missing, and report on everything.

        Raises:
            LehiError: when the request cannot be carried out as given.
        """

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained, and their expected cost.

        Raises:
            LehiError: when the request could not be carried out as given.
        """

"""An experiment whose runs are all known in advance."""

from __future__ import annotations

from dataclasses import dataclass

from .finish import Finished, finish
from .plan import plan
from .preview import Preview, preview
from .request import Request
from .session import Session, or_with_fake_data


@dataclass(frozen=True)
class FixedPlan:
    """Plan, train what is missing, and report on everything."""

    request: Request

    def run(self, session: Session) -> Finished:
        """Carry out the experiment."""

        def run(request: Request) -> Finished:
            runs = plan(request)
            session.check(runs)
            session.check_left(runs)
            session.confirm(len(session.missing(runs)))
            return finish(session, runs, session.train_all(runs))

        session.say_registry()
        return or_with_fake_data(run, self.request, session)

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained."""

        def run(request: Request) -> Preview:
            runs = plan(request)
            session.check(runs)
            session.check_left(runs)
            return preview(runs, session)

        session.say_registry()
        return or_with_fake_data(run, self.request, session)

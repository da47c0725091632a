"""An experiment whose runs are all known in advance."""

from __future__ import annotations

from dataclasses import dataclass

from lehi_cli.runs.specs import RunSpec

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
            runs = _planned(request, session)
            session.confirm(len(session.missing(runs)))
            return finish(session, runs, session.train_all(runs))

        session.say_registry()
        return or_with_fake_data(run, self.request, session)

    def preview(self, session: Session) -> Preview:
        """The runs that would be trained."""

        def run(request: Request) -> Preview:
            return preview(_planned(request, session), session)

        session.say_registry()
        return or_with_fake_data(run, self.request, session)


def _planned(request: Request, session: Session) -> list[RunSpec]:
    """The plan, checked before any of it is trained."""
    runs = plan(request)
    session.check(runs)
    session.check_left(runs)
    session.say_optimizers(runs)
    return runs

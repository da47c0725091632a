"""Whether a step costs what the record says: passes as counted, and state as held."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from lehi_cli.training.state import tensors_in

from .candidate import Candidate
from .findings import NonconformityError, NotAskedError, require
from .problems import digits, small

FEWEST, MOST = 20, 120
_NUMBER = r"\d+(?:\.\d+)?(?:/\d+)?"
_STATED: Mapping[re.Pattern[str], Callable[..., tuple[Fraction, Fraction | None]]] = {
    re.compile(rf"({_NUMBER})(?: \(.*)?"): lambda low: (low, low),
    re.compile(rf"({_NUMBER}) to ({_NUMBER})(?: \(.*)?"): lambda low, high: (low, high),
    re.compile(rf"up to ({_NUMBER})(?: \(.*)?"): lambda high: (Fraction(0), high),
    re.compile(rf"({_NUMBER})(?:\+| or more)(?: \(.*)?"): lambda low: (low, None),
}


def stated_range(text: str) -> tuple[Fraction, Fraction | None] | None:
    """The least and the most that `5/3`, `1 to 2`, `up to 25` or `2+` allow; None where it is said in other words."""
    for pattern, bounds in _STATED.items():
        match = pattern.fullmatch(text)
        if match:
            return bounds(*map(Fraction, match.groups()))
    return None


def passes(candidate: Candidate) -> str:
    """The passes of a step, as counted, are those of the record's `passes`, on average over up to 120 steps."""
    stated = candidate.record.passes
    problem = small()
    optimizer, counted = candidate.on(problem), Fraction(0)
    for steps in range(1, MOST + 1):
        counted += Fraction(candidate.train(problem, optimizer, range(steps - 1, steps)).thirds) / 3
        if steps >= FEWEST and _fits(counted / steps, stated):
            return f"{_shown(counted / steps)} a step over {steps} steps"
        if steps == FEWEST and stated_range(stated) is None:
            raise NotAskedError(f"{float(counted / steps):.4g} a step counted; stated in words: {_short(stated)}")
    raise NonconformityError(f"{_shown(counted / MOST)} a step counted over {MOST} steps, passes={stated!r} is stated")


def state(candidate: Candidate) -> str:
    """Numbers kept per parameter are those of the record's `state`, tensors of one element apart."""
    stated = candidate.record.state
    problem = digits()
    optimizer = candidate.on(problem)
    candidate.train(problem, optimizer, FEWEST)
    # Step counters and the like have one element.
    numbers = sum(tensor.numel() for tensor in tensors_in(optimizer.state_dict()["state"]) if tensor.numel() > 1)
    kept = Fraction(numbers, sum(p.numel() for p in problem.model.parameters()))
    if not stated:
        raise NotAskedError(f"state is not stated; {float(kept):.4g} per parameter was kept")
    if stated_range(stated) is None:
        raise NotAskedError(f"stated in words: {_short(stated)}")
    require(_fits(kept, stated), f"{float(kept):.4g} per parameter is in state_dict, state={stated!r} is stated")
    return f"{float(kept):.4g} per parameter"


def _fits(value: Fraction, stated: str) -> bool:
    bounds = stated_range(stated)
    return bounds is not None and bounds[0] <= value and (bounds[1] is None or value <= bounds[1])


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator <= 60 else f"{float(value):.4g}"


def _short(text: str) -> str:
    return text.partition(" (")[0]

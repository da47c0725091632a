"""Whether a step costs what the record says, in passes and in state."""

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
    """The least and the most that `5/3`, `1 to 2`, `up to 25` or `2+` allow; None for any other wording."""
    for pattern, bounds in _STATED.items():
        match = pattern.fullmatch(text)
        if match:
            return bounds(*map(Fraction, match.groups()))
    return None


def passes(candidate: Candidate) -> str:
    """The passes counted per step, averaged over up to 120 steps, match the record's `passes`."""
    stated = candidate.record.passes
    problem = small()
    optimizer, counted = candidate.on(problem), Fraction(0)
    for steps in range(1, MOST + 1):
        counted += Fraction(candidate.train(problem, optimizer, range(steps - 1, steps)).thirds) / 3
        if steps >= FEWEST and _fits(counted / steps, stated):
            return f"{_shown(counted / steps)} a step over {steps} steps"
        if steps == FEWEST and stated_range(stated) is None:
            raise NotAskedError(f"counted {float(counted / steps):.4g} a step; stated in words: {_short(stated)}")
    raise NonconformityError(
        f"counted {_shown(counted / MOST)} a step over {MOST} steps, but the record states passes={stated!r}"
    )


def state(candidate: Candidate) -> str:
    """The numbers kept per parameter, not counting tensors of one element, match the record's `state`."""
    stated = candidate.record.state
    problem = digits()
    optimizer = candidate.on(problem)
    candidate.train(problem, optimizer, FEWEST)
    # Step counters and the like have one element.
    numbers = sum(tensor.numel() for tensor in tensors_in(optimizer.state_dict()["state"]) if tensor.numel() > 1)
    kept = Fraction(numbers, sum(p.numel() for p in problem.model.parameters()))
    if not stated:
        raise NotAskedError(f"the record does not state it; {float(kept):.4g} per parameter is kept")
    if stated_range(stated) is None:
        raise NotAskedError(f"stated in words: {_short(stated)}")
    require(
        _fits(kept, stated), f"state_dict has {float(kept):.4g} per parameter, but the record states state={stated!r}"
    )
    return f"{float(kept):.4g} per parameter"


def _fits(value: Fraction, stated: str) -> bool:
    bounds = stated_range(stated)
    return bounds is not None and bounds[0] <= value and (bounds[1] is None or value <= bounds[1])


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator <= 60 else f"{float(value):.4g}"


def _short(text: str) -> str:
    return text.partition(" (")[0]

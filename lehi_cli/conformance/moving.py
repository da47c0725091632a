"""Whether an optimizer moves what it should, downhill and at the given rate, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .candidate import Candidate
from .findings import NonconformityError, NotAskedError, in_words, require
from .problems import Problem, all_finite, digits, digits_one_batch, equal, quadratic, small

STEPS = 30
SOME_STEPS = 12


def quadratic_falls(candidate: Candidate) -> str:
    """The loss of a linear regression goes down, at the default rate or a smaller one."""
    return _falls(candidate, {"": quadratic})


def digits_fall(candidate: Candidate) -> str:
    """The loss on handwritten digits goes down, in mini-batches or, failing that, on one batch over and over."""
    return _falls(candidate, {"": digits, "one batch over and over": digits_one_batch})


def _falls(candidate: Candidate, makers: dict[str, Callable[[], Problem]]) -> str:
    """Train at the default rate, then at smaller ones, until the loss goes down."""
    tried: list[str] = []
    for where, make in makers.items():
        for rate in _rates(candidate):
            how = ", ".join(filter(None, [where, "its defaults" if rate is None else f"lr={rate:g}"]))
            start, end = _losses(candidate, make(), rate)
            if math.isfinite(end) and end < start:
                without = f", not at {tried[0]}" if tried else ""
                return f"{start:.4g} -> {end:.4g} in {STEPS} steps at {how}{without}"
            tried.append(f"{how} ({start:.4g} -> {end:.4g})")
    raise NonconformityError(f"the loss does not go down in {STEPS} steps, at {'; '.join(tried)}")


def _rates(candidate: Candidate) -> Iterator[float | None]:
    yield None
    if candidate.has("lr"):
        default = candidate.record.option("lr").default
        yield from (float(default) * 10.0**-k for k in (1, 2, 3) if isinstance(default, int | float))


def _losses(candidate: Candidate, problem: Problem, rate: float | None) -> tuple[float, float]:
    """The loss before and after training, at the weights meant for evaluation."""
    start = problem.evaluate()
    optimizer = candidate.on(problem, **({} if rate is None else {"lr": rate}))
    candidate.train(problem, optimizer, STEPS)
    if candidate.record.modes:
        optimizer.eval()  # type: ignore[attr-defined]
    return start, problem.evaluate()


def zero_rate(candidate: Candidate) -> str:
    """Nothing moves while the groups' lr is 0, whether the constructor or a schedule set it."""
    problem = small()
    optimizer = candidate.on(problem)
    for group in optimizer.param_groups:
        group["lr"] = 0.0 * group["lr"]
    _require_still(candidate, problem, optimizer, "group['lr'] set to 0: the rate must be read from there at each step")
    if not candidate.has("lr"):
        return f"still for {SOME_STEPS} steps"
    problem = small()
    try:
        optimizer = candidate.on(problem, lr=0.0)
    except Exception as error:  # a refusal in words is fine: a schedule sets the groups' rate
        return f"still for {SOME_STEPS} steps under a schedule; lr=0 itself is refused ({in_words(error)})"
    _require_still(candidate, problem, optimizer, "lr=0")
    return f"still for {SOME_STEPS} steps"


def _require_still(candidate: Candidate, problem: Problem, optimizer: Optimizer, how: str) -> None:
    before = problem.weights()
    candidate.train(problem, optimizer, SOME_STEPS)
    require(equal(before, problem.weights()), f"weights move with {how}")


def schedule(candidate: Candidate) -> str:
    """A torch scheduler changes the steps."""
    ends = []
    for factor in (1.0, 0.5):
        problem = small()
        optimizer = candidate.on(problem)
        scheduler = LambdaLR(optimizer, partial(_after_first, factor))
        for number in range(SOME_STEPS):
            candidate.train(problem, optimizer, range(number, number + 1))
            scheduler.step()
        ends.append(problem.weights())
    require(not equal(*ends), "after the first step, half the rate makes the same steps as the full rate")
    return "half the rate makes different steps"


def _after_first(factor: float, step: int) -> float:
    """A schedule's factor on the rate: 1 for the first step, then `factor`."""
    return factor if step else 1.0


def groups(candidate: Candidate) -> str:
    """A group with lr=0 stays while the others move."""
    if candidate.record.takes == "model":
        raise NotAskedError("it takes the model and makes its own groups")
    problem = small()
    first, *rest = problem.model.parameters()
    try:
        optimizer = candidate.build([{"params": rest}, {"params": [first], "lr": 0.0}])
    except Exception as error:  # an optimizer that refuses groups in words is used with one
        raise NotAskedError(f"it refuses these groups ({in_words(error)})") from error
    start, *starts = problem.weights()
    candidate.train(problem, optimizer, SOME_STEPS)
    still, *moved = problem.weights()
    require(torch.equal(still, start), "the group with lr=0 has moved: each group's own rate must be used")
    stuck = sum(torch.equal(new, old) for new, old in zip(moved, starts, strict=True))
    require(not stuck, f"{stuck} of {len(moved)} tensors in the other group have not moved")
    return "a group with lr=0 stays, the other moves"


def frozen(candidate: Candidate) -> str:
    """A parameter that requires no gradient stays while the others move."""
    problem = small()
    next(problem.model.parameters()).requires_grad_(False)
    before = problem.weights()
    candidate.train(problem, candidate.on(problem), 3)
    after = problem.weights()
    require(torch.equal(after[0], before[0]), "a parameter with requires_grad=False has moved")
    require(not equal(after, before), "nothing moves when one parameter is frozen")
    return "one stayed, the others moved"


def unused(candidate: Candidate) -> str:
    """A parameter that the loss does not depend on stays where it is and causes no error."""
    problem = small()
    problem.model.unused = nn.Linear(2, 2)
    before = problem.weights()
    candidate.train(problem, candidate.on(problem, **candidate.without_decay()), 3)
    after = problem.weights()
    require(equal(before[-2:], after[-2:]), "a parameter that the loss does not depend on has moved")
    require(all_finite(after), "weights are NaN or infinite when the loss does not depend on one parameter")
    return "one stayed"

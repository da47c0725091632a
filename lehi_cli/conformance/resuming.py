"""Whether an optimizer goes on as before when saved or copied, repeats exactly, and uses its own random numbers."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lehi_cli.training.steps import Meter

from .candidate import Candidate
from .findings import NotAskedError, in_words, require
from .problems import Problem, equal, farthest, small

STEPS = 12
_TORCHS_OWN = {"defaults", "state", "param_groups", "step"}


def saved(candidate: Candidate) -> str:
    """A run saved with `state_dict` and loaded into a new optimizer goes on bit for bit."""
    problem = small()
    optimizer = candidate.on(problem)
    candidate.train(problem, optimizer, STEPS)
    file = io.BytesIO()
    torch.save({"model": problem.model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    other, restored = _loaded(candidate, file)
    lost = _differing(optimizer, restored)
    candidate.train(problem, optimizer, range(STEPS, 2 * STEPS))
    candidate.train(other, restored, range(STEPS, 2 * STEPS))
    _require_equal(problem, other, "saved and loaded, it goes on differently", _lost_words(lost))
    return f"{STEPS} steps, saved, loaded, {STEPS} more: the same to the last bit"


def _loaded(candidate: Candidate, file: io.BytesIO) -> tuple[Problem, Optimizer]:
    """Another model and a new optimizer, loaded with what was saved."""
    file.seek(0)
    content = torch.load(file, weights_only=False)  # trusted: written a moment ago
    problem = small(seed=1)
    problem.model.load_state_dict(content["model"])
    optimizer = candidate.on(problem)
    optimizer.load_state_dict(content["optimizer"])
    return problem, optimizer


def _lost_words(lost: list[str]) -> str:
    if not lost:
        return "something that decides its steps is not in state_dict"
    return f"apparently not in state_dict: {', '.join(f'self.{name}' for name in lost)}"


def _differing(ours: Optimizer, theirs: Optimizer) -> list[str]:
    """Attributes that differ after `load_state_dict`, apart from those that torch takes care of."""
    names = set(vars(ours)) | set(vars(theirs))
    own = sorted(name for name in names - _TORCHS_OWN if not name.startswith(("_optimizer", "_zero")))
    return [name for name in own if not _same(vars(ours).get(name), vars(theirs).get(name))]


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two values are equal as far as can be told; values that cannot be compared count as equal."""
    if (ours is None) != (theirs is None):
        return False
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        ours, theirs = list(ours.values()), list(theirs.values())  # keys may be parameters, which differ
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    plain = (int, float, str, type(None))
    return not isinstance(ours, plain) or not isinstance(theirs, plain) or ours == theirs


def copied(candidate: Candidate) -> str:
    """A deep copy of model and optimizer goes on bit for bit like the original; one that raises is skipped.

    Torch copies state and groups, and leaves other attributes behind unless `__getstate__` says otherwise. A copy that
    cannot go on misleads nobody, and the training loop makes no copies.
    """
    problem = small()
    optimizer = candidate.on(problem)
    candidate.train(problem, optimizer, 5)
    other = small()
    try:
        other.model, twin = copy.deepcopy((problem.model, optimizer))
        candidate.train(other, twin, range(5, 10))
    except Exception as error:  # the class decides what its copies keep
        raise NotAskedError(f"a copy cannot go on, which needs a __getstate__ ({in_words(error)})") from error
    candidate.train(problem, optimizer, range(5, 10))
    _require_equal(
        problem, other, "a copy goes on differently", "copy.deepcopy must keep everything that decides its steps"
    )
    return "the same to the last bit"


def repeated(candidate: Candidate) -> str:
    """Two runs at one seed are the same, bit for bit on a CPU."""
    first, second = small(), small()
    for problem in (first, second):
        candidate.train(problem, candidate.on(problem), STEPS)
    _require_equal(
        first, second, "two runs at one seed differ", "random numbers must come from torch, or from the seed"
    )
    return f"{STEPS} steps repeat exactly"


def global_random(candidate: Candidate) -> str:
    """Torch's global random numbers are left alone, unless the record sets `draws`."""
    problem = small()
    optimizer = candidate.on(problem)
    before = torch.get_rng_state()
    for number in range(STEPS):
        problem.step(candidate.record.kind, optimizer, number, Meter())
    drawn = not torch.equal(before, torch.get_rng_state())
    if candidate.record.draws:
        return "drawn from a stream of its own, as draws=True says"
    require(not drawn, "it draws from torch's global random numbers, which dropout shares: set draws=True")
    return "none drawn"


def modes(candidate: Candidate) -> str:
    """`eval()` switches to the weights to evaluate, `train()` back to those being trained."""
    if not candidate.record.modes:
        raise NotAskedError("it has no train() and eval()")
    problem = small()
    optimizer: Any = candidate.on(problem)
    candidate.train(problem, optimizer, STEPS)
    trained = problem.weights()
    optimizer.eval()
    shown = problem.weights()
    optimizer.eval()
    require(equal(shown, problem.weights()), "a second eval() changes the weights again")
    optimizer.train()
    off = farthest(trained, problem.weights())
    require(off < 1e-5, f"eval() and train() leave weights {off:.3g} away from where they were")
    require(not equal(trained, shown), "eval() shows the weights being trained, so modes=True is not needed")
    return f"weights to evaluate are up to {farthest(trained, shown):.3g} away from those that are trained"


def _require_equal(ours: Problem, theirs: Problem, wrong: str, why: str) -> None:
    off = farthest(ours.weights(), theirs.weights())
    require(equal(ours.weights(), theirs.weights()), f"{wrong}, with weights up to {off:.3g} apart: {why}")

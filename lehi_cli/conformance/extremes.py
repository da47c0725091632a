"""Unusual gradients and weights: zero, huge, sparse, in half precision, and on the fast path."""

from __future__ import annotations

import inspect
import warnings

import torch
from torch import nn

from lehi_cli.registry.plugins import resolve

from .candidate import Candidate
from .findings import NotAskedError, in_words, require
from .problems import Problem, all_finite, embedding, farthest, linear, small

STEPS = 12
NEARLY = 1e-6
HUGE = 1e15


def zero_gradients(candidate: Candidate) -> str:
    """Gradients of zero move nothing and make no NaN."""
    problem = small()
    for p in problem.model.parameters():
        nn.init.zeros_(p)  # all products are zero, and so are all gradients but those of the last bias and the scale
    balanced = torch.zeros(3, 6), torch.arange(3)  # uniform outputs over balanced classes: those are zero as well
    problem.batches = lambda _: balanced
    before = problem.weights()
    candidate.train(problem, candidate.on(problem, **candidate.without_decay()), STEPS)
    after = problem.weights()
    require(
        all_finite(after), "weights are NaN or infinite after gradients of zero: is something divided by their size?"
    )
    moved = farthest(before, after)
    require(moved <= NEARLY, f"gradients of zero move weights by {moved:.3g}")
    return f"nothing moves for {STEPS} steps"


def huge_gradients(candidate: Candidate) -> str:
    """After a gradient of about 1e15, whose square float32 can just hold, no weight is NaN, at once or a step later."""
    problem = linear()
    optimizer = candidate.on(problem)
    candidate.train(problem, optimizer, 2)
    usual = problem.batches
    problem.batches = lambda step: (HUGE * usual(step)[0], usual(step)[1])
    candidate.train(problem, optimizer, 1)
    _require_no_nan(problem, f"after a gradient of about {HUGE:g}")
    problem.batches = usual
    candidate.train(problem, optimizer, 1)
    _require_no_nan(problem, f"a step after a gradient of about {HUGE:g}")
    return f"no NaN after one of about {HUGE:g}"


def _require_no_nan(problem: Problem, when: str) -> None:
    require(not any(bool(w.isnan().any()) for w in problem.weights()), f"weights are NaN {when}")


def sparse_gradients(candidate: Candidate) -> str:
    """Sparse gradients of an embedding are used, or refused with the word "sparse" in the message."""
    problem = embedding()
    before = problem.weights()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's own, about how it builds sparse tensors
            candidate.train(problem, candidate.on(problem), 2)
    except Exception as error:
        words = in_words(error)
        require("sparse" in f"{type(error)} {error}".lower(), f"an embedding with sparse=True fails with {words}")
        return f"refused ({words})"
    after = problem.weights()
    require(all_finite(after), "weights are NaN or infinite after sparse gradients")
    require(not torch.equal(after[0], before[0]), "an embedding with sparse=True does not move, without an error")
    return "used"


def bf16(candidate: Candidate) -> str:
    """Weights in bfloat16 can be trained and stay in bfloat16."""
    problem = small()
    problem.model.to(torch.bfloat16)
    usual = problem.batches
    problem.batches = lambda step: (usual(step)[0].to(torch.bfloat16), usual(step)[1])
    candidate.train(problem, candidate.on(problem), STEPS)
    after = problem.weights()
    require(all_finite(after), f"weights in bfloat16 are NaN or infinite after {STEPS} steps")
    kinds = {str(w.dtype).removeprefix("torch.") for w in after}
    require(kinds == {"bfloat16"}, f"weights in bfloat16 have become {', '.join(sorted(kinds))}")
    return f"finite after {STEPS} steps"


def foreach(candidate: Candidate) -> str:
    """`foreach=True` and `foreach=False` make the same steps."""
    factory = resolve(candidate.record.factory, candidate.record.origin)
    options = inspect.signature(getattr(factory, "__self__", factory)).parameters
    if "foreach" not in options or candidate.record.takes == "model":
        raise NotAskedError("it has no foreach argument")
    ends = []
    for fast in (False, True):
        problem = small()
        candidate.train(problem, candidate.on(problem, foreach=fast), 20)
        ends.append(problem.weights())
    same = all(torch.allclose(one, many, rtol=1e-5, atol=1e-7) for one, many in zip(*ends, strict=True))
    require(same, f"foreach=True and foreach=False differ by {farthest(*ends):.3g} after 20 steps")
    return "the same steps with it and without"

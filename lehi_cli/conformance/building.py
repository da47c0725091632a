"""Whether an optimizer's record is consistent, and whether what it names can be built and driven at all."""

from __future__ import annotations

import re

from torch import Tensor
from torch.optim import Optimizer

from lehi_cli.experiment.space import dimension
from lehi_cli.registry.record import OptimizerRecord, Option
from lehi_cli.training.steps import Meter

from .candidate import CALLS, TOLD, Candidate
from .findings import NonconformityError, in_words, require
from .problems import Problem, all_finite, equal, small

STEPS = 3
_UNTYPABLE = re.compile(r"[\s,:=/]")  # these have a meaning in --optims


def record(candidate: Candidate) -> str:
    """The name and the options can be typed after `--optims`, and the tuning space can be drawn from."""
    stated = candidate.record
    require(
        not (stated.name == "" or _UNTYPABLE.search(stated.name)),
        f"name {stated.name!r} cannot be typed after --optims: leave out spaces and , : = /",
    )
    unknown = set(stated.needs) - {"total_steps"}
    require(not unknown, f"needs {', '.join(sorted(unknown))}, which nothing provides; only total_steps is provided")
    _check_names(stated)
    for option in stated.options:
        _check_option(stated, option)
    for name, text in stated.space.items():
        _check_space(stated, name, text)
    return f"{_counted(len(stated.options), 'option')}, {_counted(len(stated.space), 'tuning range')}"


def built(candidate: Candidate) -> str:
    """The factory makes a `torch.optim.Optimizer` whose rate can be set, and it can be driven as its kind says."""
    problem = small()
    optimizer = _build(candidate, problem)
    _check_made(optimizer)
    _check_modes(candidate.record, optimizer)
    before = problem.weights()
    for number in range(STEPS):
        loss = _step(candidate, problem, optimizer, number)
        require(loss.numel() == 1 and bool(loss.isfinite()), f"step {number + 1} returns {loss} as the loss before it")
    after = problem.weights()
    require(all_finite(after), f"weights are NaN or infinite after {STEPS} steps at its defaults")
    require(not equal(before, after), f"no weight has moved after {STEPS} steps at its defaults")
    return f"kind {candidate.record.kind}, {STEPS} steps"


def _check_names(stated: OptimizerRecord) -> None:
    names = [option.name for option in stated.options]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"option {', '.join(twice)} is stated twice")
    both = sorted(set(names) & set(stated.fixed))
    require(not both, f"{', '.join(both)} is both an option and fixed: what is typed would be overwritten")
    require("label" not in names, "an option cannot be called label: that is the display name in --optims")


def _check_option(stated: OptimizerRecord, option: Option) -> None:
    """The default is an allowed value, and a rate is not an integer."""
    if option.name == "lr":
        require(
            isinstance(option.default, float) or option.type == "float",
            f"lr's default {option.default!r} is not a float, so lr=0.1 would be refused: write a decimal point",
        )
    untyped = option.default is None and not option.type and not option.choices
    require(not untyped, f"option {option.name} has the default None and no type, so no other value could be given")
    option.check(option.default, f"the default of {stated.name}")


def _check_space(stated: OptimizerRecord, name: str, text: str) -> None:
    option, drawn = stated.option(name), dimension(name, text)
    for value in drawn.choices or (drawn.low, drawn.high):
        option.check(value, f"the tuning space of {stated.name}")


def _build(candidate: Candidate, problem: Problem) -> Optimizer:
    kind = candidate.record.kind
    try:
        return candidate.on(problem)
    except Exception as error:  # a user's constructor may raise anything
        told = f"; kind {kind} is built with {TOLD[kind]} besides its options" if kind in TOLD else ""
        raise NonconformityError(in_words(error) + told) from error


def _check_made(optimizer: object) -> None:
    if not isinstance(optimizer, Optimizer):
        raise NonconformityError(f"the factory makes {type(optimizer).__name__}, not a torch.optim.Optimizer")
    require(
        all("lr" in group for group in optimizer.param_groups),
        "a parameter group has no 'lr', which the training loop sets at every step",
    )


def _check_modes(stated: OptimizerRecord, optimizer: Optimizer) -> None:
    has = all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
    require(has or not stated.modes, "modes=True, but it does not have both train() and eval()")
    require(stated.modes or not has, "it has train() and eval(), which nothing would call: set modes=True")


def _step(candidate: Candidate, problem: Problem, optimizer: Optimizer, number: int) -> Tensor:
    kind = candidate.record.kind
    try:
        return problem.step(kind, optimizer, number, Meter())
    except Exception as error:  # and so may its step
        raise NonconformityError(f"{in_words(error)}; kind {kind} is driven by {CALLS[kind]}") from error


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")

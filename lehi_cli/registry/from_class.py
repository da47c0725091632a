"""Optimizers named by their class: `my_package.my_module.MyOptimizer`, or a class in a Python file that lists none.

What a record says of other optimizers is read off the class: the options from the signature of its constructor, how it
is driven from what it is a subclass of.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from lehi_cli.errors import PluginError, UsageError

from . import plugins
from .record import OptimizerRecord, Option

_TYPES = {float: "float", int: "int", bool: "bool", str: "str"}
_OPTIMIZER = "torch.optim.optimizer.Optimizer"
_CURVATURE = "lehi_cli.optim.curvature_optimizer.CurvatureOptimizer"
_LEFT_OUT = ("maximize", "capturable", "differentiable", "fused")  # of torch's own, they do not change the method
_OF_THE_RUN = ("loss", "seed")  # which the run passes to an optimizer that takes a curvature sample


def find_class(name: str) -> OptimizerRecord:
    """The record of the class that `package.module.Class` names.

    Raises:
        PluginError: when there is no such class.
        UsageError: when it is not an optimizer.
    """
    module, _, attribute = name.rpartition(".")
    return record_of(plugins.resolve(f"{module}:{attribute}"), name, f"{module}:{attribute}")


def record_of(found: Any, name: str, factory: str, origin: str = "") -> OptimizerRecord:
    """The record of a class.

    Args:
        found: the class.
        name: what it is called.
        factory: what builds it, `module:Class`, or `:Class` in the file `origin`.
        origin: the file; empty for a module.

    Raises:
        UsageError: when it is not an optimizer.
    """
    if not is_optimizer(found):
        raise UsageError(f"{name} is not an optimizer", "name a subclass of torch.optim.Optimizer")
    takes_sample = is_curvature(found)
    return OptimizerRecord(
        name,
        (inspect.getdoc(found) or name).partition("\n")[0].rstrip("."),
        factory,
        tuple(_options(found)),
        kind="curvature" if takes_sample else "closure" if _needs_closure(found) else "gradient",
        passes="",
        state="",
        source=factory,
        modes=callable(getattr(found, "eval", None)) and callable(getattr(found, "train", None)),
        draws=not takes_sample,  # a class does not say; a stream of its own does no harm to those that draw nothing
        origin=origin,
    )


def is_optimizer(found: Any) -> bool:
    """Whether it is a class of optimizers."""
    return isinstance(found, type) and _inherits(found, _OPTIMIZER)


def is_curvature(found: type) -> bool:
    """Whether it is a class of optimizers that take a curvature sample."""
    return _inherits(found, _CURVATURE)


def _inherits(found: type, name: str) -> bool:
    """Whether a class of that name is among its bases; by name, because torch is not imported here."""
    return any(f"{base.__module__}.{base.__qualname__}" == name for base in found.__mro__)


def options_of(found: type) -> Mapping[str, inspect.Parameter]:
    """The parameters of a constructor after the first, which takes the model's parameters; not those of the run."""
    parameters = list(inspect.signature(found).parameters.values())[1:]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    of_the_run = _OF_THE_RUN if is_curvature(found) else ()
    return {p.name: p for p in parameters if p.kind not in variadic and p.name not in of_the_run}


def required_of(found: type) -> Sequence[str]:
    """The options without a default."""
    return [name for name, parameter in options_of(found).items() if parameter.default is parameter.empty]


def _needs_closure(found: Any) -> bool:
    """Whether a step evaluates the mini-batch itself: its argument has no default."""
    parameters = list(inspect.signature(found.step).parameters.values())[1:2]
    return any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def _options(found: Any) -> Iterator[Option]:
    """The options whose values can be written down; the others keep their defaults."""
    try:
        hints = inspect.get_annotations(found.__init__, eval_str=True)
    except (NameError, SyntaxError):  # written for a type checker alone
        hints = {}
    for name, parameter in options_of(found).items():
        if name in _LEFT_OUT:
            continue
        default = None if parameter.default is parameter.empty else parameter.default
        hint = hints.get(name, float if parameter.default is parameter.empty else NoneType)
        kind = _kind(hint)
        if isinstance(default, tuple) and default and all(isinstance(part, int | float) for part in default):
            yield Option(name, default, "")
        elif default is None and kind:
            yield Option(name, None, "", type=kind)
        elif isinstance(default, float | int | bool | str):
            is_float = kind == "float" and not isinstance(default, bool | str)
            yield Option(name, float(default) if is_float else default, "")


def _kind(hint: Any) -> str:
    """The type of an option by its annotation, `float` and `float | None` alike; empty where it is none of these."""
    if get_origin(hint) in (UnionType, Union):
        (hint, *others) = [part for part in get_args(hint) if part is not NoneType]
        return "" if others else _kind(hint)
    return _TYPES.get(hint, "") if isinstance(hint, type) else ""


def in_file(module: Any, name: str, origin: str) -> OptimizerRecord:
    """The record of the class `name` in the file `origin`, which was loaded as `module`.

    Raises:
        PluginError: when the file has no such class.
    """
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise PluginError(f"{origin} has no optimizer {name!r}")
    return record_of(found, name, f":{name}", origin)

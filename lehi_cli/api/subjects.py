"""Tasks and optimizers as Python objects: a task's dictionary, an optimizer's class, beside names and paths.

What is trained must be found again by other processes and told by its code, so functions and classes are handed on as
references to the modules or files they are in. What is typed into a notebook or at a prompt is in neither, and is
refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from lehi_cli.errors import UsageError
from lehi_cli.registry import optimizers
from lehi_cli.registry.from_class import is_curvature, is_optimizer, options_of
from lehi_cli.registry.plugins import PRIVATE, resolve
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import OptimSpec, Value, parse_optimizers

Task = str | PathLike[str] | Mapping[str, Any]
Optimizer = str | type | partial[Any] | OptimSpec


def tasks_of(given: Task | Sequence[Task]) -> list[str | TaskRecord]:
    """Every task that was named or handed over.

    Raises:
        UsageError: when one is neither.
    """
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")]
    if isinstance(given, Sequence):
        return [task for item in given for task in tasks_of(item)]
    if isinstance(given, PathLike):
        return [str(given)]
    if isinstance(given, Mapping):
        return [_record(given)]
    raise UsageError(f"a task of type {type(given).__name__}", "a name, a path, or a dictionary such as a file's TASK")


def _record(content: Mapping[str, Any]) -> TaskRecord:
    """A task's dictionary, with functions in it as references."""
    origins: set[str] = set()

    def referred(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: referred(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [referred(part) for part in value]
        if callable(value):
            reference, origin = reference_to(value)
            origins.add(origin)
            return reference
        return value

    found = referred(content)
    return TaskRecord(found, next(filter(None, origins), ""))


def optimizers_of(given: Optimizer | Sequence[Optimizer]) -> list[OptimSpec]:
    """Every optimizer that was named or handed over.

    Raises:
        UsageError: when one is neither, or two are the same.
    """
    items: Sequence[Any] = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    specs: list[OptimSpec] = []
    for item in items:
        specs += parse_optimizers(item) if isinstance(item, str) else [_spec(item)]
    seen: set[str] = set()
    for spec in specs:
        shown = spec.label or str(spec)
        if shown in seen:
            raise UsageError(f"optimizer {shown!r} is given twice", "tell two of them apart by a label")
        seen.add(shown)
    return specs


def _spec(item: Any) -> OptimSpec:
    if isinstance(item, OptimSpec):
        return item
    found: Any = item.func if isinstance(item, partial) else item
    options: dict[str, Value] = dict(item.keywords) if isinstance(item, partial) else {}
    if isinstance(item, partial) and item.args:
        raise UsageError(
            f"{item!r} fixes arguments by their place", "give options by name: partial(MyOptimizer, lr=0.1)"
        )
    if not is_optimizer(found):
        how = "a name such as 'adam:lr=3e-4', a class, or functools.partial(MyOptimizer, lr=0.1)"
        raise UsageError(f"an optimizer of type {type(found).__name__}: {found!r}", how)
    registered = _registered(found)
    reference, origin = reference_to(found) if registered is None else ("", "")
    _check_told(found, options, registered is not None)
    name = registered or (f"{origin}:{found.__name__}" if origin else reference.replace(":", "."))
    return OptimSpec(name, options, "" if registered else found.__name__)


def _registered(found: type) -> str | None:
    """The name that a class is registered under; None where it is not."""
    for record in optimizers.load():
        if record.factory.endswith(f":{found.__name__}") and not record.fixed and resolve(record.factory) is found:
            return record.name
    return None


def _check_told(found: type, options: Mapping[str, Any], is_registered: bool) -> None:
    """Check that every option can be written down, and that none is missing.

    Raises:
        UsageError: naming the option.
    """
    for name, value in options.items():
        parts = value if isinstance(value, tuple) else (value,)
        if not all(part is None or isinstance(part, bool | int | float | str) for part in parts):
            message = f"{found.__name__}: option {name} is of type {type(value).__name__}, which cannot be written down"
            raise UsageError(message, "a number, a text, true or false, None, or a tuple of these")
    missing = [name for name, option in options_of(found).items() if option.default is option.empty]
    missing = [name for name in missing if name not in options]
    if missing and not is_registered and not is_curvature(found):
        how = f"functools.partial({found.__name__}, {missing[0]}=...)"
        raise UsageError(f"{found.__name__} must be told {', '.join(missing)}", how)


def reference_to(found: Any) -> tuple[str, str]:
    """Where a function or a class is to be found again: `module:name`, or `:name` and the file it is in.

    Raises:
        UsageError: when other processes could not find it, nor tell its code.
    """
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    shown = name or f"an object of type {type(found).__name__}"
    if module is None or name is None or "<" in name:
        how = "hand over a function or a class that stands at the top of a Python file"
        raise UsageError(f"{shown} cannot be found again by its name", how)
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or module.startswith(PRIVATE):
        if file is None or not Path(file).is_file() or Path(file).suffix != ".py":
            message = f"{shown} is defined in a notebook or at a prompt, where other processes do not find it"
            raise UsageError(message, "write it into a Python file, and import it from there")
        return f":{name}", str(Path(file).absolute())
    return f"{module}:{name}", ""

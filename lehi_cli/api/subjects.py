"""Tasks and optimizers as Python objects: a task's dictionary, an optimizer's class, beside names and paths.

Worker processes import what they train, and a run's id covers its source. So functions and classes are passed on as
references to the module or the file that defines them. What is typed into a notebook or at a prompt has neither, and
is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from lehi_cli.errors import PluginError, UsageError
from lehi_cli.registry import optimizers, pytorch_optimizer_names
from lehi_cli.registry.from_class import is_optimizer, options_of, required_of
from lehi_cli.registry.optimizers import OptimizerRecord
from lehi_cli.registry.plugins import PRIVATE, resolve
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import OptimSpec, Value, parse_optimizers

Task = str | PathLike[str] | Mapping[str, Any]
Optimizer = str | PathLike[str] | type | partial[Any] | OptimSpec
Tasks = Task | Sequence[Task]
Optimizers = Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer]

AT_THE_TOP = "pass a function or a class that is defined at the top level of a Python file"


def tasks_of(given: Tasks) -> list[str | TaskRecord]:
    """Every task that was named or passed as an object.

    Raises:
        UsageError: when one is neither, or there is none.
    """
    found = _tasks(given)
    if not found:
        raise UsageError("no task is given", "a name such as 'digits': lehi tasks lists them")
    return found


def _tasks(given: Any) -> list[str | TaskRecord]:
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")]
    if isinstance(given, PathLike):
        return [str(given)]
    if isinstance(given, Mapping):
        return [_record(given)]
    if isinstance(given, Sequence) and not isinstance(given, bytes):
        return [task for item in given for task in _tasks(item)]
    how = "a name, a path, a dictionary such as a file's TASK, or a list of these"
    raise UsageError(f"task={given!r} is not allowed", how)


def _record(content: Mapping[str, Any]) -> TaskRecord:
    """A task's dictionary, with references in place of functions and classes."""
    origins: set[str] = set()

    def referred(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: referred(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [referred(part) for part in value]
        if callable(value):
            reference, origin = reference_to(value)
            origins.update([origin] if origin else [])
            return reference
        return value

    found = referred(content)
    if len(origins) > 1:
        message = f"the functions of a task come from several files that are not modules: {', '.join(sorted(origins))}"
        raise UsageError(message, "import them from modules")
    return TaskRecord(found, next(iter(origins), ""))


def optimizers_of(given: Optimizers) -> list[OptimSpec]:
    """Every optimizer that was named or passed as an object; a mapping gives each its label.

    Raises:
        UsageError: when one is neither, there is none, or two share a label.
    """
    if isinstance(given, Mapping):
        specs = [_labelled(label, item) for label, item in given.items()]
    else:
        items: Sequence[Any] = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        specs = _with_labels([found for item in items for found in _named(item)])
    if not specs:
        raise UsageError("no optimizer is given", "a name such as 'adam': lehi optims lists them")
    shown = [spec.label or str(spec) for spec in specs]
    for label in shown:
        if shown.count(label) > 1:
            how = "tell two of them apart: {'first': ..., 'second': ...} labels them"
            raise UsageError(f"optimizer {label!r} is given twice", how)
    return specs


def _labelled(label: Any, item: Any) -> OptimSpec:
    """The optimizer of a mapping under its key."""
    is_line = isinstance(label, str) and label.strip() and label.isprintable() and "," not in label
    if not is_line:
        raise UsageError(f"label {label!r} is not allowed", "a line of text without commas")
    found = _named(item)
    if len(found) != 1:
        raise UsageError(f"{item!r} is {len(found)} optimizers under the label {label!r}", "label each of them")
    return replace(found[0][0], label=label)


def _with_labels(named: Sequence[tuple[OptimSpec, str]]) -> list[OptimSpec]:
    """Classes labelled by their own name, with the options where several have the same."""
    classes = [name for _, name in named]
    return [
        replace(spec, label=str(replace(spec, name=name)) if classes.count(name) > 1 else name) if name else spec
        for spec, name in named
    ]


def _named(item: Any) -> list[tuple[OptimSpec, str]]:
    """What an item stands for, each with the name of its class; empty where it has another name or label."""
    if isinstance(item, OptimSpec):
        return [(item, "")]
    if isinstance(item, str | PathLike):
        return [(spec, "") for spec in parse_optimizers(str(item))]
    found: Any = item.func if isinstance(item, partial) else item
    if not is_optimizer(found):
        how = "a name such as 'adam:lr=3e-4', a class, or functools.partial(MyOptimizer, lr=0.1)"
        raise UsageError(f"{item!r} is not an optimizer", how)
    options = _options(item) if isinstance(item, partial) else {}
    registered = _registered(found, options)
    if registered is not None:
        return [(registered, "")]
    _check_complete(found, options)
    reference, origin = reference_to(found)
    name = f"{origin}{reference}" if origin else reference.replace(":", ".")
    return [(OptimSpec(name, options), found.__name__)]


def _options(item: partial[Any]) -> dict[str, Value]:
    """The options that a partial fixes.

    Raises:
        UsageError: when one has no name, or its value cannot be written down.
    """
    if item.args:
        how = f"pass options by name: partial({item.func.__name__}, lr=0.1)"
        raise UsageError(f"{item!r} fixes arguments by position", how)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in item.keywords.items()}
    for name, value in options.items():
        parts = value if isinstance(value, tuple) else (value,)
        if not all(part is None or isinstance(part, bool | int | float | str) for part in parts):
            message = f"option {name} of type {type(value).__name__} cannot be written down"
            raise UsageError(message, "a number, a text, true or false, None, or a tuple of these")
    return options


def _check_complete(found: type, options: Mapping[str, Any]) -> None:
    """Check that no argument is missing.

    Raises:
        UsageError: naming the arguments that are.
    """
    missing = [name for name in required_of(found) if name not in options]
    if missing:
        how = f"functools.partial({found.__name__}, {', '.join(f'{name}=...' for name in missing)})"
        raise UsageError(f"{found.__name__} has arguments without a default: {', '.join(missing)}", how)


def _registered(found: type, options: Mapping[str, Value]) -> OptimSpec | None:
    """The registered optimizer that a class with these options is; None where there is none."""
    defaults = {name: parameter.default for name, parameter in options_of(found).items()}
    matching = [record for record in optimizers.load() if _is_of(record, found, {**defaults, **options})]
    if matching:
        record = max(matching, key=lambda record: len(record.fixed))
        return OptimSpec(record.name, {key: value for key, value in options.items() if key not in record.fixed})
    is_po = found.__module__.partition(".")[0] == pytorch_optimizer_names.PACKAGE
    return OptimSpec(f"{pytorch_optimizer_names.PREFIX}{found.__name__}", options) if is_po else None


def _is_of(record: OptimizerRecord, found: type, arguments: Mapping[str, Any]) -> bool:
    """Whether a record is of this class, and what it fixes is among the arguments."""
    module, _, attribute = record.factory.rpartition(":")
    name = attribute.partition(".")[0]  # without the method that builds it
    fits = all(arguments.get(key) == value for key, value in record.fixed.items())
    if name != found.__name__ or not module or not fits:
        return False
    with suppress(PluginError):  # a package that cannot be imported is not where the class is from
        return resolve(f"{module}:{name}") is found
    return False


def reference_to(found: Any) -> tuple[str, str]:
    """Where a function or a class can be found: `module:name` and nothing, or `:name` and the file that defines it.

    Raises:
        UsageError: when other processes could not find it there.
    """
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if module is None or name is None or "." in name or "<" in name:
        shown = name or f"an object of type {type(found).__name__}"
        raise UsageError(f"{shown} cannot be imported by its name", AT_THE_TOP)
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or module.startswith(PRIVATE):
        if file is None or not Path(file).is_file() or Path(file).suffix != ".py":
            message = f"{name} is defined in a notebook or at a prompt, where worker processes cannot import it"
            raise UsageError(message, "write it to a Python file (%%writefile my_file.py) and import it from there")
        return f":{name}", str(Path(file).absolute())
    _check_current(found, module, name)
    return f"{module}:{name}", ""


def _check_current(found: Any, module: str, name: str) -> None:
    """Check that a module has this object under its name.

    Raises:
        UsageError: when it has none, or another one: it was wrapped, or its module was loaded again.
    """
    try:
        is_there = resolve(f"{module}:{name}") is found
    except PluginError:
        is_there = False
    if not is_there:
        message = f"{module}.{name} is not the object that was passed"
        raise UsageError(message, f"import it again after a reload; otherwise {AT_THE_TOP}")

"""Where plug-ins come from, and how their code is loaded.

Three places: entry points of installed distributions, folders named in the environment variable `LEHI_PLUGINS`
(separated as in `PATH`), and a path written on the command line. A Python file is loaded under a private module name,
so two plug-ins called `my_task.py` do not collide, and it is in `sys.modules` before it runs, so its dataclasses work.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, Never

from lehi_cli.errors import LehiError, Notice, PluginError, UsageError, did_you_mean

PLUGIN_FOLDERS = "LEHI_PLUGINS"
PRIVATE = "_lehi_plugin_"
"""How the names of modules begin that files named by a path are loaded as."""

_loading: list[str] = []
"""What is being loaded for what it defines, and is not to start experiments."""


@dataclass(frozen=True)
class Plugin:
    """Something that can be loaded: `load` returns an entry point's object, or the path of a file in a folder."""

    source: str
    load: Callable[[], Any]


def discover(group: str) -> Iterator[Plugin]:
    """Every plug-in offered under entry-point `group` and every `.yaml` and `.py` file in the plug-in folders."""
    for point in entry_points(group=group):
        owner = point.dist.name if point.dist else "an unknown distribution"
        yield Plugin(f"{owner} (entry point {point.name})", point.load)
    for folder in filter(None, os.environ.get(PLUGIN_FOLDERS, "").split(os.pathsep)):
        if not Path(folder).is_dir():
            yield Plugin(folder, _no_folder)
        for path in sorted(Path(folder).glob("*")):
            if path.suffix in {".yaml", ".yml", ".py"}:
                yield Plugin(str(path), partial(Path, path))


def _no_folder() -> Never:
    raise PluginError("there is no such folder", f"it is named in {PLUGIN_FOLDERS}")


def failure(plugin: Plugin, error: Exception) -> Notice:
    """The notice for a plug-in that could not be loaded."""
    if isinstance(error, LehiError):
        return Notice(f"plug-in {plugin.source}: {error.message}", error.hint)
    return Notice(f"plug-in {plugin.source}: {type(error).__name__}: {error}")


@cache
def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own, once per process.

    Raises:
        PluginError: when the file is missing or raises.
    """
    if not path.is_file():
        raise PluginError(f"there is no file {path}")
    name = f"{PRIVATE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _loading.append(str(path))
    try:
        spec.loader.exec_module(module)
    except LehiError as error:
        del sys.modules[name]
        raise PluginError(f"{path} fails to load: {error.message}", error.hint) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"{path} fails to load: {type(error).__name__}: {error}") from error
    finally:
        _loading.remove(str(path))
    return module


def only_load() -> None:
    """Let no code start experiments in this process from now on: it is a worker."""
    _loading.append("a module of a task or an optimizer")


def check_not_loading() -> None:
    """Check that no file is being loaded for what it defines: it must not start experiments of its own.

    Raises:
        UsageError: when one is.
    """
    if _loading:
        message = f"{_loading[-1]} starts an experiment while it is imported"
        raise UsageError(message, 'put the call under if __name__ == "__main__":')


def resolve(reference: str, origin: str = "") -> Any:
    """The object behind `module:name`, or behind `:name` in the file `origin`.

    Raises:
        PluginError: when the module or file cannot be loaded, or has no such name.
    """
    module_name, _, name = reference.rpartition(":")
    if module_name:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise PluginError(f"{reference!r}: {error}") from error
    else:
        module = load_file(Path(origin))
    try:
        return attrgetter(name)(module)
    except AttributeError:
        where = module_name or origin
        raise PluginError(f"{where} has no {name!r}", "check the name after the colon") from None


def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """`function(*arguments, **options)`, refusing options it does not have.

    Raises:
        UsageError: naming the option, with the nearest match and the list.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [parameter.name for parameter in parameters][len(arguments) :]
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for option in options:
        if option not in known and not open_ended:
            name = getattr(function, "__name__", str(function))
            listed = f"options of {name}: {', '.join(known) or 'none'}"
            raise UsageError(f"{name} has no option {option!r}{did_you_mean(option, known)}", listed)
    return function(*arguments, **options)


def module_spec(module_name: str, search: Sequence[str] | None = None) -> ModuleSpec | None:
    """The spec of a module in the folders of `search`, or where Python looks; None if it is not there.

    It is looked up part by part, because `importlib.util.find_spec` would import the parent packages.
    """
    name, _, rest = module_name.partition(".")
    try:
        spec = importlib.util.find_spec(name) if search is None else PathFinder.find_spec(name, search)
    except (ImportError, ValueError):
        return None
    for part in filter(None, rest.split(".")):
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec


def locate(module_name: str) -> Path:
    """The file of a module, found without importing it.

    Raises:
        PluginError: when there is no such module, or it has no file.
    """
    spec = module_spec(module_name)
    if spec is None or spec.origin is None:
        raise PluginError(f"no module named {module_name!r}", "is it installed in this environment?")
    if not spec.has_location:
        raise PluginError(
            f"module {module_name!r} is built into Python: it has no source that tells its versions apart"
        )
    return Path(spec.origin)

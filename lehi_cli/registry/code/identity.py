"""From a reference to the hash of the code behind it."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lehi_cli.errors import PluginError
from lehi_cli.registry import plugins

from .closure import PLATFORM, Closure
from .history import MOVED, REWRITTEN, place
from .sources import Sources


def code_hash(reference: str, origin: str = "") -> str:
    """SHA-256 (16 digits) of everything reached from `module:name`, or from `:name` in the file `origin`.

    Empty for code of the platform, such as torch's own optimizers. A module is read once per process, a file named by
    its path every time. `module:name` may also be what identities call it, see `history`.

    Raises:
        PluginError: when the module or file does not exist, is not Python, or has no such name.
    """
    if reference.partition(":")[0]:
        return _of_module(place(reference))
    return fingerprint(reach(reference, Sources(origin)))


@cache
def _sources() -> Sources:
    return Sources()


@cache
def _of_module(reference: str) -> str:
    return fingerprint(reach(reference, _sources()))


def forget_sources() -> None:
    """Read modules anew when they are asked for next."""
    _sources.cache_clear()
    _of_module.cache_clear()


def modules_reached(reference: str, origin: str = "") -> set[str]:
    """The modules that code looks into: of `module:name`, or of `:name` in the file `origin`.

    Raises:
        PluginError: as `code_hash`.
    """
    sources = _sources() if reference.partition(":")[0] else Sources(origin)
    return reach(place(reference), sources).modules


def own_files(origin: str) -> list[Path]:
    """The file `origin`, the modules in its folder that it uses, and the data there that any of them reads.

    Raises:
        PluginError: when one of them cannot be read or is not Python.
    """
    sources = Sources(origin)
    closure = Closure(sources, "")
    closure.follow_all("")
    modules = [sources.path(module) for module in closure.modules if sources.is_own(module)]
    data = [file for file in closure.files if Path(origin).parent in file.parents]
    return sorted({Path(origin), *filter(None, modules), *data})


def reach(reference: str, sources: Sources) -> Closure:
    """What the code behind a reference reaches.

    Raises:
        PluginError: when the module or file does not exist, is not Python, or has no such name.
    """
    module, _, name = reference.rpartition(":")
    closure = Closure(sources, module)
    if module:
        plugins.locate(module)
        if module.partition(".")[0] in {*PLATFORM, *sys.stdlib_module_names}:
            return closure
    elif sources.origin is None or not sources.origin.is_file():
        raise PluginError(f"there is no file {sources.origin}")
    elif sources.origin.suffix != ".py":
        hint = f"name a file: a task in Python, or module:{name}"
        raise PluginError(
            f"':{name}' is code of the file it is named in, and {sources.origin.name} is not Python", hint
        )
    if not closure.follow(module, name):
        raise PluginError(f"{module or sources.origin} has no {name!r}", "check the name after the colon")
    return closure


def fingerprint(closure: Closure) -> str:
    """SHA-256 (16 digits) of what is reached, or that of the same code before it was rewritten; empty for nothing."""
    digest = exact_fingerprint(closure)
    return REWRITTEN.get(digest, digest)


def exact_fingerprint(closure: Closure) -> str:
    """SHA-256 (16 digits) of what is reached, as it reads now; empty for nothing."""
    lines = [*_definitions(closure), *_data(closure)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] if lines else ""


def _definitions(closure: Closure) -> Iterator[str]:
    """A line for each definition; those with the same name in a module are numbered, because the last one wins."""
    seen: Counter[str] = Counter()
    for module, definition in closure.definitions:
        name = f"{MOVED.get(module, module)}:{','.join(definition.names)}"
        seen[name] += 1
        yield f"{name} {seen[name]} {definition.digest}"


def _data(closure: Closure) -> Iterator[str]:
    for path in closure.files:
        with path.open("rb") as file:
            yield f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}"

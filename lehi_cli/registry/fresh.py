"""Files that change during a session, as in a notebook: what was read of them, and what was imported.

A run's id covers its code as the files are now. So everything is read again, and a module that was imported from an
earlier version of its file is refused: its run would be stored under the id of code that never ran.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from lehi_cli.errors import UsageError
from lehi_cli.runs.specs import RunSpec

from . import optimizers, plugins, tasks
from .code import forget_sources, modules_reached


def forget() -> None:
    """Forget catalogs, plug-ins and sources, so that they are read again."""
    tasks.load.cache_clear()
    optimizers.load.cache_clear()
    plugins.load_file.cache_clear()
    forget_sources()


def check_fresh(runs: Iterable[RunSpec]) -> None:
    """Check that what is imported of the code of some runs agrees with its files.

    Raises:
        UsageError: naming the module that does not.
    """
    references = {(reference, run.task.origin) for run in runs for reference in run.task.code}
    for run in runs:
        record = optimizers.find(run.optimizer.name, run.optimizer_origin)
        references.add((record.factory, record.origin))
    for name in sorted({module for reference, origin in references for module in modules_reached(reference, origin)}):
        module = sys.modules.get(name)
        if module is not None and _is_stale(module):
            message = f"{module.__file__} has changed since it was imported as {name}"
            raise UsageError(message, f"importlib.reload({name}), or restart Python")


_checked: dict[str, tuple[ModuleSpec | None, str]] = {}
"""The modules that were found to be current: how each was imported, and the digest of its file then."""


def _is_stale(module: ModuleType) -> bool:
    """Whether a module was imported from an earlier version of its file.

    From the first check on, by what the file held then. At the first check, by the time and the size of the source that
    the cached bytecode names; without such a cache (`PYTHONDONTWRITEBYTECODE`) an edit before it is not noticed.
    """
    try:
        digest = hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()
    except OSError:
        return False
    spec, known = _checked.get(module.__name__, (None, ""))
    if known and spec is module.__spec__:  # a reload makes a new spec
        return digest != known
    if _is_older(module):
        return True
    _checked[module.__name__] = (module.__spec__, digest)
    return False


def _is_older(module: ModuleType) -> bool:
    """Whether a module's file is not the one that its cached bytecode was made from; False where there is no cache."""
    cached, file = getattr(module.__spec__, "cached", None), module.__file__
    if not cached or not file:
        return False
    try:
        header, now = Path(cached).read_bytes()[:16], os.stat(file)
    except OSError:
        return False
    if int.from_bytes(header[4:8], "little"):  # this bytecode names its source by hash, not by time
        return False
    then = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return then != (int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF)

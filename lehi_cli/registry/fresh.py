"""Files that change while a process lives on, as in a notebook: what was read of them, and what was imported.

A run's id tells its code by the files as they are now. So what was read before is forgotten, and a module that was
imported from an earlier version of its file is refused: its run would be stored under the id of code that never ran.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from lehi_cli.errors import UsageError
from lehi_cli.runs.specs import RunSpec

from . import optimizers, plugins, tasks
from .code import forget_sources, modules_reached


def forget() -> None:
    """Read catalogs, plug-ins and sources anew when they are asked for next."""
    tasks.load.cache_clear()
    optimizers.load.cache_clear()
    plugins.load_file.cache_clear()
    forget_sources()


def check_fresh(runs: Iterable[RunSpec]) -> None:
    """Check that the code of some runs that is imported already is that of its files.

    Raises:
        UsageError: naming the module that is not.
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


def _is_stale(module: ModuleType) -> bool:
    """Whether a module's file is not the one that its cached bytecode was made from; False where there is none."""
    cached, file = getattr(module.__spec__, "cached", None), module.__file__
    if not cached or not file:
        return False
    try:
        header, now = Path(cached).read_bytes()[:16], os.stat(file)
    except OSError:
        return False
    if int.from_bytes(header[4:8], "little"):  # bytecode that is told by the hash of its source, not by its time
        return False
    then = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return then != (int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF)

"""Whether a run is still being trained.

A run belongs to the process that claimed it. On this machine that process can be looked up; on another machine the age
of `run.json` tells, which is touched with every shard.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from .status import DONE, Status

STALE_SECONDS = 600.0


def is_abandoned(folder: Path) -> bool:
    """Whether no process will finish this run: it failed, its process is gone, or its `run.json` is unreadable."""
    try:
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if state["status"] in DONE:
            return False
        if state["status"] != Status.RUNNING:
            return True
        host, pid = state["owner"]["host"], int(state["owner"]["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return age(folder) > 1.0
    if host != socket.gethostname():
        return age(folder / "run.json") > STALE_SECONDS
    return not _is_alive(pid)


def age(path: Path) -> float:
    """Seconds since the file was written to or touched; 0 if it is missing."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

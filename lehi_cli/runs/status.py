"""How runs end, and the groups that matter: each status is named here and looked up everywhere else."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a run; in files it is plain text."""

    PLANNED = "planned"
    RUNNING = "running"
    OK = "ok"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    ERROR = "error"
    OOM = "oom"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    KILLED = "killed"


DONE = frozenset({Status.OK, Status.DIVERGED})
"""The run has a result; it is not trained again."""

FAILED = frozenset({Status.ERROR, Status.OOM, Status.TIMEOUT, Status.INTERRUPTED, Status.KILLED})
"""The run ended without a result; it is trained again if it is asked for."""

ENDED = DONE | FAILED | {Status.PRUNED}
"""The run is no longer being trained."""

UNFINISHED = frozenset({Status.PLANNED, Status.RUNNING, Status.INTERRUPTED, Status.PRUNED})
"""The run says nothing about where it would have ended, so it is left out of comparisons. The others that are not `ok`
count as worst."""

"""Errors as typed values: a message, what to do next, and an exit code.

Only `lehi_cli.cli.main` turns them into text and an exit status; everything below raises them, or passes on a `Notice`
if the work can continue.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    ASSERT_FALSE = 3
    ASSERT_INCONCLUSIVE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class LehiError(Exception):
    """An error the user can act on.

    Args:
        message: what is wrong, and where.
        hint: what to do next.
    """

    exit_code = Exit.RUN_FAILED

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LehiError):
    """The request cannot be carried out as given."""

    exit_code = Exit.USAGE


class UnknownNameError(UsageError):
    """A name that nothing is registered under; the message carries the nearest match and the whole list."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = ""):
        known = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)}", hint or f"known: {', '.join(known)}")


class DataError(UsageError):
    """Data that is missing, damaged, or not what the task declares."""


class StoreError(UsageError):
    """A run folder that cannot be read from or written to."""


class PluginError(UsageError):
    """A plug-in that fails to load."""


class AssertionFalseError(LehiError, AssertionError):
    """An assertion about runs that does not hold."""

    exit_code = Exit.ASSERT_FALSE


class AssertionInconclusiveError(LehiError, AssertionError):
    """An assertion about runs that these seeds cannot settle."""

    exit_code = Exit.ASSERT_INCONCLUSIVE


@dataclass(frozen=True)
class Notice:
    """Something the user should know that does not stop the work."""

    message: str
    hint: str = ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'adam'?` if one of `known` is close to `name`, otherwise empty."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""

"""The result of a check: a finding in words, whatever the code under test raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from lehi_cli.errors import LehiError

S = TypeVar("S")
CheckOutcome = Literal["passed", "failed", "skipped"]


class NonconformityError(Exception):
    """What a task or an optimizer does wrong."""


class NotAskedError(Exception):
    """Why a check does not apply to this task or optimizer."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, and what it saw."""

    check: str
    outcome: CheckOutcome
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the check was made and all is well."""
        return self.outcome == "passed"

    @property
    def failed(self) -> bool:
        """Whether something is wrong; a skipped check found nothing."""
        return self.outcome == "failed"


def find(name: str, check: Callable[[S], str], subject: S) -> Finding:
    """Run one check."""
    try:
        return Finding(name, "passed", check(subject))
    except NotAskedError as reason:
        return Finding(name, "skipped", str(reason))
    except NonconformityError as wrong:
        return Finding(name, "failed", str(wrong))
    except Exception as error:  # whatever the code under test raises is a finding
        return Finding(name, "failed", in_words(error))


def find_all(checks: Mapping[str, Callable[[S], str]], subject: S) -> Iterator[Finding]:
    """Run checks one after the other; one that fails does not stop the next."""
    for name, check in checks.items():
        yield find(name, check, subject)


def require(holds: bool, wrong: str) -> None:
    """Raise `NonconformityError` with what is wrong unless `holds`."""
    if not holds:
        raise NonconformityError(wrong)


def in_words(error: Exception) -> str:
    """An exception in one line, with its hint if it is one of the tool's own."""
    if isinstance(error, LehiError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")

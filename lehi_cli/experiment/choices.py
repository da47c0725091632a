"""What there is to choose from, and the check that something was chosen from it."""

from __future__ import annotations

from pathlib import Path

from lehi_cli.errors import UsageError

AXES = ("passes", "steps", "seconds")
DEFAULT_RUNS = Path("runs")


def choice(value: str, allowed: tuple[str, ...], flag: str) -> str:
    """Return `value` if it is one of `allowed`.

    Raises:
        UsageError: when it is not.
    """
    if value not in allowed:
        raise UsageError(f"{flag} {value!r} is not allowed", f"one of {', '.join(allowed)}")
    return value

"""A report on the page of a GitHub Actions run: Markdown, appended to the file that the runner names."""

from __future__ import annotations

import os
from collections.abc import Callable

from lehi_cli.errors import Notice

VARIABLE = "GITHUB_STEP_SUMMARY"


def append_step_summary(markdown: Callable[[], str]) -> Notice | None:
    """Append Markdown to the summary of the current step; does nothing if `GITHUB_STEP_SUMMARY` is unset or empty.

    Args:
        markdown: writes the Markdown; called only if it is needed.

    Returns:
        A notice if the file cannot be written, which is not a reason to fail the step.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{markdown().rstrip()}\n")
    except OSError as error:
        return Notice(f"cannot add to the step summary {path}: {error.strerror}", f"unset {VARIABLE} to do without it")
    return None

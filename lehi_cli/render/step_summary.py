"""A report on the page of a GitHub Actions run: Markdown, added to the file that the runner names."""

from __future__ import annotations

import os
from collections.abc import Callable

from lehi_cli.errors import Notice

VARIABLE = "GITHUB_STEP_SUMMARY"


def append_step_summary(markdown: Callable[[], str]) -> Notice | None:
    """Add Markdown to the summary of the step that runs; nothing where `GITHUB_STEP_SUMMARY` is not set or empty.

    Args:
        markdown: writes it; asked only when it is wanted.

    Returns:
        A notice when the file cannot be written to, which is no reason to fail the step.
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

"""Output of a report: to the terminal or a file, in one of several formats, and to a CI job's summary."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from lehi_cli.errors import Exit, Notice, UnknownNameError, UsageError
from lehi_cli.experiment.report import Report
from lehi_cli.render.comparisons import comparisons_part
from lehi_cli.render.export import FORMATS, IMAGES, drawn, format_of, formatted, save
from lehi_cli.render.report import to_document
from lehi_cli.render.step_summary import append_step_summary
from lehi_cli.render.terminal import print_parts
from lehi_cli.runs.comparisons import ComparisonRecord
from lehi_cli.runs.store import Store


def chosen_format(asked: str | None, output: Path | None, json: bool) -> str:
    """The format that was asked for, or the one that the file's name implies.

    Raises:
        UnknownNameError: when there is no such format.
        UsageError: when both `--json` and another format are given, or the file's name implies none.
    """
    if asked is not None and asked not in FORMATS:
        raise UnknownNameError("format", asked, FORMATS)
    if json:
        if asked not in (None, "json"):
            raise UsageError(f"--json and --format {asked} are two formats", "give one of them")
        return "json"
    if asked or output is None:
        return asked or "table"
    return format_of(output)


def show(
    report: Report,
    store: Store,
    kind: str = "table",
    output: Path | None = None,
    listed: Sequence[ComparisonRecord] = (),
) -> Exit:
    """Write a report where it belongs, and to the summary of a CI job; returns the exit code of its assertions.

    Args:
        report: the report.
        store: the store it comes from; its notices go to stderr.
        kind: the format.
        output: the file; None for the terminal.
        listed: comparisons to list before it, if there are several.
    """
    errors = Console(stderr=True)
    say(errors, store.notices)
    if len(listed) > 1 and kind == "table" and output is None:
        print_parts(Console(), [comparisons_part(listed)])
    write(report, kind, output)
    if output is not None:
        errors.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)
    notice = append_step_summary(lambda: formatted(report, "markdown"))
    say(errors, [notice] if notice else [])
    if not report.checks:
        return Exit.OK
    from lehi_cli.gate import exit_code

    return exit_code(report.checks)


def say(console: Console, notices: Sequence[Notice]) -> None:
    """Print notices, each with its next step."""
    for notice in notices:
        hint = f" ({notice.hint})" if notice.hint else ""
        console.print(f"warning: {notice.message}{hint}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def write(report: Report, kind: str, output: Path | None) -> None:
    """Write a report to a file, or to the terminal.

    Args:
        report: the report.
        kind: one of `FORMATS`.
        output: the file, replaced if it exists; None for the terminal.

    Raises:
        UsageError: when the file cannot be written, or the terminal cannot show it.
    """
    if kind == "table" and output is None:
        print_parts(Console(), to_document(report).parts)
        return
    if output is not None:
        save(report, output, kind)
        return
    if kind in IMAGES:
        _write_image(report, kind)
        return
    text = formatted(report, kind)
    if kind == "html" and isinstance(sys.stdout, io.TextIOWrapper):  # the page declares itself as UTF-8
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    typer.echo(text, nl=not text.endswith("\n"))


def _write_image(report: Report, kind: str) -> None:
    """Write an image where output goes, which is bytes."""
    if kind != "svg" and sys.stdout.isatty():
        raise UsageError(f"a terminal cannot show {kind}", f"--output figures.{kind} writes it into a file")
    content = drawn(report, kind)
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()

"""Where a report goes: to the terminal, into a file, in one of several formats, and into a CI job's summary."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from lehi_cli.errors import Exit, Notice, UnknownNameError, UsageError
from lehi_cli.render.comparisons import comparisons_part
from lehi_cli.render.content import Document, Figure, Lines, Part
from lehi_cli.render.document import to_json
from lehi_cli.render.plot import draw, legend
from lehi_cli.render.report import to_document
from lehi_cli.render.step_summary import append_step_summary
from lehi_cli.render.terminal import print_parts
from lehi_cli.report import Report
from lehi_cli.runs.comparisons import ComparisonRecord
from lehi_cli.runs.store import Store

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")
SUFFIXES = {
    ".txt": "table", ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex",
    ".html": "html", ".htm": "html",
}  # fmt: skip
WIDTH = 100  # of text that goes into a file


def chosen_format(asked: str | None, output: Path | None, json: bool) -> str:
    """The format that was asked for, or else that of the file's name.

    Raises:
        UnknownNameError: when there is no such format.
        UsageError: when `--json` and another format were asked for, or when the file's name tells none.
    """
    if asked is not None and asked not in FORMATS:
        raise UnknownNameError("format", asked, FORMATS)
    if json:
        if asked not in (None, "json"):
            raise UsageError(f"--json and --format {asked} are two formats", "give one of them")
        return "json"
    if asked or output is None:
        return asked or "table"
    if output.suffix.lower() not in SUFFIXES:
        hint = f"name it with --format, or end the file's name in one of {', '.join(SUFFIXES)}"
        raise UsageError(f"no format is known by the name of {output}", hint)
    return SUFFIXES[output.suffix.lower()]


def show(
    report: Report,
    store: Store,
    kind: str = "table",
    output: Path | None = None,
    listed: Sequence[ComparisonRecord] = (),
) -> Exit:
    """Write a report where it belongs, and to the summary of a CI job; returns what its assertions came to.

    Args:
        report: what is shown.
        store: where it comes from; what it has to say goes to stderr.
        kind: the format.
        output: the file; None for the terminal.
        listed: comparisons to be named before it, when there are several.
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
        report: what is shown.
        kind: one of `FORMATS`.
        output: the file, replaced when it is there; None for the terminal.

    Raises:
        UsageError: when the file cannot be written.
    """
    if kind == "table" and output is None:
        print_parts(Console(), to_document(report).parts)
        return
    text = formatted(report, kind)
    if output is None:
        if kind == "html" and isinstance(sys.stdout, io.TextIOWrapper):  # the page says of itself that it is UTF-8
            sys.stdout.reconfigure(encoding="utf-8", errors="replace")
        typer.echo(text, nl=not text.endswith("\n"))
        return
    try:
        whole = text if text.endswith("\n") else f"{text}\n"
        output.write_text(whole, encoding="utf-8", errors="replace", newline="")  # a path may be no text
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}", "choose another file with --output") from error


def formatted(report: Report, kind: str) -> str:
    """A report as text; each writer is imported when it is wanted."""
    if kind == "json":
        return to_json(report)
    if kind == "csv":
        from lehi_cli.render.csv import sections_to_csv

        return sections_to_csv([item.section for item in report.sections], report.provenance)
    document = to_document(report)
    if kind == "latex":
        from lehi_cli.render.latex import document_to_latex

        return document_to_latex(document)
    if kind == "html":
        from lehi_cli.render.html import document_to_html

        return document_to_html(document)
    return _markdown(document) if kind == "markdown" else _plain(document)


def _markdown(document: Document) -> str:
    from lehi_cli.render.markdown import document_to_markdown

    return document_to_markdown(document, _drawn)


def _drawn(figure: Figure) -> str:
    """A figure as text with its legend; nothing where there is nothing to draw."""
    drawing = draw(figure, WIDTH, colored=False)
    return f"{drawing}\n{legend(figure, colored=False).plain}".rstrip() if drawing else ""


def _plain(document: Document) -> str:
    """What a terminal without colour shows, and where it comes from."""
    origin = Part("provenance", "", [Lines([f"{name}: {value}" for name, value in document.provenance])])
    stream = io.StringIO()
    print_parts(Console(file=stream, width=WIDTH, force_terminal=True, color_system=None), [*document.parts, origin])
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())

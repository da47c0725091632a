"""A report in one of several formats, as text and as a file; each writer is imported only when it is needed."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from lehi_cli.errors import UsageError
from lehi_cli.experiment.report import Report

from .document import Document, Figure, Lines, Part
from .report import to_document
from .terminal import print_parts

IMAGES = ("pdf", "png", "svg")  # the figures alone
FORMATS = ("table", "markdown", "csv", "json", "latex", "html", *IMAGES)
SUFFIXES = {
    ".txt": "table", ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex",
    ".html": "html", ".htm": "html", ".pdf": "pdf", ".png": "png", ".svg": "svg",
}  # fmt: skip
WIDTH = 100  # columns of text in a file


def format_of(path: Path) -> str:
    """The format that a file's name implies.

    Raises:
        UsageError: when it implies none.
    """
    if path.suffix.lower() not in SUFFIXES:
        hint = f"name it with --format, or end the file's name in one of {', '.join(SUFFIXES)}"
        raise UsageError(f"the name {path} does not tell a format", hint)
    return SUFFIXES[path.suffix.lower()]


def save(report: Report, path: Path, kind: str) -> None:
    """Write a report into a file, replacing an existing one.

    Args:
        report: the report.
        path: the file.
        kind: one of `FORMATS`.

    Raises:
        UsageError: when the file cannot be written, or when there is no figure for an image.
    """
    content = drawn(report, kind) if kind in IMAGES else _encoded(formatted(report, kind))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another file with --output") from error


def _encoded(text: str) -> bytes:
    """Text as a file has it; a path in it may not be text."""
    return (text if text.endswith("\n") else f"{text}\n").encode("utf-8", errors="replace")


def drawn(report: Report, kind: str) -> bytes:
    """The figures of a report, as one of `IMAGES`.

    Raises:
        UsageError: when it has none.
    """
    from .sheet import figures_of, sheet

    document = to_document(report)
    figures = figures_of(document)
    if not figures:
        hint = "--brief leaves them out" if report.view.detail == "brief" else "choose others, or another format"
        raise UsageError(f"there is no figure to draw as {kind} in this report", hint)
    return sheet(figures, kind, document.provenance)


def formatted(report: Report, kind: str) -> str:
    """A report as text, in any of `FORMATS` that is not an image."""
    if kind == "json":
        from .json import to_json

        return to_json(report)
    if kind == "csv":
        from .csv import sections_to_csv

        return sections_to_csv([item.section for item in report.sections], report.provenance)
    document = to_document(report)
    if kind == "latex":
        from .latex import document_to_latex

        return document_to_latex(document)
    if kind == "html":
        from .html import document_to_html

        return document_to_html(document)
    return _markdown(document) if kind == "markdown" else _plain(document)


def _markdown(document: Document) -> str:
    from .markdown import document_to_markdown

    return document_to_markdown(document, _drawn)


def _drawn(figure: Figure) -> str:
    """A figure as text with its legend; empty if there is nothing to draw."""
    from .plot import draw, legend

    drawing = draw(figure, WIDTH, colored=False)
    return f"{drawing}\n{legend(figure, colored=False).plain}".rstrip() if drawing else ""


def _plain(document: Document) -> str:
    """The report as a terminal without colour shows it, with its provenance."""
    origin = Part("provenance", "", [Lines([f"{name}: {value}" for name, value in document.provenance])])
    stream = io.StringIO()
    print_parts(Console(file=stream, width=WIDTH, force_terminal=True, color_system=None), [*document.parts, origin])
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())

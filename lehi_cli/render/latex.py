r"""A document as LaTeX, to include in a paper with `\input`: booktabs tables, notes as text, no figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from .document import Block, Document, Figure, Heading, Part, Table

LINE_CHARACTERS = 78
"""About what a line of a one-column article holds in small type; a wider table is split into its parts."""

_HEADER = r"""% Written by lehi report. Include it in a document with \input; the preamble needs \usepackage{booktabs}.
% Accented letters work with pdfLaTeX; other alphabets need LuaLaTeX or XeLaTeX and a font that has them."""

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "<": r"$<$",
        ">": r"$>$",
        "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}",
        # Letters that pdfLaTeX does not know as they are; it knows the accented ones.
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": r"$-$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "≈": r"$\approx$",
        "∞": r"$\infty$",
        "→": r"$\to$",
        "…": r"\ldots{}",
        "·": r"$\cdot$",
    }
)
_LIGATURE = re.compile(r"-(?=-)")
_MINUS = re.compile(r"(?<![\w.)])-(?=[\d.]|inf\b)|(?<=\de)-(?=\d)")
_INFINITE = re.compile(r"\binf\b")


def document_to_latex(document: Document) -> str:
    r"""The whole report: a paragraph per part, a `table` environment per table with its caption and label.

    The best cell of a column is bold; its star stands outside the column, so that the digits stay aligned.
    """
    blocks = [_HEADER]
    if document.provenance:
        blocks.append("\n".join(f"% {_one_line(name)}: {_one_line(value)}" for name, value in document.provenance))
    numbers = iter(range(1, 1 + sum(len(part.blocks) for part in document.parts)))
    for part in document.parts:
        blocks += _part(part, numbers)
    if document.provenance:
        blocks.append(_provenance(document.provenance))
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    r"""Text on one line as LaTeX prints it: `50 % of a_b` becomes `50 \% of a\_b`; two hyphens do not become a dash."""
    return _LIGATURE.sub("-{}", _one_line(text).translate(_ESCAPES))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _part(part: Part, numbers: Iterator[int]) -> list[str]:
    opening = rf"\paragraph{{{escape(part.title)}}} {escape(part.subtitle)}".rstrip() if part.title else ""
    return [*filter(None, [opening]), *filter(None, (_block(block, part, numbers) for block in part.blocks))]


def _block(block: Block, part: Part, numbers: Iterator[int]) -> str:
    if isinstance(block, Table):
        return _table(block, part, next(numbers))
    if isinstance(block, Figure):
        return f"% figure left out: {_one_line(block.title)}"
    if isinstance(block, Heading):
        return rf"\paragraph{{{escape(block.text)}}}"
    weight = r"\textbf{%s}" if block.strong else "%s"
    return "\n\n".join(rf"\noindent {weight % escape(line)}" for line in block.lines if line.strip())


def _table(table: Table, part: Part, number: int) -> str:
    about = ", ".join(filter(None, (part.title, part.subtitle)))
    caption = escape(": ".join(filter(None, (about, table.caption))))
    tabulars = "\n\n\\medskip\n".join(_tabular(table, columns) for columns in _fitting(table))
    return (
        "\\begin{table}[htbp]\n\\centering\n\\small\n"
        f"\\caption{{{caption}}}\n\\label{{{_label(part, number)}}}\n\\smallskip\n{tabulars}\n\\end{{table}}"
    )


def _label(part: Part, number: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", part.title.lower()).strip("-")
    return f"tab:{slug or 'lehi'}-{number}"


def _fitting(table: Table) -> list[list[int]]:
    """The columns of each tabular: all of them or, if they are too wide, part by part after the first column."""
    widths = [
        max(len(cell) for cell in (column.heading, *(row[i] for row in table.rows))) + 2
        for i, column in enumerate(table.columns)
    ]
    rest = range(1, len(widths))
    if sum(widths) <= LINE_CHARACTERS:
        return [[0, *rest]]
    return [[0, *own] for _, own in groupby(rest, key=lambda i: table.columns[i].part)]


def _tabular(table: Table, columns: Sequence[int]) -> str:
    # Not by tabulate: it escapes whole cells, and these have commands in them.
    alignment = "".join(_alignment(table, i) for i in columns)
    rows = [_row(_cell(table, row, i) for i in columns) for row in table.rows]
    heading = _row(escape(table.columns[i].heading) for i in columns)
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", heading, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"])


def _alignment(table: Table, column: int) -> str:
    """Prose that may wrap gets a third of the line at most."""
    longest = max((len(row[column]) for row in table.rows), default=0)
    if table.columns[column].wraps and longest > LINE_CHARACTERS / 3:
        return r"p{0.33\linewidth}"
    return "r" if table.columns[column].right else "l"


def _row(cells: Iterator[str]) -> str:
    row = " & ".join(cells)
    protected = (
        "{}" if row.startswith(("[", "*")) else ""
    )  # the end of the previous row would take them as its argument
    return rf"{protected}{row} \\"


def _cell(table: Table, row: Sequence[str], i: int) -> str:
    """A cell in LaTeX: the name of its row, the best of its column, or any other."""
    numbers = table.columns[i].right
    if i and row[i].endswith("*"):
        return rf"\textbf{{{_content(row[i][:-1], numbers)}}}\rlap{{*}}"
    return _content(row[i], numbers)


def _content(text: str, numbers: bool) -> str:
    """Text, with minus signs for hyphens in a column of numbers; a dash for a lone hyphen."""
    if text == "-":
        return "--"
    return escape(_INFINITE.sub("∞", _MINUS.sub("−", text)) if numbers else text)


def _provenance(pairs: Sequence[tuple[str, str]]) -> str:
    said = r";\ ".join(rf"{escape(name)}: \texttt{{{escape(value)}}}" for name, value in pairs)
    return f"\\paragraph{{provenance}}\n{{\\small\\raggedright {said}.\\par}}"

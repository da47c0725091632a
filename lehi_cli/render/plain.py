"""Substitutes for characters that a terminal without Unicode lacks: the same picture in poorer type."""

from __future__ import annotations

import codecs
import unicodedata

NAME = "lehi-plain"
PLAIN = (
    dict.fromkeys("─━═╌▀▄▁", "-")
    | dict.fromkeys("│┃", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼╰╯╭╮╸╺", "+")
    | dict.fromkeys("▖▗▘▝▚▞▙▛▜▟▌▐█", "#")
    | {"●": "0", "▲": "^", "░": ":", "·": ".", "…": "~", "±": "+-", "×": "x", "é": "e", "–": "-", "−": "-", "’": "'"}
)
"""One character for one, so that columns stay aligned; ± is the exception."""


def register() -> str:
    """Register the error handler with the codecs; returns its name for `stream.reconfigure(errors=...)`."""
    codecs.register_error(NAME, _replace)
    return NAME


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_plain, lacking)), error.end


def _plain(character: str) -> str:
    """The nearest ASCII: from the table, or the letter without its accent, or a question mark."""
    found = PLAIN.get(character) or unicodedata.normalize("NFKD", character)
    return found.encode("ascii", "ignore").decode() or "?"

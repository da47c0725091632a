"""What a terminal without Unicode gets in place of the characters it lacks: the same picture in poorer type."""

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
"""One character for one, so that columns stay where they are, but for ±."""


def register() -> str:
    """Make the name of an error handler known to the codecs, for `stream.reconfigure(errors=...)`."""
    codecs.register_error(NAME, _replace)
    return NAME


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_plain, lacking)), error.end


def _plain(character: str) -> str:
    """The nearest in ASCII: from the table, else the letter without its accent, else a question mark."""
    found = PLAIN.get(character) or unicodedata.normalize("NFKD", character)
    return found.encode("ascii", "ignore").decode() or "?"

"""The documents, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md")),
]

_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w/]+\.(py|yaml))\n")
_INLINE = re.compile(r"`(lehi [a-z][^`]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: which document it is in, its language, and what stands in it, without its indentation."""

    document: str
    language: str
    code: str

    @property
    def file(self) -> str:
        """The file that it shows, by the comment in its first line; empty for none."""
        named = _FILE.match(self.code)
        return named["name"] if named else ""

    @property
    def lines(self) -> list[str]:
        """Its commands, each on one line."""
        return [line for line in self.code.replace("\\\n", " ").splitlines() if line.strip()]

    def __str__(self) -> str:
        return f"{self.document}: {self.code.partition(chr(10))[0]}"


def text(document: str) -> str:
    """What stands in a document."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str = "") -> list[Block]:
    """The blocks of a document, in their order: all, or those of one language."""
    found = _FENCED.finditer(text(document))
    every = [Block(document, match["language"], dedent(match["code"])) for match in found]
    return [block for block in every if language in ("", block.language)]


def commands(document: str) -> Iterator[str]:
    """Every command `lehi ...` that a document shows, in blocks and in the text."""
    for block in blocks(document, "bash"):
        yield from (line for line in block.lines if line.startswith("lehi "))
    prose = _FENCED.sub("", text(document))
    yield from (" ".join(command.split()) for command in _INLINE.findall(prose))

"""Text to predict symbol by symbol: Penn Treebank (words), Shakespeare (characters), any file (either, or bytes)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lehi_cli.data import catalog, fake
from lehi_cli.data.dataset import Dataset, checksum, faked_by
from lehi_cli.data.tokens import by_first_occurrence, cut, numbered, one_sequence, repeated, windows, words
from lehi_cli.errors import DataError

HELD_OUT = 0.05  # of a text, for `val` and for `test`
LEVELS = ("char", "byte", "word")


@faked_by(fake.text(10_000, 35, as_stream=True))
def ptb(folder: Path, window: int = 35) -> Dataset:
    """Penn Treebank (Mikolov's splits): words, `<eos>` after each sentence, one long sequence per split.

    The vocabulary is that of the training split, in order of first occurrence; the other splits have no other words.

    Args:
        folder: the data folder.
        window: words per step of a batch, which is how far the gradient is propagated back.

    Raises:
        DataError: files are missing or altered.
        ValueError: an option is out of its range.
    """
    raw = [path.read_bytes() for path in catalog.find("ptb").paths(folder)]
    parts = dict(zip(("train", "val", "test"), (words(text.decode()) for text in raw), strict=True))
    vocabulary = by_first_occurrence(parts["train"])
    sequences = {split: numbered(part, vocabulary) for split, part in parts.items()}
    return one_sequence(sequences, len(vocabulary), window, checksum(map(_bytes, raw)), "ptb")


@faked_by(fake.text(65, 128))
def shakespeare(folder: Path, length: int = 128) -> Dataset:
    """Tiny Shakespeare by characters: the first 90 % for training, then 5 % each for validation and test.

    Args:
        folder: the data folder.
        length: predictions per sequence.

    Raises:
        DataError: the file is missing or altered.
        ValueError: an option is out of its range.
    """
    (path,) = catalog.find("shakespeare").paths(folder)
    return text(folder, str(path), length)


@faked_by(fake.text(256, 128))
def text(folder: Path, path: str, length: int = 128, level: str = "char") -> Dataset:
    """A text file: the first 90 % for training, then 5 % each for validation and test.

    Args:
        folder: the data folder.
        path: the file, absolute or relative to `folder`.
        length: predictions per sequence.
        level: what a symbol is. `char`: a character, numbered by code point among those that occur; `byte`: any of
            256; `word`: whatever is between blanks, with `<eos>` after each line, and `<unk>` for words that do not
            occur at least twice in the training split.

    Raises:
        DataError: the file is missing, too short, or, unless taken by bytes, not UTF-8.
        ValueError: an option is out of its range.
    """
    if level not in LEVELS:
        raise ValueError(f"text: level={level!r} must be one of {', '.join(LEVELS)}")
    file = folder / str(path)
    if not file.is_file():
        raise DataError(
            f"text: there is no file {file}",
            "name one with --set data.path=FILE, absolute or within the data folder; "
            "--fake-data gives a smoke run without it",
        )
    raw = file.read_bytes()
    if level == "byte":
        parts, outputs = cut(_bytes(raw), HELD_OUT), 256
    elif level == "char":
        characters = _decoded(raw, file)
        alphabet = by_first_occurrence(sorted(set(characters)))
        parts, outputs = cut(numbered(characters, alphabet), HELD_OUT), len(alphabet)
    else:
        listed = cut(np.array(words(_decoded(raw, file)), dtype=object), HELD_OUT)
        vocabulary = repeated(listed["train"])
        parts = {split: numbered(part, vocabulary, unknown=0) for split, part in listed.items()}
        outputs = len(vocabulary)
    return windows(parts, outputs, length, checksum([_bytes(raw)]), f"text {file.name}")


def _bytes(raw: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(raw), dtype=np.uint8)  # a bytearray makes the array writable


def _decoded(raw: bytes, file: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"text: {file} is not UTF-8: byte {error.start} is {raw[error.start]:#04x}",
            "convert it, or take it by bytes: --set data.level=byte",
        ) from None

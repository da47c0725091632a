"""Text as numbers: sequences of symbols in as few bytes as possible, and the data sets made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from lehi_cli.data.dataset import Dataset, Split
from lehi_cli.errors import DataError

END = "<eos>"
UNKNOWN = "<unk>"


def words(text: str) -> list[str]:
    """The words of `text`, with `<eos>` after each line."""
    return [word for line in text.splitlines() for word in (*line.split(), END)]


def by_first_occurrence(symbols: Iterable[str]) -> dict[str, int]:
    """The distinct `symbols`, numbered from 0 in order of first occurrence."""
    return {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}


def repeated(symbols: Iterable[str]) -> dict[str, int]:
    """`<unk>` as 0, then symbols that occur more than once, in order of occurrence; `<unk>` is learnt from the rest."""
    return by_first_occurrence([UNKNOWN, *(symbol for symbol, count in Counter(symbols).items() if count > 1)])


def numbered(symbols: Iterable[str], vocabulary: Mapping[str, int], unknown: int = -1) -> np.ndarray:
    """The numbers of `symbols` as an array [L]; symbols not in `vocabulary` become `unknown`."""
    return np.array([vocabulary.get(symbol, unknown) for symbol in symbols], dtype=compact(len(vocabulary)))


def compact(symbols: int) -> np.dtype:
    """The smallest of uint8, int16 and int32 that holds the numbers below `symbols`."""
    return np.dtype(np.uint8 if symbols <= 1 << 8 else np.int16 if symbols <= 1 << 15 else np.int32)


def cut(sequence: np.ndarray, held_out: float) -> dict[str, np.ndarray]:
    """A sequence [L] cut into `train`, `val` and `test`, in this order; the last two have a share `held_out` each."""
    bounds = [round(len(sequence) * (1 - share * held_out)) for share in (2, 1)]
    return dict(zip(("train", "val", "test"), np.split(sequence, bounds), strict=True))


def windows(parts: Mapping[str, np.ndarray], outputs: int, length: int, checksum: str, name: str) -> Dataset:
    """Each part cut into inputs [N, length] and targets [N, length], the same one symbol later.

    The windows of a part follow one another without gap or overlap; symbols left over at its end are not used.

    Raises:
        DataError: when a part is too short for a single window.
        ValueError: when `length` is not a positive integer.
    """
    if type(length) is not int or length < 1:
        raise ValueError(f"{name}: length={length!r} must be a positive integer")
    splits = {}
    for split, sequence in parts.items():
        used = (len(sequence) - 1) // length * length
        if used <= 0:
            raise DataError(
                f"{name}: {split} has {len(sequence)} symbols, a sequence of length={length} needs {length + 1}",
                "use a longer text, or shorter sequences: --set data.length=N",
            )
        whole = torch.from_numpy(sequence)
        splits[split] = Split(*(whole[i : i + used].view(-1, length) for i in (0, 1)))
    return Dataset(splits, outputs, checksum, prepare=widened)


def one_sequence(parts: Mapping[str, np.ndarray], outputs: int, window: int, checksum: str, name: str) -> Dataset:
    """Each part in one piece: inputs [L] and targets [L], the same one symbol later, read `window` symbols at a time.

    Raises:
        ValueError: when `window` is not a positive integer.
    """
    if type(window) is not int or window < 1:
        raise ValueError(f"{name}: window={window!r} must be a positive integer")
    sequences = {split: torch.from_numpy(sequence) for split, sequence in parts.items()}
    splits = {split: Split(whole[:-1], whole[1:]) for split, whole in sequences.items()}
    return Dataset(splits, outputs, checksum, prepare=widened, window=window)


def widened(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """A batch of compact symbols as the int64 that embeddings take."""
    return inputs.long(), targets

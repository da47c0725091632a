"""Symbol sequences from a random Markov source, whose lowest possible loss is known exactly.

The next symbol depends on the last `order` symbols through a table of random (Dirichlet) rows. Every window starts from
the stationary distribution, so all positions look alike, and the loss of the best predictor, in nats per symbol,
follows from the table: at a position with k symbols of context it is the conditional entropy H(next | last k symbols),
and for k ≥ order that is the entropy rate of the source. Any loss above the mean of these is due to the model.

Windows are independent. Occasionally two coincide, and both stay: removing one would change the distribution that
the floor is computed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from lehi_cli.data.dataset import Dataset, Split, checksum

HELD_OUT_SHARE = 8  # val and test have an eighth of the training windows each
MAX_CONTEXTS = 4096  # the stationary distribution is solved for densely


@dataclass(frozen=True)
class MarkovSource:
    """A stationary Markov source over q symbols.

    Attributes:
        transitions: p(next | last `order` symbols) as [q, ..., q], oldest symbol first, the next symbol last.
    """

    transitions: np.ndarray

    @property
    def symbols(self) -> int:
        """Number q of symbols."""
        return self.transitions.shape[-1]

    @property
    def order(self) -> int:
        """Number of symbols the next one depends on."""
        return self.transitions.ndim - 1

    @cached_property
    def stationary(self) -> np.ndarray:
        """Probability [q, ..., q] of each context of `order` symbols, unchanged by one step of the source."""
        contexts = self.transitions.size // self.symbols
        context, symbol = np.divmod(np.arange(self.transitions.size), self.symbols)
        step = np.zeros((contexts, contexts))
        step[(context * self.symbols + symbol) % contexts, context] = self.transitions.ravel()  # drops the oldest
        # π = step π is one equation short of a unique answer: the last row makes way for Σ π = 1
        system = step - np.eye(contexts)
        system[-1] = 1
        law = np.linalg.solve(system, np.eye(contexts)[-1])
        law = law.clip(min=1e-100)  # rounding may leave a rare context below 0
        return law.reshape(self.transitions.shape[:-1])

    def block(self, length: int) -> np.ndarray:
        """Probability [q, ..., q] of `length` ≤ order + 1 successive symbols."""
        joint = self.stationary[..., None] * self.transitions
        return joint.sum(axis=tuple(range(joint.ndim - length)))

    def conditional(self, context: int) -> np.ndarray:
        """The best prediction p(next | last `context` ≤ order symbols), next symbol on the last axis."""
        block = self.block(context + 1)
        return block / block.sum(axis=-1, keepdims=True)

    def entropy(self, context: int) -> float:
        """H(next | last `context` symbols) in nats; from `order` symbols on it is the entropy rate."""
        context = min(context, self.order)
        return float(-(self.block(context + 1) * np.log(self.conditional(context))).sum())

    def floor(self, length: int) -> float:
        """Lowest expected loss, in nats per symbol, over windows of `length` predictions."""
        return float(np.mean([self.entropy(position) for position in range(1, length + 1)]))

    def sample(self, rows: int, length: int, random: np.random.RandomState) -> np.ndarray:
        """Independent stationary sequences [rows, length], `length` ≥ order."""
        sequences = np.empty((rows, length), dtype=np.int64)
        start = np.searchsorted(self.stationary.ravel().cumsum(), random.random_sample(rows))
        start = np.minimum(start, self.stationary.size - 1)  # a sum that rounds to just below 1
        sequences[:, : self.order] = np.stack(np.unravel_index(start, self.stationary.shape), axis=1)
        thresholds = self.transitions.cumsum(axis=-1)[..., :-1]
        for position in range(self.order, length):
            context = tuple(sequences[:, position - self.order : position].T)
            sequences[:, position] = (random.random_sample((rows, 1)) > thresholds[context]).sum(axis=1)
        return sequences


def markov_source(symbols: int = 8, order: int = 2, concentration: float = 0.3, seed: int = 0) -> MarkovSource:
    """A source with transition rows from a symmetric Dirichlet distribution; small `concentration`: sharp rows.

    Raises:
        ValueError: an option is out of its range.
    """
    for name, value, valid, allowed in (
        ("symbols", symbols, symbols >= 2, "at least 2"),
        ("order", order, order >= 1 and symbols**order <= MAX_CONTEXTS, f"1 or more, symbols**order ≤ {MAX_CONTEXTS}"),
        ("concentration", concentration, concentration >= 0.1, "at least 0.1, below which probabilities underflow"),
    ):
        if not valid:
            raise ValueError(f"markov: {name}={value!r} must be {allowed}")
    random = np.random.RandomState(seed)
    return MarkovSource(random.dirichlet([concentration] * symbols, size=(symbols,) * order))


def markov(
    symbols: int = 8,
    order: int = 2,
    length: int = 32,
    rows: int = 4096,
    concentration: float = 0.3,
    seed: int = 0,
) -> Dataset:
    """Windows of a Markov source: inputs [N, length], targets [N, length] the same one symbol later.

    Args:
        symbols: size q of the alphabet, which is also the number of outputs.
        order: number of symbols the next one depends on.
        length: predictions per window.
        rows: training windows; `val` and `test` have an eighth of them each.
        concentration: of the Dirichlet distribution of the transition rows; smaller is easier to predict.
        seed: of the source and of the windows.

    Raises:
        ValueError: an option is out of its range.
    """
    source = markov_source(symbols, order, concentration, seed)
    for name, value, least in (("length", length, order), ("rows", rows, HELD_OUT_SHARE)):
        if value < least:
            raise ValueError(f"markov: {name}={value!r} must be at least {least}")
    # RandomState, not default_rng: NumPy has frozen its stream, while a Generator's may change between versions
    held_out = rows // HELD_OUT_SHARE
    windows = source.sample(rows + 2 * held_out, length + 1, np.random.RandomState([seed, 1]))
    parts = zip(("train", "val", "test"), np.split(windows, [rows, rows + held_out]), strict=True)
    splits = {name: Split(*(torch.from_numpy(part[:, i : i + length].copy()) for i in (0, 1))) for name, part in parts}
    return Dataset(splits, symbols, checksum([windows]), floor=dict.fromkeys(splits, source.floor(length)))


markov.fake = markov  # type: ignore[attr-defined]  # it needs no files anyway

"""A candidate against a reference on one metric: their final values, seed by seed, before anything is judged."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from .failures import Failures, count_failures
from .scale import Scale

BySeed = Mapping[int, float]
MARGIN = 0.01
"""Default share of the reference within which a difference does not matter."""


@dataclass(frozen=True)
class Contest:
    """A candidate against a reference, on one metric.

    Attributes:
        candidate: final value by seed; NaN or infinite for a run that ended without one.
        reference: the same for the reference.
        scale: the scale on which they are compared.
        margin: share of the reference within which a difference does not matter; 0 for none.
        runs: a key common to contests of the same runs, whose failures are tested once; None if no other has them.
        first: seeds that were looked at before the others, in that order.
    """

    candidate: BySeed
    reference: BySeed
    scale: Scale = field(default_factory=Scale)
    margin: float = MARGIN
    runs: Hashable = None
    first: Sequence[int] = ()

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that both have: those looked at before, then the others, ascending."""
        place = {seed: i for i, seed in enumerate(self.first)}
        shared = self.candidate.keys() & self.reference.keys()
        return sorted(shared, key=lambda seed: (place.get(seed, len(place)), seed))

    @cached_property
    def own(self) -> list[float]:
        """Values of the candidate on the scale, seed by seed."""
        return [self.scale.of(self.candidate[seed]) for seed in self.seeds]

    @cached_property
    def other(self) -> list[float]:
        """Values of the reference on the scale."""
        return [self.scale.of(self.reference[seed]) for seed in self.seeds]

    @cached_property
    def failures(self) -> Failures:
        """Runs without a value."""
        return count_failures(self.own, self.other)

    @property
    def has_values(self) -> bool:
        """Whether any run of either ended with a value."""
        return any(map(math.isfinite, (*self.own, *self.other)))

    @property
    def is_comparable(self) -> bool:
        """Whether runs of both ended with a value, so that values can be compared."""
        return any(map(math.isfinite, self.own)) and any(map(math.isfinite, self.other))

    @property
    def left_out(self) -> list[int]:
        """The seeds that only one of the two has."""
        return sorted(self.candidate.keys() ^ self.reference.keys())

    def at(self, seeds: Sequence[int]) -> Contest:
        """The same contest at these seeds only."""
        return replace(
            self,
            candidate={seed: value for seed, value in self.candidate.items() if seed in seeds},
            reference={seed: value for seed, value in self.reference.items() if seed in seeds},
        )

    def within(self, n: int | None = None) -> float:
        """The margin in units of the scale, from the reference at the first n seeds."""
        return self.scale.margin(self.margin, [self.reference[seed] for seed in self.seeds[:n]])

"""Which pairs of optimizers were looked at before, at which seeds, and what that does to the next verdict on them.

Whoever adds seeds after a look because the first ones settled nothing, and then judges all of them as if their number
had been fixed beforehand, is wrong far more often than promised. So looks are remembered, pair by pair: the same task
with all its settings, the same two optimizers with all their options. A pair is judged

- as fixed, when it was never looked at, or when it is shown again at the very seeds of its first look;
- by what stays valid at every look, when these seeds contain all that were looked at before, and more; what a fixed
  first look found stands;
- not at all, when it was looked at with seeds that are not among these: no rule covers picking some of them.

The level is shared, so that a first look and all that may follow it are together wrong with probability at most alpha:
`lehi_cli.stats.verdict.FIRST_SHARE` of it is for a fixed first look, `LATER_SHARE` for what follows one, and all of it
for seeds that were added one by one from the start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lehi_cli.runs.comparisons import Look
from lehi_cli.runs.specs import canonical_json
from lehi_cli.stats.verdict import LATER_SHARE, Method

from .results import Section, Series

PAIR_DIGITS = 16


class Rule(NamedTuple):
    """How a pair is judged.

    Attributes:
        method: `fixed`, `anytime` or `refused`.
        share: share of alpha, where it is looked at more than once.
        first: seeds of the fixed look that came first, whose finding stands; empty for none.
        family: number of comparisons that it was one of in earlier looks.
    """

    method: Method
    share: float = 1.0
    first: tuple[int, ...] = ()
    family: int = 0


@dataclass(frozen=True)
class Looks:
    """What was looked at before.

    Attributes:
        earlier: per pair, see `pair_id`, all looks before this one, in order.
        adaptive: whether this comparison adds seeds until it is settled, so that even its first look is one of many.
    """

    earlier: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    adaptive: bool = False

    def rule(self, pair: str, seeds: Sequence[int]) -> Rule:
        """How the verdict on a pair at these seeds is to be judged."""
        is_anytime, first, family = self.adaptive, tuple[int, ...](), 0
        for i, look in enumerate(self.earlier.get(pair, ())):
            family = max(family, look.family)
            if look.adaptive and set(look.seeds[: len(seeds)]) == set(seeds):
                is_anytime = True  # one of the looks that it consisted of
                break
            if set(look.seeds) == set(seeds) and not look.adaptive and not self.adaptive:
                break  # shown again as the first time
            if not set(look.seeds) <= set(seeds):
                return Rule("refused")
            if not i and not look.adaptive:
                first = tuple(look.seeds)
            is_anytime = True
        if not is_anytime:
            return Rule("fixed", family=family)
        return Rule("anytime", LATER_SHARE if first else 1.0, first, family)

    def order(self, pair: str) -> list[int]:
        """The seeds that were looked at, in that order."""
        return list(dict.fromkeys(seed for look in self.earlier.get(pair, ()) for seed in look.seeds))


def pair_id(section: Section, one: Series, other: Series) -> str:
    """The id of a pair of optimizers in a section, the same whichever of the two is the reference."""
    made_up = any(run.is_mock for run in section.runs)
    content = [
        section.spec.task,
        section.spec.precision,
        section.spec.recipe,  # of runs stored before the training loop's code was hashed
        made_up,
        sorted(canonical_json(_identity(series)) for series in (one, other)),
    ]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:PAIR_DIGITS]


def _identity(series: Series) -> list[object]:
    run = series.runs[0]
    return [run.optimizer, run.options, run.spec.optimizer_code]

"""The share of the reference within which a difference does not matter: one for all metrics, or one each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.stats.contest import MARGIN

HOW = "a share of the reference, such as 0.01; 0 for none; accuracy=0.05,loss=0.01 for one metric each"


@dataclass(frozen=True)
class Margins:
    """Shares of the reference.

    Attributes:
        share: share for every metric that is not named.
        named: shares for a metric (`accuracy`) or for one column (`val_accuracy`), which takes precedence.
    """

    share: float = MARGIN
    named: Mapping[str, float] = field(default_factory=dict)

    def of(self, split: str, metric: str) -> float:
        """The share for a column."""
        return self.named.get(f"{split}_{metric}", self.named.get(metric, self.share))

    def check(self, columns: Iterable[tuple[str, str]]) -> None:
        """Check that every name is a judged column, or the metric of one.

        Raises:
            UnknownNameError: naming the first that is not.
        """
        known = dict.fromkeys(name for split, metric in columns for name in (metric, f"{split}_{metric}"))
        for name in self.named:
            if name not in known:
                raise UnknownNameError("metric for a margin", name, list(known))

    def __str__(self) -> str:
        shares = [f"{name}={share:g}" for name, share in self.named.items()]
        return ",".join([*([f"{self.share:g}"] if self.share != MARGIN or not shares else []), *shares])


def parse_margins(text: str) -> Margins:
    """Read `0.02`, `accuracy=0.05`, or several of them: `0.02,val_accuracy=0.05`.

    Raises:
        UsageError: on a margin that is malformed, negative, not finite, or given twice.
    """
    share: float | None = None
    named: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.strip().rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"malformed margin {text!r}", HOW) from None
        if not 0 <= value < math.inf:
            raise UsageError(f"margin {text!r}: {value:g} is not a share", HOW)
        if (equals and not name) or name in named or (not name and share is not None):
            raise UsageError(f"margin {text!r}: malformed, or one is given twice", HOW)
        if name:
            named[name] = value
        else:
            share = value
    return Margins(MARGIN if share is None else share, named)

"""End hopeless trials early: the median rule of Golovin et al. 2017 (Google Vizier, section 3.3), as in Optuna.

A run is ended at an evaluation if its best validation loss so far is worse than the median of its peers' best at that
point. It needs a few finished peers, and is never ended in the first quarter of its budget. Which runs are ended
depends on which peers have finished, and so on the order of the runs: pruning happens only on request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from lehi_cli.runs.records import Row
from lehi_cli.runs.status import DONE
from lehi_cli.runs.store import Store

STARTUP = 4
WARMUP = 0.25


class Pruner:
    """Tells a run, evaluation by evaluation, whether it is hopeless.

    Args:
        store: where the peers are.
        peers: their run ids.
        evaluations: number of evaluations that the run will have.
    """

    def __init__(self, store: Store, peers: Sequence[str], evaluations: int):
        self._store = store
        self._peers = peers
        self._evaluations = evaluations
        self._seen: list[float] = []
        self._curves: dict[str, list[float]] = {}

    def __call__(self, row: Row) -> bool:
        """Whether the run should end here; only validation rows count, without the one before the first step."""
        if row.split != "val" or row.step == 0:
            return False
        self._seen.append(row.loss)
        if len(self._seen) < WARMUP * self._evaluations or len(self._seen) >= self._evaluations:
            return False
        self._read()
        return is_hopeless(self._seen, list(self._curves.values()))

    def _read(self) -> None:
        """Read the curves of peers that have finished since the last call."""
        for peer in self._peers:
            if peer not in self._curves and (run := self._store.find(peer)) and run.status in DONE:
                self._curves[peer] = self._store.metrics(run).curve("val", "loss")[1][1:]


def is_hopeless(seen: Sequence[float], curves: Sequence[Sequence[float]]) -> bool:
    """Whether the best of `seen` is worse than the median best of the peers after as many evaluations.

    A peer that diverged earlier counts with the values it has; NaN counts as infinite.
    """
    if len(curves) < STARTUP:
        return False
    return _best(seen) > median(_best(curve[: len(seen)]) for curve in curves)


def _best(values: Sequence[float]) -> float:
    return min((math.inf if math.isnan(value) else value for value in values), default=math.inf)

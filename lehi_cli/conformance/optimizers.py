"""What every optimizer must do: the checks behind `lehi optims check`.

They train models of a few hundred parameters for a few steps, on the CPU, the way the training loop would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from lehi_cli.registry.record import OptimizerRecord
from lehi_cli.training.streams import preserved_random

from . import building, extremes, moving, options, prices, resuming
from .candidate import Candidate
from .excuses import EXCUSES
from .findings import Finding, find

Check = Callable[[Candidate], str]

FIRST: Mapping[str, Check] = {
    "its record is sound": building.record,
    "it can be built and driven": building.built,
}
"""If one of these fails, no other check can be made."""

REST: Mapping[str, Check] = {
    "options are accepted": options.accepted,
    "wrong values are refused": options.refused,
    "the loss goes down on a quadratic": moving.quadratic_falls,
    "the loss goes down on digits": moving.digits_fall,
    "a saved run goes on bit for bit": resuming.saved,
    "a copy goes on bit for bit": resuming.copied,
    "two runs at one seed are the same": resuming.repeated,
    "global random numbers are left alone": resuming.global_random,
    "still at a rate of zero": moving.zero_rate,
    "follows a schedule": moving.schedule,
    "groups have rates of their own": moving.groups,
    "frozen parameters are left alone": moving.frozen,
    "unused parameters are no obstacle": moving.unused,
    "zero gradients make no NaN": extremes.zero_gradients,
    "huge gradients make no NaN": extremes.huge_gradients,
    "sparse gradients work or are refused": extremes.sparse_gradients,
    "weights in bfloat16": extremes.bf16,
    "passes are as stated": prices.passes,
    "state is as stated": prices.state,
    "foreach makes the same steps": extremes.foreach,
    "eval and train switch weights": resuming.modes,
}

CHECKS: Mapping[str, Check] = {**FIRST, **REST}


def check_optimizer(record: OptimizerRecord) -> Iterator[Finding]:
    """Run every check on an optimizer, one after the other.

    A check that fails, for whatever reason, does not stop the next, unless it is one of `FIRST`.
    """
    for name in FIRST:
        finding = check_one(record, name)
        yield finding
        if finding.failed:
            yield Finding("everything else", "skipped", f"not checked until {name}")
            return
    for name in REST:
        yield check_one(record, name)


def check_one(record: OptimizerRecord, name: str, excused: bool = True) -> Finding:
    """Run one check, and leave torch's global random state as it was."""
    reason = EXCUSES.get(name, {}).get(record.name, "")
    if reason and excused and not record.origin:
        return Finding(name, "skipped", reason)
    with preserved_random(torch.device("cpu")):
        return find(name, CHECKS[name], Candidate(record))

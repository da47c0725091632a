"""How long it takes to get there: time to a target, and how to count runs that never arrive.

A run that did not reach the target by its end would have taken longer, and nobody knows how much longer: it is
censored. Leaving it out would reward the optimizer that rarely arrives; the Kaplan-Meier estimate counts it as under
way up to its end.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lehi_cli.errors import UsageError


def time_to_target(x: Sequence[float], y: Sequence[float], target: float, *, minimize: bool = True) -> float | None:
    """The first x from which the curve stays at the target or beyond to its end; None if it does not end there.

    A curve that touches the target and leaves it again has not reached it. NaN is not at any target.

    Raises:
        UsageError: when x and y differ in length.
    """
    if len(x) != len(y):
        raise UsageError(f"a curve of {len(x)} places and {len(y)} values", "give one value per place")
    since = len(y)
    while since and (y[since - 1] <= target if minimize else y[since - 1] >= target):
        since -= 1
    return x[since] if since < len(x) else None


@dataclass(frozen=True)
class Arrival:
    """Times to a target over several runs.

    Attributes:
        n: number of runs.
        reached: how many arrived.
        median: Kaplan-Meier estimate of the median time; None when too few arrived to tell.
        mean: restricted mean, of min(time, horizon): the area under the survival curve up to the horizon.
        horizon: the last time at which any run was watched; infinite, like the mean, if a run is known never to arrive.
    """

    n: int
    reached: int
    median: float | None
    mean: float
    horizon: float


def survival(times: Sequence[float | None], ends: Sequence[float]) -> list[tuple[float, float]]:
    """Kaplan-Meier estimate of the share still under way after each time of arrival, as (time, share), ascending.

        S(t) = Π over arrival times u <= t of 1 - (arrivals at u) / (runs watched up to u)

    A run censored at u is watched up to and including u; one that is known never to arrive ends at infinity.

    Args:
        times: when each run arrived; None if it did not.
        ends: until when each run was watched; counts for those that did not arrive.

    Raises:
        UsageError: when the two differ in length.
    """
    if len(times) != len(ends):
        raise UsageError(f"{len(times)} times and {len(ends)} ends", "give the end of each run")
    watched = sorted(end if time is None else time for time, end in zip(times, ends, strict=True))
    share, curve = 1.0, []
    for moment, arrivals in sorted(Counter(time for time in times if time is not None).items()):
        share *= 1 - arrivals / (len(watched) - bisect_left(watched, moment))
        curve.append((moment, share))
    return curve


def arrival(times: Sequence[float | None], ends: Sequence[float]) -> Arrival:
    """Summary of times to a target, including runs that did not arrive.

    Args:
        times: when each run arrived; None if it did not.
        ends: until when each run was watched.

    Raises:
        UsageError: when the two differ in length.
    """
    curve = survival(times, ends)
    horizon = max((end if time is None else time for time, end in zip(times, ends, strict=True)), default=math.nan)
    # The smallest t with S(t) <= 1/2, or the middle of where S stays at exactly 1/2: the plain median if all arrive.
    median = next((moment for moment, share in curve if share <= 0.5 + 1e-12), None)
    if median is not None:
        later = [moment for moment, share in curve if share < 0.5 - 1e-12]
        is_level = any(moment == median and abs(share - 0.5) <= 1e-12 for moment, share in curve)
        median = (median + later[0]) / 2 if is_level and later else median
    starts = [(0.0, 1.0), *curve]
    stops = [moment for moment, _ in curve] + [horizon]
    mean = math.fsum(share * (stop - start) for (start, share), stop in zip(starts, stops, strict=True))
    return Arrival(len(times), sum(time is not None for time in times), median, mean, horizon)


@dataclass(frozen=True)
class Profile:
    """Dolan-Moré performance profile.

    Attributes:
        ratios: τ, ascending from 1.
        shares: per method, the share of tasks solved within τ times the cost of the best method.
        unsolved: tasks that no method solved; they count in the shares.
    """

    ratios: tuple[float, ...]
    shares: Mapping[str, tuple[float, ...]]
    unsolved: tuple[str, ...]


def performance_profile(costs: Mapping[str, Mapping[str, float | None]]) -> Profile:
    """Share of tasks on which a method costs at most τ times the best (Dolan, Moré 2002).

        ρₛ(τ) = |{tasks p : cost(p, s) <= τ minₛ cost(p, s)}| / |tasks|

    ρₛ(1) is how often a method is the best, the limit for large τ how often it gets there at all. The profile is given
    at every τ where some method's share changes.

    Args:
        costs: per method and task, a positive cost such as the time to target; None, infinite, NaN or absent if the
            method did not get there.

    Raises:
        UsageError: a cost that is not positive: ratios need one.
    """
    tasks = dict.fromkeys(task for by_task in costs.values() for task in by_task)
    ratios: dict[str, list[float]] = {method: [] for method in costs}
    unsolved = []
    for task in tasks:
        paid = {method: _cost(by_task.get(task), method, task) for method, by_task in costs.items()}
        best = min(paid.values())
        if math.isinf(best):
            unsolved.append(task)
            continue
        for method, cost in paid.items():
            ratios[method].append(cost / best)
    steps = sorted({1.0} | {ratio for own in ratios.values() for ratio in own if math.isfinite(ratio)})
    ascending = {method: sorted(own) for method, own in ratios.items()}
    shares = {
        method: tuple(bisect_right(own, step) / len(tasks) for step in steps if tasks)
        for method, own in ascending.items()
    }
    return Profile(tuple(steps), shares, tuple(unsolved))


def _cost(cost: float | None, method: str, task: str) -> float:
    if cost is None or not math.isfinite(cost):
        return math.inf
    if cost <= 0:
        raise UsageError(
            f"{method} costs {cost} on {task}", "a performance profile compares by ratios: costs must be positive"
        )
    return cost

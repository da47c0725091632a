"""Alternating rounds, ratios within a round, and a file that says where they were measured.

Machines drift, so the things compared run alternately (A B, then B A), and the report is the median over rounds of the
ratio within a round, with its quartiles.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def seconds_in_turn(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each action in each round, after one round that does not count; the order turns round by round."""
    for action in actions.values():
        action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for i in range(rounds):
        for name in list(actions) if i % 2 else reversed(actions):
            start = time.perf_counter()
            actions[name]()
            taken[name].append(time.perf_counter() - start)
    return taken


def ratios(taken: Mapping[str, list[float]], reference: str) -> dict[str, dict[str, float]]:
    """Median seconds, and median and quartiles of the ratio to `reference` within a round."""
    summary = {}
    for name, seconds in taken.items():
        within = [own / other for own, other in zip(seconds, taken[reference], strict=True)]
        low, median, high = statistics.quantiles(within, n=4)
        summary[name] = {"seconds": statistics.median(seconds), "ratio": median, "low": low, "high": high}
    return summary


def show(title: str, summary: Mapping[str, Mapping[str, float]], reference: str) -> None:
    """Print a summary."""
    print(f"{title} (ratio to {reference}: median, quartiles)")
    for name, row in summary.items():
        print(
            f"  {name:32s} {row['ratio']:6.2f}  [{row['low']:.2f}, {row['high']:.2f}]   {row['seconds'] * 1e3:9.3f} ms"
        )


def save(name: str, content: Mapping[str, object]) -> None:
    """Write results with their environment to `results/<name>.json`."""
    environment = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"environment": environment, **content}, indent=1)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")

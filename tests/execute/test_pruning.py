"""Hopeless trials: which are ended, and that they stay in every count."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lehi_cli.execute.pruning import is_hopeless

PEERS = [[3.0, 2.0, 1.0], [4.0, 3.0, 2.0], [5.0, 1.0, 1.0], [6.0, 6.0, 6.0]]


@pytest.mark.parametrize(
    ("seen", "peers", "hopeless"),
    [
        ([4.4], PEERS, False),  # the median of 3, 4, 5, 6 is 4.5
        ([4.6], PEERS, True),
        ([9.0, 2.4], PEERS, False),  # the bests are 2, 3, 1, 6
        ([9.0, 2.6], PEERS, True),
        ([2.4, 9.0], PEERS, False),  # the best so far counts, not the last
        ([9.0], PEERS[:3], False),  # too few to tell
        ([math.nan], PEERS, True),
        ([9.0], [[math.nan]] * 4, False),
        ([9.0, 9.0, 9.0], [[1.0]] * 4, True),  # peers that diverged early count with what they had
    ],
)
def test_the_median_rule(seen: list[float], peers: list[list[float]], hopeless: bool) -> None:
    assert is_hopeless(seen, peers) == hopeless


def test_pruned_trials_are_counted_and_cost_less(lehi: Callable) -> None:
    command = ("sweep", "--task", "digits", "--epochs", "2", "--quiet", "--optims", "adam", "--trials", "10", "--json")
    pruning = lehi(*command, "--prune")
    assert pruning.code == 0, pruning.err
    (tuned,) = json.loads(pruning.out)["tuning"]
    ended = [trial for trial in tuned["trials"] if "pruned" in trial["statuses"]]
    assert len(tuned["trials"]) == 10
    assert ended
    assert all(trial["val_loss"] is None for trial in ended)
    assert lehi(*command, "--prune").out == pruning.out
    whole = json.loads(lehi(*command).out)["tuning"][0]
    assert all(trial["statuses"] == ["ok"] for trial in whole["trials"])
    assert tuned["passes"] < whole["passes"]
    best = min(trial["val_loss"] for trial in whole["trials"])
    assert best == min(trial["val_loss"] for trial in tuned["trials"] if trial["val_loss"])
    states = [json.loads(path.read_text())["status"] for path in Path("runs").glob("*/run.json")]
    assert states == ["ok"] * 10


def test_pruning_is_for_trials(lehi: Callable) -> None:
    grid = lehi("sweep", "--task", "digits", "--over", "lr=1,2", "--prune")
    assert (grid.code, "--prune goes with --trials" in grid.err) == (2, True)
    plain = lehi("compare", "--task", "digits", "--prune")
    assert (plain.code, "--prune goes with --tune" in plain.err) == (2, True)

"""Which runs come next, and what the whole rule comes to on results of known distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from cases import runs_of

from lehi_cli.experiment.contests import FIRST, contests, next_runs
from lehi_cli.runs.specs import RunSpec
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest

ALL = runs_of("adam,lehi,sgd", "digits,diabetes", seeds=6)
LEHI, SGD = ("digits", "lehi"), ("diabetes", "sgd")


def names(runs: Sequence[RunSpec]) -> list[tuple[str, str, int]]:
    return [(run.task.name, run.label, run.seed) for run in runs]


def test_every_optimizer_meets_the_first_of_its_task() -> None:
    assert contests(ALL) == [("digits", "lehi"), ("digits", "sgd"), ("diabetes", "lehi"), ("diabetes", "sgd")]


def test_the_first_runs_are_all_at_three_seeds() -> None:
    first = next_runs(ALL, contests(ALL), jobs=100)
    assert names(first) == [row for row in names(ALL) if row[2] < FIRST]


CASES = [
    ([LEHI], 3, 1, [("digits", "adam", 3), ("digits", "lehi", 3)]),
    ([SGD], 5, 1, [("diabetes", "adam", 5), ("diabetes", "sgd", 5)]),
    ([LEHI, SGD], 4, 1, [(task, label, 4) for task, label in (("digits", "adam"), LEHI, ("diabetes", "adam"), SGD)]),
    ([LEHI], 3, 3, [("digits", "adam", 3), ("digits", "lehi", 3)]),
    ([LEHI], 3, 4, [("digits", label, seed) for seed in (3, 4) for label in ("adam", "lehi")]),
    ([LEHI], 5, 8, [("digits", "adam", 5), ("digits", "lehi", 5)]),
    ([LEHI], 6, 1, []),
    ([], 3, 1, []),
    ([], 0, 1, []),
]


@pytest.mark.parametrize(("unsettled", "done", "jobs", "expected"), CASES)
def test_then_the_next_seeds_of_what_is_open_and_of_its_reference(
    unsettled: list[Contest], done: int, jobs: int, expected: list[tuple[str, str, int]]
) -> None:
    assert names(next_runs(ALL, unsettled, done, jobs)) == expected


def test_two_seeds_at_most_are_two_at_first() -> None:
    runs = runs_of("adam,sgd", seeds=2)
    assert next_runs(runs, contests(runs)) == runs


def settle(runs: Sequence[RunSpec], shift: float, rng: np.random.Generator, jobs: int) -> tuple[dict[str, str], int]:
    """The words that the rule ends with when losses are normal, and the runs it took."""
    noise = {run.run_id: rng.normal(10 if run.label == "adam" else 10 + shift) for run in runs}
    unsettled, done, values = contests(runs), 0, {"adam": {}, "lehi": {}, "sgd": {}}
    words: dict[str, str] = {}
    while batch := next_runs(runs, unsettled, done, jobs):
        for run in batch:
            values[run.label][run.seed] = noise[run.run_id]
        done = max(run.seed for run in batch) + 1
        pairs = {label: Contest(values[label], values["adam"], margin=0.0) for label in ("lehi", "sgd")}
        found = judge_anytime(pairs)
        words = {label: verdict.word for label, verdict in found.items()}
        unsettled = [("digits", label) for label, word in words.items() if word == "inconclusive"]
    return words, sum(map(len, values.values()))


def test_without_a_difference_the_rule_is_rarely_wrong() -> None:
    runs, rng = runs_of("adam,lehi,sgd", seeds=12), np.random.default_rng(0)
    found = [settle(runs, 0.0, rng, 1)[0] for _ in range(150)]
    assert np.mean([set(words.values()) != {"inconclusive"} for words in found]) <= 0.05 + 2 * 0.0178


def test_with_a_clear_one_it_saves_runs_and_jobs_do_not_change_what_it_finds() -> None:
    runs = runs_of("adam,lehi,sgd", seeds=20)
    one, two = ([settle(runs, -4.0, np.random.default_rng(i), jobs) for i in range(20)] for jobs in (1, 6))
    assert [words for words, _ in one] == [words for words, _ in two]
    assert all(set(words.values()) == {"better"} for words, _ in one)
    assert np.mean([count for _, count in one]) < 0.6 * len(runs)

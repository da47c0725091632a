"""The word of each optimizer against each other on each task."""

from __future__ import annotations

import math

import numpy as np

from lehi_cli.analysis.duels import duels
from lehi_cli.analysis.task_scores import TaskScores
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.verdict import judge_pairs

LABELS = ("adam", "sgd", "lion")


def task(*, seeds: int = 5, adaptive: bool = False, **means: float) -> TaskScores:
    draw = np.random.default_rng(seeds)
    finals = {
        label: {seed: mean * float(np.exp(0.02 * draw.normal())) for seed in range(seeds)}
        for label, mean in means.items()
    }
    return TaskScores(finals, Scale("ratio"), adaptive)


def test_pairs_of_all_tasks_are_one_family() -> None:
    tasks = [task(adam=1.0, sgd=1.2, lion=1.03), task(seeds=6, adam=1.0, sgd=1.05, lion=0.97), task(adam=1.0, sgd=1.1)]
    pairs = [("sgd", "adam"), ("lion", "adam"), ("lion", "sgd")]
    contests = {
        (i, *pair): Contest(one.finals[pair[0]], one.finals[pair[1]], one.scale, 0.01)
        for i, one in enumerate(tasks)
        for pair in pairs
        if set(pair) <= one.finals.keys()
    }
    theirs = judge_pairs(contests)
    found = duels(tasks, LABELS, None, 0.01)
    assert len(theirs) == 7
    assert [found[i][one, other] for i, one, other in theirs] == [verdict.word for verdict in theirs.values()]
    assert {"better", "worse"} <= {word for words in found for word in words.values()}


def test_both_ways_say_the_same() -> None:
    (found,) = duels([task(adam=1.0, sgd=1.2)], LABELS, None, 0.01)
    assert found == {("sgd", "adam"): "worse", ("adam", "sgd"): "better"}


def test_what_was_judged_is_not_judged_again() -> None:
    tasks = [task(adam=1.0, sgd=1.2), task(adam=1.0, sgd=1.2)]
    found = duels(tasks, LABELS, [{("adam", "sgd"): "equivalent"}, {}], 0.01)
    assert found[0] == {("adam", "sgd"): "equivalent", ("sgd", "adam"): "equivalent"}
    assert found[1]["adam", "sgd"] == "better"


def test_fewer_than_two_common_seeds_decide_nothing() -> None:
    apart = TaskScores({"adam": {0: 1.0, 1: 1.0}, "sgd": {2: 5.0, 3: 5.0}}, Scale("ratio"))
    one = TaskScores({"adam": {0: 1.0}, "sgd": {0: math.inf}}, Scale("ratio"))
    lost = TaskScores({"adam": {0: math.inf, 1: math.inf}, "sgd": {0: math.inf, 1: math.inf}}, Scale())
    for words in duels([apart, one, lost], LABELS, None, 0.01):
        assert set(words.values()) <= {"inconclusive", "equivalent"}


def test_added_seeds_are_judged_as_such() -> None:
    looked, fixed = task(adam=1.0, sgd=1.2, adaptive=True), task(adam=1.0, sgd=1.2)
    contest = Contest(looked.finals["sgd"], looked.finals["adam"], looked.scale, 0.01)
    found = duels([looked, fixed], LABELS, None, 0.01)
    assert found[0]["sgd", "adam"] == judge_anytime({0: contest}, family=2)[0].word
    assert found[1]["sgd", "adam"] == judge_pairs({0: contest}, family=2)[0].word

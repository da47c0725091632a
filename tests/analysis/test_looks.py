"""Which rule judges a pair that was looked at before, and what a pair is found by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stored import write_all

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.looks import Look, Looks, Rule, pair_id
from lehi_cli.analysis.results import Section, Series
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredSpec
from lehi_cli.stats.verdict import LATER_SHARE

FIXED, REFUSED, ADDED = Rule("fixed"), Rule("refused"), Rule("anytime")


def later(*first: int) -> Rule:
    """What comes after a fixed look at these seeds."""
    return Rule("anytime", LATER_SHARE, first)


FIVE, TEN = range(5), range(10)

RULES = {
    "never looked at": ([], False, FIVE, FIXED),
    "never looked at, seeds added one by one": ([], True, FIVE, ADDED),
    "shown again": ([Look(FIVE)], False, FIVE, FIXED),
    "shown again in another order": ([Look([4, 2, 0, 1, 3])], False, FIVE, FIXED),
    "shown again after more were looked at": ([Look(FIVE), Look(TEN)], False, FIVE, FIXED),
    "more seeds": ([Look(FIVE)], False, TEN, later(*FIVE)),
    "more seeds, shown again": ([Look(FIVE), Look(TEN)], False, TEN, later(*FIVE)),
    "more seeds twice": ([Look(FIVE), Look(TEN)], False, range(12), later(*FIVE)),
    "other seeds": ([Look(FIVE)], False, range(5, 10), REFUSED),
    "some of the seeds": ([Look(FIVE)], False, range(3), REFUSED),
    "some seeds and others": ([Look(FIVE)], False, [0, 1, 7, 8], REFUSED),
    "all seeds of one look, not of another": ([Look(FIVE), Look([7, 8])], False, TEN[:6], REFUSED),
    "added one by one before, and on": ([Look(FIVE, adaptive=True)], True, TEN, ADDED),
    "added one by one before, more at once": ([Look(FIVE, adaptive=True)], False, TEN, ADDED),
    "one of the looks of those added": ([Look(TEN, adaptive=True)], False, FIVE, ADDED),
    "not one of the looks of those added": ([Look(TEN, adaptive=True)], False, [0, 2, 4], REFUSED),
    "fixed, then added one by one": ([Look(FIVE)], True, range(6), later(*FIVE)),
    "fixed, then from the same on one by one": ([Look(FIVE)], True, FIVE, later(*FIVE)),
}


@pytest.mark.parametrize("case", RULES)
def test_the_rule(case: str) -> None:
    earlier, adaptive, seeds, rule = RULES[case]
    looks = Looks({"pair": earlier, "another": [Look([99])]}, adaptive)
    assert looks.rule("pair", list(seeds)) == rule


def test_a_family_is_as_large_as_any_that_was_looked_at() -> None:
    looks = Looks({"pair": [Look(FIVE, family=6), Look(TEN, family=2)]})
    assert looks.rule("pair", list(FIVE)) == Rule("fixed", family=6)
    assert looks.rule("pair", list(TEN)) == Rule("anytime", LATER_SHARE, tuple(FIVE), 6)
    assert looks.rule("another", list(FIVE)) == FIXED


def test_seeds_are_taken_in_the_order_in_which_they_were_looked_at() -> None:
    looks = Looks({"pair": [Look([3, 1]), Look([0, 1, 2, 3])]})
    assert looks.order("pair") == [3, 1, 0, 2]
    assert looks.order("another") == []


# --- what a pair is found by -----------------------------------------------------------------------------------------


@pytest.fixture
def section(tmp_path: Path) -> Section:
    store = Store(tmp_path / "runs")
    store.prepare()
    write_all(store, "adam,sgd,sgd:lr=0.5", [[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]])
    (found,) = arrange(store, store.runs())
    return found


def changed(section: Section, **spec: Any) -> Section:
    return Section(section.task, StoredSpec({**section.spec.content, **spec}), section.series)


def test_a_pair_is_the_same_whoever_is_the_reference_and_whatever_it_is_called(section: Section) -> None:
    adam, sgd, other = section.series
    renamed = Series("my label", sgd.runs, sgd.metrics)
    pairs = {pair_id(section, adam, sgd), pair_id(section, sgd, adam), pair_id(section, adam, renamed)}
    assert len(pairs) == 1
    assert pair_id(section, adam, other) not in pairs
    assert pair_id(section, adam, adam) not in pairs


def test_more_seeds_are_the_same_pair(section: Section) -> None:
    adam, sgd, _ = section.series
    fewer = Series(adam.label, adam.runs[:1], adam.metrics[:1])
    assert pair_id(section, fewer, sgd) == pair_id(section, adam, sgd)


def test_another_task_precision_or_made_up_results_are_another_pair(section: Section) -> None:
    adam, sgd, _ = section.series
    task = {**section.spec.task, "budget": {"steps": 7}}
    mock = [replace(run, environment={"mock": True}) for run in adam.runs]
    made_up = Section(section.task, section.spec, [Series(adam.label, mock, adam.metrics), sgd])
    others = [changed(section, task=task), changed(section, precision="bf16"), changed(section, recipe=99), made_up]
    pairs = [pair_id(section, adam, sgd), *(pair_id(other, adam, sgd) for other in others)]
    assert len(set(pairs)) == len(pairs)


def test_a_look_that_was_judged_as_one_of_many_is_no_first_look() -> None:
    """Seeds added one by one, then by hand, then one by one again: nothing of it was ever fixed."""
    looks = Looks({"pair": [Look([0, 1, 2]), Look([0, 1, 2, 3])]}, adaptive=True)
    assert looks.rule("pair", range(6)).first == (0, 1, 2)
    looks = Looks({"pair": [Look([0, 1, 2], adaptive=True), Look([0, 1, 2, 3])]}, adaptive=True)
    assert looks.rule("pair", range(6)) == Rule("anytime", 1.0)

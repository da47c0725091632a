"""Which columns of which sections are compared, and how many comparisons that makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cases import SMALL, runs_of

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.comparison import LOOKED_AT, Comparison, Judgement, compare_sections
from lehi_cli.analysis.grouping import best_of_sections
from lehi_cli.analysis.looks import Look, Looks
from lehi_cli.analysis.margins import Margins
from lehi_cli.analysis.results import Section
from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.records import Outcome, Row
from lehi_cli.runs.specs import Budget
from lehi_cli.runs.store import Store
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.scale import Scale
from lehi_cli.stats.verdict import FIRST_SHARE, LATER_SHARE, OTHER_SEEDS, UNBOUNDED, judge_pairs

LOSS = {"adam": [1.00, 1.10, 0.90, 1.05, 0.95, 1.02], "sgd": [2.01, 2.08, 1.92, 2.03, 1.97, 2.00]}


def sections_of(
    folder: Path,
    task: str = "digits",
    seeds: Sequence[int] = range(6),
    adaptive: bool = False,
    *,
    losses: Mapping[str, Sequence[float]] = LOSS,
    budget: Budget = SMALL,
    floor: float | None = None,
) -> list[Section]:
    """Stored runs whose validation loss is that above, whose test loss is twice that, whose accuracy is 1 / (1 + loss).

    Those with an infinite loss diverged, those with NaN were pruned. What is in the folder already is shown too.
    """
    store = Store(folder)
    store.prepare()
    first, *_ = losses
    runs = runs_of(",".join(losses), task, seeds=len(losses[first]), budget=budget)
    for run in runs:
        if run.label != first and run.seed not in seeds:
            continue
        recorder = store.claim(run, {})
        assert recorder is not None
        value = losses[run.label][run.seed]
        status = "ok" if math.isfinite(value) else "pruned" if math.isnan(value) else "diverged"
        for split, loss in (("val", value), ("test", 2 * value)) if status == "ok" else ():
            metrics = dict.fromkeys(run.task.metrics, 1 / (1 + abs(loss)))
            row = Row(split=split, epoch=1.0, step=25, samples=25, passes=25.0, seconds=1.0, loss=loss, lr_now=0.1)
            recorder.add({key: item for key, item in asdict(row).items() if key != "metrics"}, metrics)
        outcome = asdict(Outcome(status, 25, 25.0, 1.0, 100, 800, "a", "b", "", {}))
        recorder.finish(status, outcome if floor is None else {**outcome, "floor": {"val": floor}}, {})
    sections = arrange(store, store.runs())
    for series in (series for section in sections for series in section.series):
        series.runs = [replace(run, adaptive=adaptive) for run in series.runs]  # as stores of earlier versions have it
    return sections


def by_seed(label: str, seeds: Sequence[int] = range(6)) -> dict[int, float]:
    return {seed: LOSS[label][seed] for seed in seeds}


def the_only(found: Sequence[Comparison | None]) -> Comparison:
    (comparison,) = found
    assert comparison is not None
    return comparison


def the_loss(comparison: Comparison) -> Judgement:
    return comparison.judgements[0]


def shown(comparison: Comparison | None) -> list[tuple[str, str, str, str]]:
    assert comparison is not None
    return [(row.label, row.split, row.metric, row.verdict.word) for row in comparison.judgements]


def test_by_default_the_validation_loss_and_the_first_metric(tmp_path: Path) -> None:
    (found,) = compare_sections(sections_of(tmp_path))
    assert shown(found) == [("sgd", "val", "loss", "worse"), ("sgd", "val", "accuracy", "worse")]
    assert found is not None
    assert (found.family, found.is_anytime, found.notes) == (2, False, [])


def test_other_columns_as_far_as_a_section_has_them(tmp_path: Path) -> None:
    sections = sections_of(tmp_path / "a") + sections_of(tmp_path / "b", "diabetes")
    columns = [("test", "loss"), ("test", "accuracy"), ("val", "nonsense")]
    digits, diabetes = compare_sections(sections, columns=columns)
    assert shown(digits) == [("sgd", "test", "loss", "worse"), ("sgd", "test", "accuracy", "worse")]
    assert shown(diabetes) == [("sgd", "test", "loss", "worse")]
    assert digits is not None
    assert digits.family == 3
    ratios = [math.log(sgd / adam) for sgd, adam in zip(LOSS["sgd"], LOSS["adam"], strict=True)]
    assert digits.judgements[0].verdict.difference == pytest.approx(sum(ratios) / 6)
    assert digits.judgements[0].verdict.scale == Scale("ratio")
    assert digits.judgements[1].verdict.scale == Scale(best=1.0)
    assert compare_sections(sections, columns=[("val", "nonsense")]) == [None, None]


def test_the_verdict_is_that_of_the_runs_on_the_scale_of_the_section(tmp_path: Path) -> None:
    loss, accuracy = the_only(compare_sections(sections_of(tmp_path))).judgements
    errors = [{seed: 1 / (1 + value) for seed, value in by_seed(label).items()} for label in ("sgd", "adam")]
    found = judge_pairs(
        {
            "loss": Contest(by_seed("sgd"), by_seed("adam"), Scale("ratio"), runs="sgd"),
            "accuracy": Contest(*errors, Scale(best=1.0), runs="sgd"),
        }
    )
    assert [loss.verdict, accuracy.verdict] == [found["loss"], found["accuracy"]]
    assert accuracy.verdict.difference > 0  # more errors


def test_a_loss_is_compared_by_its_distance_to_the_floor_that_runs_know(tmp_path: Path) -> None:
    losses = {"adam": [1.0010, 1.0011, 1.0010, 1.0009, 1.0010], "sgd": [1.0027, 1.0028, 1.0026, 1.0029, 1.0027]}
    columns = [("val", "loss")]
    with_floor = compare_sections(sections_of(tmp_path / "a", losses=losses, floor=1.0), columns=columns)
    without = compare_sections(sections_of(tmp_path / "b", losses=losses), columns=columns)
    assert shown(with_floor[0]) == [("sgd", "val", "loss", "worse")]
    assert shown(without[0]) == [("sgd", "val", "loss", "equivalent")]


def test_values_that_may_be_negative_have_no_margin(tmp_path: Path) -> None:
    losses = {"adam": [-1.00, -1.10, -0.90], "sgd": [-1.0001, -1.1001, -0.9002]}
    found = the_loss(the_only(compare_sections(sections_of(tmp_path, losses=losses), columns=[("val", "loss")])))
    assert (found.verdict.word, found.verdict.margin) != ("equivalent", pytest.approx(0.01))
    assert not found.verdict.scale.has_margin


# --- margins ---------------------------------------------------------------------------------------------------------


def test_margins_are_by_metric(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    found = the_only(compare_sections(sections, margins=Margins(0.02, {"accuracy": 0.05})))
    loss, accuracy = (judgement.verdict for judgement in found.judgements)
    assert loss.margin == pytest.approx(math.log(1.02))
    mean_error = sum(1 - 1 / (1 + value) for value in LOSS["adam"]) / 6
    assert accuracy.margin == pytest.approx(0.05 * mean_error)
    with pytest.raises(UnknownNameError, match="'acuracy'"):
        compare_sections(sections, margins=Margins(0.02, {"acuracy": 0.05}))


def test_bad_margins_and_references_are_refused(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    with pytest.raises(UsageError, match="margin is -1"):
        compare_sections(sections, margins=Margins(-1))
    with pytest.raises(UnknownNameError, match="reference 'adma'"):
        compare_sections(sections, reference="adma")


# --- runs that did not end well --------------------------------------------------------------------------------------


def test_runs_that_fail_are_an_outcome_and_runs_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    lost = {"adam": LOSS["adam"], "sgd": [*LOSS["adam"][:3], math.inf, math.inf, math.nan]}
    found = the_only(compare_sections(sections_of(tmp_path, losses=lost)))
    loss, accuracy = (judgement.verdict for judgement in found.judgements)
    assert (loss.n, loss.failures.own, loss.failures.other) == (5, 2, 0)
    assert loss.failures == accuracy.failures
    assert loss.p_failures == accuracy.p_failures
    assert found.family == 3  # two metrics, and once how many runs failed
    assert list(found.notes) == ["sgd, seed 5: pruned; left out of the pairs"]
    assert list(found.seeds["sgd"]) == [0, 1, 2, 3, 4]


def test_three_of_three_against_none_are_worse(tmp_path: Path) -> None:
    lost = {"adam": LOSS["adam"][:3], "sgd": [math.inf] * 3}
    found = the_only(compare_sections(sections_of(tmp_path, losses=lost)))
    assert [word for *_, word in shown(found)] == ["worse", "worse"]
    assert found.family == 1
    assert the_loss(found).verdict.p_failures == pytest.approx(1 / 32 / FIRST_SHARE)
    assert the_loss(found).has_values


def test_where_no_run_ended_with_a_value_it_is_told(tmp_path: Path) -> None:
    found = the_only(compare_sections(sections_of(tmp_path, losses=dict.fromkeys(("adam", "sgd"), [math.inf] * 4))))
    assert not any(judgement.has_values for judgement in found.judgements)
    assert {word for *_, word in shown(found)} == {"inconclusive"}
    assert found.family == 0


# --- families --------------------------------------------------------------------------------------------------------


def test_another_budget_is_of_the_family_only_where_it_was_asked_for_together(tmp_path: Path) -> None:
    alone = the_only(compare_sections(sections_of(tmp_path)))
    sections = sections_of(tmp_path, budget=Budget("steps", 7))
    assert len(sections) == 2
    apart, together = (compare_sections(sections, together=flag) for flag in (False, True))
    for found in apart:
        assert found is not None
        assert (found.family, [one.verdict for one in found.judgements]) == (2, [o.verdict for o in alone.judgements])
    for found in together:
        assert found is not None
        assert found.family == 4
        assert the_loss(found).verdict.p_adjusted > the_loss(alone).verdict.p_adjusted
        assert the_loss(found).verdict.interval.low < the_loss(alone).verdict.interval.low


def test_settings_that_were_chosen_on_these_runs_are_not_judged(tmp_path: Path) -> None:
    losses = {"adam": LOSS["adam"], "sgd:lr=0.1": LOSS["sgd"], "sgd:lr=0.2": LOSS["sgd"]}
    sections = best_of_sections(sections_of(tmp_path, losses=losses))
    assert [len(section.series) for section in sections] == [2]
    assert compare_sections(sections) == [None]


def test_prices_pairs_and_seeds_are_kept(tmp_path: Path) -> None:
    found = the_only(compare_sections(sections_of(tmp_path, seeds=[1, 2, 4])))
    assert {label: price.words for label, price in found.prices.items()} == {
        "adam": "at equal price",
        "sgd": "at equal price",
    }
    assert set(found.pairs) == {"sgd"}
    assert dict(found.seeds) == {"sgd": [1, 2, 4]}


# --- seeds that were added after a look ------------------------------------------------------------------------------


def test_sections_whose_seeds_were_added_are_judged_by_what_stays_valid(tmp_path: Path) -> None:
    sections = sections_of(tmp_path / "a") + sections_of(tmp_path / "b", "diabetes", range(5), adaptive=True)
    fixed, added = compare_sections(sections)
    assert fixed is not None
    assert added is not None
    assert [row.verdict.method for row in fixed.judgements] == ["fixed"] * 2
    assert [row.verdict.method for row in added.judgements] == ["anytime"] * 2
    assert fixed.family == added.family == 4
    assert {row.verdict.n for row in added.judgements} == {5}
    assert (list(fixed.notes), list(added.notes)) == ([], [LOOKED_AT])
    assert not any("left out" in row.verdict.note for row in added.judgements)
    alone = compare_sections(sections[:1])[0]
    assert alone is not None
    assert fixed.judgements[0].verdict.p_adjusted == pytest.approx(2 * alone.judgements[0].verdict.p_adjusted)


def test_where_seeds_are_added_every_pair_counts_from_the_first_look(tmp_path: Path) -> None:
    (one_seed,) = compare_sections(sections_of(tmp_path / "a", seeds=[0], adaptive=True))
    (all_seeds,) = compare_sections(sections_of(tmp_path / "b", adaptive=True))
    assert one_seed is not None
    assert all_seeds is not None
    assert one_seed.family == all_seeds.family == 2


def looked(sections: Sequence[Section], *earlier: Look, adaptive: bool = False) -> Looks:
    """Looks at the pair of a section."""
    comparison = the_only(compare_sections(sections))
    return Looks({comparison.pairs["sgd"]: earlier}, adaptive)


def test_the_same_seeds_are_judged_as_they_were(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    found = the_only(compare_sections(sections, looks=looked(sections, Look(range(6), family=2))))
    assert found == the_only(compare_sections(sections))


def test_other_seeds_than_were_looked_at_decide_nothing(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    found = the_only(compare_sections(sections, looks=looked(sections, Look([0, 9]))))
    verdicts = [judgement.verdict for judgement in found.judgements]
    assert [(one.word, one.method, one.interval) for one in verdicts] == [("inconclusive", "refused", UNBOUNDED)] * 2
    assert all(one.note == OTHER_SEEDS for one in verdicts)
    assert (found.family, found.is_anytime, found.notes) == (2, False, [])


def test_seeds_that_were_added_are_judged_by_what_is_left_of_the_level(tmp_path: Path) -> None:
    losses = {"adam": LOSS["adam"], "sgd": [1.1, 0.95, 1.2, *LOSS["sgd"][3:]]}  # nothing, then a lot
    sections = sections_of(tmp_path, losses=losses)
    found = the_only(compare_sections(sections, looks=looked(sections, Look([0, 1, 2])), columns=[("val", "loss")]))
    own = dict(enumerate(losses["sgd"]))
    contest = Contest(own, by_seed("adam"), Scale("ratio"))
    later = judge_anytime({0: contest}, shares={0: LATER_SHARE})[0]
    assert the_loss(found).verdict.p_adjusted == later.p_adjusted
    assert the_loss(found).verdict.method == "anytime"
    assert list(found.notes) == [LOOKED_AT]


def test_what_a_fixed_first_look_found_stands(tmp_path: Path) -> None:
    losses = {"adam": LOSS["adam"], "sgd": [*LOSS["sgd"][:3], 1.0, 1.0, 1.0]}  # a lot, then nothing
    sections = sections_of(tmp_path, losses=losses)
    (alone,) = compare_sections(sections, columns=[("val", "loss")])
    found = the_only(compare_sections(sections, looks=looked(sections, Look([0, 1, 2])), columns=[("val", "loss")]))
    assert alone is not None
    assert (the_loss(found).verdict.word, the_loss(alone).verdict.word) == ("worse", "inconclusive")
    assert the_loss(found).verdict.interval.low > 0


def test_a_pair_out_of_many_keeps_the_level_of_the_many(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    looks = looked(sections, Look(range(6), family=6))
    found = the_only(compare_sections(sections, looks=looks))
    assert found.family == 6
    assert the_loss(found).verdict.p_adjusted > the_loss(the_only(compare_sections(sections))).verdict.p_adjusted


def test_seeds_that_are_added_one_by_one_have_all_of_the_level(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    found = the_only(compare_sections(sections, looks=Looks(adaptive=True), columns=[("val", "loss")]))
    contest = Contest(by_seed("sgd"), by_seed("adam"), Scale("ratio"), runs=(0, "sgd"))
    assert the_loss(found).verdict == judge_anytime({0: contest})[0]

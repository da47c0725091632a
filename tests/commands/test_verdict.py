"""The verdict, as `lehi compare` and `lehi report` give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

Lehi = Callable[..., Result]
TWINS = "adam,adam:eps=1.0000001e-8:label=twin"


def compare(lehi: Lehi, optims: str, seeds: str, *more: str, task: str = "digits", steps: str = "6") -> Result:
    return lehi(
        "compare", "--task", task, "--optims", optims, "--steps", steps, "--seeds", seeds, "--quiet", *more
    )  # fmt: skip


def verdicts(result: Result) -> list[dict[str, Any]]:
    return [verdict for section in json.loads(result.out)["sections"] for verdict in section["verdicts"]]


def words(result: Result) -> dict[tuple[str, str], str]:
    return {(verdict["label"], verdict["metric"]): verdict["verdict"] for verdict in verdicts(result)}


def test_a_clear_difference_is_found_and_put_in_words(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam:lr=0.01", "6")
    assert result.code == 0
    assert "verdict against sgd, paired over 6 seeds" in result.out
    assert "| adam, val loss " in result.out
    (sentence,) = [line for line in result.out.splitlines() if line.startswith("adam is better than sgd on val loss: ")]
    assert " lower [" in sentence
    assert "Wilcoxon 0.031" in sentence
    assert sentence.endswith("; on val accuracy better")
    assert lehi("report", "--optims", "sgd,adam").out == result.out


def test_the_document_has_the_numbers(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam:lr=0.01", "6", "--json")
    loss, accuracy = verdicts(result)
    assert (loss["label"], loss["reference"], loss["metric"], loss["verdict"]) == ("adam", "sgd", "val_loss", "better")
    assert (accuracy["metric"], accuracy["verdict"]) == ("val_accuracy", "better")
    finals = {series["label"]: series["final"] for series in json.loads(result.out)["sections"][0]["series"]}
    for verdict in (loss, accuracy):
        own, other = (finals[label][verdict["metric"]]["mean"] for label in ("adam", "sgd"))
        assert verdict["difference"] == pytest.approx(own - other)
        assert verdict["interval"][0] < verdict["difference"] < verdict["interval"][1]
        assert verdict["margin"] == pytest.approx(0.01 * other)
        assert verdict["effect_size"] * verdict["difference"] > 0
        assert verdict["n"] == verdict["seeds_needed"] == 6
        assert verdict["p_adjusted"] <= 2 * verdict["p_t"]
        assert verdict["p_wilcoxon"] == 2 / 2**6
        assert verdict["family"] == 2


def test_the_same_optimizer_twice_is_never_better(lehi: Lehi) -> None:
    result = compare(lehi, TWINS, "6", "--json")
    assert set(words(result).values()) <= {"equivalent", "inconclusive"}
    without = compare(lehi, TWINS, "6", "--json", "--margin", "0")
    assert set(words(without).values()) <= {"equivalent", "inconclusive"}


def test_nearly_the_same_is_equivalent_within_a_margin(lehi: Lehi) -> None:
    optims = "adam,adam:lr=0.00100001:label=near"
    wide = compare(lehi, optims, "6", "--margin", "0.05")
    assert "near and adam are equivalent on val loss: " in wide.out
    assert "within 5 % (p < 0.0001)" in wide.out
    assert words(lehi("report", "--json", "--margin", "0.05"))["near", "val_loss"] == "equivalent"
    assert words(lehi("report", "--json", "--margin", "0"))["near", "val_loss"] != "equivalent"


def test_one_seed_cannot_tell(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam", "1")
    assert "no verdict: one seed cannot tell" in result.out
    assert "verdict against" not in result.out
    loss, _ = verdicts(lehi("report", "--json"))
    assert (loss["verdict"], loss["n"], loss["family"]) == ("inconclusive", 1, 0)
    assert loss["p_t"] is loss["effect_size"] is loss["detectable"] is None
    assert loss["interval"] == [None, None]


def test_two_seeds_say_what_they_cannot_show(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam", "2")
    assert "by ranks 2 seeds cannot go below p = 0.5, 7 can reach 0.025" in result.out
    assert "paired over 2 seeds" in result.out


def test_diverged_runs_count_as_worst(lehi: Lehi) -> None:
    result = compare(lehi, "adam,sgd:lr=1e30:label=wild", "8")
    assert result.code == 0
    assert "wild is worse than adam on val loss: by ranks, p = 0.016; on val accuracy worse" in result.out
    assert "wild: 8 of 8 candidate and 0 of 8 reference runs ended without a value: worst" in result.out
    turned = lehi("report", "--reference", "wild", "--json")
    assert words(turned) == {("adam", "val_loss"): "better", ("adam", "val_accuracy"): "better"}
    assert verdicts(turned)[0]["difference"] is None


def test_two_that_diverge_are_no_tie_to_speak_of(lehi: Lehi) -> None:
    optims = "sgd:lr=1e30:label=wild,sgd:lr=2e30:label=wilder"
    result = compare(lehi, optims, "6")
    assert "wilder against wild is inconclusive on val loss: no value to compare" in result.out
    assert "no run of either ended with a value" in result.out


def test_the_reference_can_be_named(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam,lehi", "2", "--reference", "adam")
    assert "verdict against adam" in result.out
    assert "sgd, val loss" in result.out
    assert "verdict against sgd" in lehi("report", "--optims", "sgd,adam,lehi").out
    assert "verdict against lehi" in lehi("report", "--reference", "lehi").out


def test_tasks_shown_together_are_one_family(lehi: Lehi) -> None:
    compare(lehi, "sgd,adam", "3", task="digits,diabetes")
    compare(lehi, "sgd,adam", "1", steps="7")  # one seed is no test
    together = verdicts(lehi("report", "--json"))
    assert [(verdict["metric"], verdict["family"], verdict["n"]) for verdict in together] == [
        ("val_loss", 4, 3),
        ("val_accuracy", 4, 3),
        ("val_loss", 4, 3),
        ("val_mae", 4, 3),
        ("val_loss", 4, 1),
        ("val_accuracy", 4, 1),
    ]
    assert {verdict["family"] for verdict in verdicts(lehi("report", "--task", "diabetes", "--json"))} == {2}


def test_a_section_without_the_reference_says_so(lehi: Lehi) -> None:
    compare(lehi, "sgd,adam", "2")
    compare(lehi, "sgd,lion", "2", task="diabetes")
    result = lehi("report", "--reference", "adam")
    assert result.out.count("verdict against adam") == 1
    assert result.out.count("no verdict: adam has no runs here") == 1


@pytest.mark.parametrize("status", ["interrupted", "pruned"])
def test_unfinished_runs_are_left_out_and_named(lehi: Lehi, tmp_path: Path, status: str) -> None:
    compare(lehi, "sgd,adam", "3")
    for path in (tmp_path / "runs").glob("*/run.json"):
        state = json.loads(path.read_text())
        if (state["label"], state["spec"]["seed"]) == ("adam", 1):
            path.write_text(json.dumps({**state, "status": status}))
    result = lehi("report", "--optims", "sgd,adam")
    assert "paired over 2 seeds" in result.out
    assert f"adam, seed 1: {status}; left out of the pairs" in result.out


def test_failed_runs_count_as_worst(lehi: Lehi, tmp_path: Path) -> None:
    compare(lehi, "sgd,adam", "3")
    for path in (tmp_path / "runs").glob("*/run.json"):
        state = json.loads(path.read_text())
        if state["label"] == "adam":
            path.write_text(json.dumps({**state, "status": "oom"}))
    loss, _ = verdicts(lehi("report", "--optims", "sgd,adam", "--json"))
    assert loss["n"] == 3
    assert "3 of 3 candidate and 0 of 3 reference runs ended without a value: worst" in loss["note"]


def test_tuned_finals_get_a_verdict_and_sweeps_do_not(lehi: Lehi) -> None:
    tuned = compare(lehi, "sgd,adam", "1,2", "--tune", "2", "--reference", "adam", "--margin", "0.02")
    assert "verdict against adam, paired over 2 seeds" in tuned.out
    assert "equivalent within 2 % of adam" in tuned.out
    sweep = ("sweep", "--task", "digits", "--over", "lr=0.01,0.1", "--steps", "5", "--seeds", "2")
    assert "verdict" not in lehi(*sweep).out
    assert verdicts(lehi(*sweep, "--json")) == []


def test_many_series_get_none_and_a_word_why(lehi: Lehi) -> None:
    out = compare(lehi, "adam:lr=1e-4..1e-2/log13", "1", "--executor", "mock").out
    assert "no verdict: the best of 13 settings wins by chance; name up to 12" in out
    assert "verdict against" not in out


BAD = [
    (("--reference", "lion"), "unknown reference 'lion'"),
    (("--reference", "adqm"), "did you mean 'adam'"),
    (("--reference", ""), "unknown reference ''"),
    (("--margin", "-0.1"), "--margin -0.1 is not allowed"),
    (("--margin", "nan"), "--margin nan is not allowed"),
    (("--margin", "inf"), "--margin inf is not allowed"),
    (("--margin", "much"), "Invalid value for '--margin'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_is_refused_before_anything_is_trained(
    lehi: Lehi, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    compared = compare(lehi, "sgd,adam", "2", *arguments)
    assert compared.code == 2
    assert message in compared.err
    assert not list(tmp_path.iterdir())
    compare(lehi, "sgd,adam", "1")
    reported = lehi("report", *arguments)
    assert reported.code == 2
    assert message in reported.err
    assert reported.out == ""


def test_a_reference_that_is_several_is_refused(lehi: Lehi) -> None:
    optims = "adam:lr=1e-3..1e-2/log2,sgd"
    result = compare(lehi, optims, "2", "--reference", "adam")
    assert result.code == 2
    assert "one of adam:lr=0.001, adam:lr=0.01" in result.err
    assert "verdict against adam:lr=0.01" in compare(lehi, optims, "2", "--reference", "adam:lr=0.01").out
    assert lehi("report", "--reference", "adam").code == 2


def test_commands_that_compare_nothing_have_no_such_options(lehi: Lehi) -> None:
    for option in ("--margin", "--reference"):
        result = lehi("train", "--task", "digits", option, "1")
        assert result.code == 2
        assert "No such option" in result.err

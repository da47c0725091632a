"""The verdict, as `lehi compare` and `lehi report` give it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

from lehi_cli.stats.verdict import FIRST_SHARE

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


def answer(result: Result) -> str:
    """The line that comes before anything else."""
    return result.out.split("\n\n")[1]


def test_a_clear_difference_is_found_and_comes_first(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam:lr=0.01", "6")
    assert result.code == 0
    assert answer(result).startswith("adam is better than sgd on digits: val loss ")
    assert " % lower [" in answer(result)
    assert answer(result).endswith("], 6 seeds, at equal price, settings as given")
    assert result.out.index("| adam, val loss ") < result.out.index("| optimizer   |")
    assert "Wilcoxon" not in result.out
    full = lehi("report", "--full")
    assert "by t <0.0001, Wilcoxon 0.031" in full.out
    assert lehi("report", "--brief").out.strip() == answer(result)


def test_the_page_of_a_comparison_can_be_shown_again(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "digits", "--optims", "sgd,adam:lr=0.01", "--steps", "6", "--seeds", "6")
    (again,) = [line.partition("lehi ")[2] for line in result.err.splitlines() if line.startswith("show again: ")]
    assert lehi(*again.split()).out == result.out
    assert lehi("report").out == result.out
    chosen = lehi("report", "--optims", "sgd,adam").out  # of which nobody knows whether it was tuned
    assert chosen.replace("at equal price", "at equal price, settings as given", 1) == result.out


def test_the_document_has_the_numbers(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam:lr=0.01", "6", "--json")
    loss, accuracy = verdicts(result)
    assert (loss["label"], loss["reference"], loss["metric"], loss["verdict"]) == ("adam", "sgd", "val_loss", "better")
    assert (accuracy["metric"], accuracy["verdict"]) == ("val_accuracy", "better")
    assert (loss["scale"]["kind"], accuracy["scale"]) == ("ratio", {"kind": "difference", "floor": None, "best": 1.0})
    finals = {series["label"]: series["final"] for series in json.loads(result.out)["sections"][0]["series"]}
    own, other = (finals[label]["val_accuracy"]["mean"] for label in ("adam", "sgd"))
    assert accuracy["difference"] == pytest.approx(other - own)  # of error rates: less is better on every scale
    assert accuracy["margin"] == pytest.approx(0.01 * (1 - other))
    assert loss["margin"] == pytest.approx(math.log(1.01))
    for verdict in (loss, accuracy):
        assert verdict["interval"][0] < verdict["difference"] < verdict["interval"][1] < 0
        assert verdict["effect_size"] * verdict["difference"] > 0
        assert verdict["n"] == verdict["seeds_needed"] == 6
        assert verdict["p_adjusted"] <= 2 * verdict["p_t"] / FIRST_SHARE
        assert verdict["p_wilcoxon"] == 2 / 2**6
        assert verdict["family"] == 2
        assert verdict["price_ratio"] == 1
        assert verdict["failures"] == [0, 0]


def test_the_same_optimizer_twice_is_never_better(lehi: Lehi) -> None:
    result = compare(lehi, TWINS, "6", "--json")
    assert set(words(result).values()) <= {"equivalent", "inconclusive"}
    without = compare(lehi, TWINS, "6", "--json", "--margin", "0")
    assert set(words(without).values()) <= {"equivalent", "inconclusive"}


def test_nearly_the_same_is_equivalent_within_a_margin(lehi: Lehi) -> None:
    optims = "adam,adam:lr=0.00100001:label=near"
    wide = compare(lehi, optims, "6", "--margin", "0.05")
    assert answer(wide).startswith("near and adam are equivalent on digits: val loss ")
    assert "equivalent: within 5 % of adam" in wide.out
    assert words(lehi("report", "--json", "--margin", "0.05"))["near", "val_loss"] == "equivalent"
    assert words(lehi("report", "--json", "--margin", "accuracy=0,loss=0.05"))["near", "val_loss"] == "equivalent"
    assert words(lehi("report", "--json", "--margin", "val_loss=0"))["near", "val_loss"] != "equivalent"


def test_one_seed_cannot_tell(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam", "1")
    assert "no verdict: one seed cannot tell" in result.out
    loss, _ = verdicts(lehi("report", "--json"))
    assert (loss["verdict"], loss["n"], loss["family"]) == ("inconclusive", 1, 0)
    assert loss["p_t"] is loss["effect_size"] is loss["detectable"] is None
    assert loss["interval"] == [None, None]


def test_where_symmetry_decides_the_page_says_so(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam", "3")
    assert "adam, val loss: rests on near-symmetric differences: p = " in result.out


def test_runs_that_always_fail_are_worse_whatever_their_number(lehi: Lehi) -> None:
    result = compare(lehi, "adam,sgd:lr=1e30:label=wild", "3")
    assert result.code == 0
    assert answer(result).startswith("wild is worse than adam on digits: ")
    assert "3 of 3 runs of wild failed (adam: 0)" in answer(result)
    assert "wild: 3 of 3 [29 to 100 %] runs failed, adam: 0 of 3 [0 to 71 %], p = 0.034" in result.out
    turned = lehi("report", "--reference", "wild", "--json")
    assert words(turned) == {("adam", "val_loss"): "better", ("adam", "val_accuracy"): "better"}
    assert verdicts(turned)[0]["difference"] is None


def test_two_that_diverge_are_no_tie_to_speak_of(lehi: Lehi) -> None:
    optims = "sgd:lr=1e30:label=wild,sgd:lr=2e30:label=wilder"
    result = compare(lehi, optims, "6")
    assert answer(result).startswith("not decided between wilder and wild on digits: no values to compare")
    assert "no run of either ended with a value" in result.out


def test_the_reference_can_be_named(lehi: Lehi) -> None:
    result = compare(lehi, "sgd,adam,lehi", "2", "--reference", "adam")
    assert answer(result).startswith("against adam on digits: ")
    assert "sgd, val loss" in result.out
    assert "against sgd on digits: " in lehi("report", "--optims", "sgd,adam,lehi").out
    assert "against lehi on digits: " in lehi("report", "--reference", "lehi").out


def test_tasks_asked_for_together_are_one_family_and_others_are_not(lehi: Lehi) -> None:
    together = verdicts(compare(lehi, "sgd,adam", "3", "--json", task="digits,diabetes"))
    found = [(verdict["metric"], verdict["family"], verdict["n"]) for verdict in together]
    assert found == [("val_loss", 4, 3), ("val_accuracy", 4, 3), ("val_loss", 4, 3), ("val_mae", 4, 3)]
    compare(lehi, "sgd,adam", "1", steps="7")
    apart = [(verdict["family"], verdict["n"]) for verdict in verdicts(lehi("report", "--task", "*", "--json"))]
    assert apart == [(4, 3), (4, 3), (4, 3), (4, 3), (0, 1), (0, 1)]  # as large as when it was looked at first
    compare(lehi, "lion,nadam", "2", task="diabetes")
    alone = [v["family"] for v in verdicts(lehi("report", "--optims", "lion,nadam", "--json"))]
    assert alone == [2, 2]


def test_a_section_without_the_reference_says_so(lehi: Lehi) -> None:
    compare(lehi, "sgd,adam", "2")
    compare(lehi, "sgd,lion", "2", task="diabetes")
    result = lehi("report", "--reference", "adam")
    assert result.out.count("difference to adam, ") == 1
    assert result.out.count("no verdict: adam has no runs here") == 1


@pytest.mark.parametrize("status", ["interrupted", "pruned"])
def test_unfinished_runs_are_left_out_and_named(lehi: Lehi, tmp_path: Path, status: str) -> None:
    compare(lehi, "sgd,adam", "3")
    for path in (tmp_path / "runs").glob("*/run.json"):
        state = json.loads(path.read_text())
        if (state["label"], state["spec"]["seed"]) == ("adam", 1):
            path.write_text(json.dumps({**state, "status": status}))
    result = lehi("report", "--optims", "sgd,adam")
    assert ", 2 seeds, " in answer(result)
    assert f"adam, seed 1: {status}; left out of the pairs" in result.out


def test_failed_runs_count_as_worst(lehi: Lehi, tmp_path: Path) -> None:
    compare(lehi, "sgd,adam", "3")
    for path in (tmp_path / "runs").glob("*/run.json"):
        state = json.loads(path.read_text())
        if state["label"] == "adam":
            path.write_text(json.dumps({**state, "status": "oom"}))
    loss, _ = verdicts(lehi("report", "--optims", "sgd,adam", "--json"))
    assert loss["n"] == 3
    assert "runs without a value count as worst" in loss["note"]


def test_tuned_finals_get_a_verdict_on_the_test_split_and_sweeps_do_not(lehi: Lehi) -> None:
    tuned = compare(lehi, "sgd,adam", "1,2", "--tune", "2", "--reference", "adam", "--margin", "0.02")
    assert answer(tuned).endswith(", 2 seeds, at equal price, each tuned with 2 trials") or "more seeds" in answer(
        tuned
    )
    assert " adam on digits: test loss " in answer(tuned)
    assert "equivalent: within 2 % of adam" in tuned.out
    sweep = ("sweep", "--task", "digits", "--over", "lr=0.01,0.1", "--steps", "5", "--seeds", "2")
    assert "verdict" not in lehi(*sweep).out
    assert verdicts(lehi(*sweep, "--json")) == []


def test_many_series_get_none_and_a_word_why(lehi: Lehi) -> None:
    out = compare(lehi, "adam:lr=1e-4..1e-2/log13", "1", "--executor", "mock").out
    assert "no verdict: the best of 13 settings wins by chance; name up to 12" in out
    assert "| verdict" not in out


BAD = [
    (("--reference", "lion"), "unknown reference 'lion'"),
    (("--reference", "adqm"), "did you mean 'adam'"),
    (("--reference", ""), "unknown reference ''"),
    (("--margin", "-0.1"), "margin '-0.1': -0.1 is not a share"),
    (("--margin", "nan"), "margin 'nan': nan is not a share"),
    (("--margin", "accuracy=inf"), "margin 'accuracy=inf': inf is not a share"),
    (("--margin", "much"), "malformed margin 'much'"),
    (("--margin", "loss=0.1,loss=0.2"), "or one is given twice"),
    (("--margin", "accurcy=0.1"), "did you mean 'accuracy'"),
    (("--brief", "--full"), "--brief and --full ask for opposite things"),
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
    assert "against adam:lr=0.01 on digits" in compare(lehi, optims, "2", "--reference", "adam:lr=0.01").out
    assert lehi("report", "--reference", "adam").code == 2


def test_commands_that_compare_nothing_have_no_such_options(lehi: Lehi) -> None:
    for option in ("--margin", "--reference"):
        result = lehi("train", "--task", "digits", option, "1")
        assert result.code == 2
        assert "No such option" in result.err

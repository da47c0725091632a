"""Stored comparisons: the same page again, trials that never decide, and stores that lack something."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of
from conftest import Result
from stored import write

from lehi_cli.runs.comparisons import TUNING_SEED, ComparisonRecord, Comparisons, Member
from lehi_cli.runs.store import Store

Lehi = Callable[..., Result]
STEPS = ("--task", "digits", "--steps", "6", "--quiet")


def records(root: Path = Path("runs")) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in root.glob(".comparisons/*.json")]
    return sorted(found, key=lambda record: record["created"])


def again(lehi: Lehi, result: Result, *more: str) -> Result:
    """What the printed command shows."""
    (line,) = [line for line in result.err.splitlines() if line.startswith("show again: lehi ")]
    return lehi(*line.removeprefix("show again: lehi ").split(), *more)


PAGES = {
    "compare": ("compare", "--optims", "sgd,adam", "--seeds", "3"),
    "several tasks, asked a lot": (
        "compare", "--task", "digits,diabetes", "--optims", "sgd,adam,lehi", "--seeds", "3", "--reference", "adam",
        "--margin", "0.05,accuracy=0.1", "--target", "val_loss=2", "--x", "seconds", "--cost", "--assert", "adam < sgd",
    ),
    "auto": ("compare", "--optims", "sgd,adam:lr=0.01", "--seeds", "auto:6"),
    "tuned": ("compare", "--optims", "sgd,adam", "--tune", "3", "--seeds", "3"),
    "grid": ("sweep", "--optims", "sgd,adam", "--over", "lr=0.01,0.1", "--seeds", "2"),
    "trials": ("sweep", "--optims", "sgd,adam", "--trials", "3"),
    "train": ("train", "--optim", "adam", "--seeds", "2"),
    "labels": ("compare", "--optims", "adam:label=one,adam:lr=0.01:label=two", "--seeds", "2"),
    "brief": ("compare", "--optims", "sgd,adam", "--seeds", "2", "--brief"),
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_the_same_again(lehi: Lehi, page: str) -> None:
    verb, *typed = PAGES[page]
    task = [] if "--task" in typed else ["--task", "digits"]
    result = lehi(verb, *task, *typed, "--steps", "6")
    assert result.code in (0, 3, 4), result.err
    shown = again(lehi, result)
    assert shown.out == result.out
    assert shown.code == result.code
    more = ["--brief"] if page == "brief" else []
    assert lehi("report", *more).out == result.out  # the only one, and so the last
    lehi("compare", "--optims", "lion,adam", "--seeds", "2", *STEPS)
    assert again(lehi, result).out == result.out


def test_every_format_shows_a_stored_comparison(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "digits", "--steps", "6", "--optims", "sgd,adam", "--tune", "2", "--seeds", "2")
    for kind in ("markdown", "csv", "json", "latex", "html"):
        assert again(lehi, result, "--format", kind).code == 0
    document = json.loads(again(lehi, result, "--json").out)
    assert document["comparison"] == records()[0]["id"]
    assert document["provenance"]["command"].startswith("lehi compare --task digits")


def test_several_comparisons_are_listed_and_the_last_is_shown(lehi: Lehi) -> None:
    first = lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    lehi("compare", "--optims", "lion,adam", "--seeds", "2", *STEPS)
    listed = lehi("report")
    for record in records():
        assert f"| {record['id']}" in listed.out
    assert "lehi compare --optims lion,adam --seeds 2" in listed.out
    assert "between adam and lion on digits" in listed.out or "adam is " in listed.out
    assert lehi("report", "--comparison", records()[0]["id"][:4]).out == first.out
    assert len(records()) == 2  # showing them made none


def test_tuning_trials_never_meet_the_finals(lehi: Lehi) -> None:
    tuned = lehi("compare", "--optims", "sgd,adam", "--tune", "3", "--seeds", "4", "--json", *STEPS)
    finals = {run["seed"] for run in runs_in(tuned)}
    assert finals == {0, 1, 2, 3}
    assert {run["role"] for run in records()[0]["runs"]} == {"final", "trial"}
    free = lehi("report", "--task", "digits", "--json")
    assert {run["seed"] for run in runs_in(free)} == finals
    assert "6 trials are left out" in lehi("report", "--task", "digits").out
    best = lehi("report", "--best-by", "val_loss", "--json")
    assert TUNING_SEED not in {run["seed"] for run in runs_in(best)}
    everything = lehi("report", "--role", "all", "--json")
    assert TUNING_SEED in {run["seed"] for run in runs_in(everything)}
    assert verdicts(everything) == []
    assert len(runs_in(lehi("report", "--role", "trial", "--json"))) == 6


def test_what_a_setting_was_chosen_by_does_not_judge_it(lehi: Lehi) -> None:
    lehi("sweep", "--optims", "sgd,adam", "--over", "lr=0.01,0.1", "--seeds", "2", *STEPS)
    sweep = records()[0]["id"]
    result = lehi("compare", "--optims", "sgd:lr=0.1,adam:lr=0.01", "--seeds", "4", *STEPS)
    assert ", 2 seeds, " in result.out.split("\n\n")[1]
    why = (
        f"left out, because its setting may have been chosen by these very runs (comparison {sweep}); name other seeds"
    )
    assert f"adam, seeds 0, 1: {why}" in result.out
    fresh = lehi("compare", "--optims", "sgd:lr=0.1,adam:lr=0.01", "--seeds", "10,11,12", *STEPS)
    assert "left out" not in fresh.out


CHOSEN = ("sweep", "--over", "lr=0.01,0.1", "--seeds", "2")
NOTHING_LEFT = {
    "all of it": (CHOSEN, "sgd,adam", "sgd:lr=0.1,adam:lr=0.01", ()),
    "as a document": (CHOSEN, "sgd,adam", "sgd:lr=0.1,adam:lr=0.01", ("--json",)),
    "a target": (CHOSEN, "sgd,adam", "sgd:lr=0.1,adam:lr=0.01", ("--target", "val_loss=2")),
    "an assertion": (CHOSEN, "sgd,adam", "sgd:lr=0.1,adam:lr=0.01", ("--assert", "sgd < adam")),
    "a preview": (CHOSEN, "sgd,adam", "sgd:lr=0.1,adam:lr=0.01", ("--dry-run",)),
    "one of two": (CHOSEN, "adam", "sgd:lr=0.1,adam:lr=0.01", ()),
    "the reference": (CHOSEN, "sgd", "sgd:lr=0.1,adam:lr=0.01,lion", ()),
    "whom an assertion is about": (CHOSEN, "adam", "sgd:lr=0.1,adam:lr=0.01,lion", ("--assert", "sgd < adam")),
    "the winners": (("sweep", "--trials", "2", "--seeds", "2"), "sgd,adam", "sgd,adam", ("--tune", "2")),
}


@pytest.mark.parametrize("case", NOTHING_LEFT)
def test_a_comparison_that_would_compare_nothing_is_refused(lehi: Lehi, case: str) -> None:
    sweep, swept, optims, options = NOTHING_LEFT[case]
    lehi(*sweep, "--optims", swept, *STEPS)
    result = lehi("compare", "--optims", optims, "--seeds", "2", *options, *STEPS)
    assert (result.code, result.out) == (2, "")
    what = "of what is asked about" if case == "whom an assertion is about" else "to compare"
    assert f"error: nothing is left {what}: the settings of " in result.err
    assert f"may have been chosen by these very runs (comparison {records()[0]['id']})" in result.err
    assert "compare them on fresh seeds, such as --seeds 2,3" in result.err
    assert len(records()) == 1
    assert lehi("compare", "--optims", optims, *options, *STEPS, "--seeds", "2,3").code in (0, 3, 4)


def test_seeds_are_not_added_to_runs_that_chose(lehi: Lehi) -> None:
    lehi("sweep", "--optims", "sgd,adam", "--over", "lr=0.01,0.1", "--seeds", "3", *STEPS)
    for option in ("--quiet", "--dry-run"):
        result = lehi("compare", "--optims", "sgd:lr=0.1,adam:lr=0.01", "--seeds", "auto:6", option, *STEPS[:4])
        assert (result.code, result.out) == (2, "")
        assert "compare them on fresh seeds, such as --seeds 3,4,5" in result.err


def test_a_stored_comparison_of_nothing_is_refused(lehi: Lehi) -> None:
    lehi("train", "--optim", "adam", *STEPS)
    view = records()[0]["view"] | {"target": "val_loss=2.0"}
    empty = ComparisonRecord("compare", [], view, left_out=["adam, seed 0: left out"], created="2126-01-01")
    Comparisons(Store(Path("runs"))).save(empty)
    for options in ([], ["--json"], ["--comparison", empty.id]):
        result = lehi("report", *options)
        assert (result.code, result.out) == (2, "")
        assert f"comparison {empty.id} compares nothing: adam, seed 0: left out" in result.err


def test_comparisons_that_came_before_are_not_touched_by_a_sweep(lehi: Lehi) -> None:
    before = lehi("compare", "--task", "digits", "--steps", "6", "--optims", "sgd:lr=0.1,adam:lr=0.01", "--seeds", "2")
    lehi("sweep", "--optims", "sgd,adam", "--over", "lr=0.01,0.1", "--seeds", "2", *STEPS)
    assert again(lehi, before).out == before.out


def test_one_out_of_many_is_judged_as_one_of_many(lehi: Lehi) -> None:
    many = lehi("compare", "--optims", "sgd,adam,lion,lehi", "--seeds", "3", "--json", *STEPS)
    few = lehi("compare", "--optims", "sgd,adam", "--seeds", "3", "--json", *STEPS)
    assert {verdict["family"] for verdict in (*verdicts(many), *verdicts(few))} == {6}


def test_an_id_that_is_not_there_or_is_several(lehi: Lehi) -> None:
    lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    missing = lehi("report", "--comparison", "zzz")
    assert missing.code == 2
    assert "comparison 'zzz' is not there" in missing.err
    assert records()[0]["id"] in missing.err
    assert lehi("report", "--comparison", "").code == 2
    both = lehi("report", "--comparison", records()[0]["id"], "--task", "digits")
    assert both.code == 2
    assert "--comparison shows what was asked then, but --task asks for something else" in both.err


def test_runs_that_are_gone_are_named_and_nothing_is_decided(lehi: Lehi) -> None:
    lehi("compare", "--optims", "sgd,adam:lr=0.01", "--seeds", "4", *STEPS)
    (record,) = records()
    shutil.rmtree(Path("runs") / record["runs"][0]["run_id"])
    shown = lehi("report", "--comparison", record["id"])
    assert shown.code == 0
    assert "1 of its 8 runs is gone from runs" in shown.out
    assert "no verdict: some of the runs asked for are missing" in shown.out
    gated = lehi("compare", "--optims", "sgd,adam:lr=0.01", "--seeds", "4", "--assert", "adam < sgd", *STEPS)
    assert gated.code == 0
    shutil.rmtree(Path("runs") / record["runs"][0]["run_id"])
    assert lehi("report").code == 4
    for run in record["runs"][1:]:
        shutil.rmtree(Path("runs") / run["run_id"])
    gone = lehi("report", "--comparison", record["id"])
    assert gone.code == 2
    assert f"the runs of comparison {record['id']} are gone from runs" in gone.err


DAMAGE = {
    "no JSON": lambda text: text[: len(text) // 2],
    "another version": lambda text: text.replace('"schema": 1', '"schema": 99'),
    "another kind": lambda text: text.replace('"kind": "compare"', '"kind": "dream"'),
    "another run": lambda text: text.replace('"role": "final"', '"role": "trial"', 1),
    "a seed that is text": lambda text: text.replace("[\n   0,", '[\n   "0",', 1),
    "a list": lambda text: "[]",
    "left out is a number": lambda text: text.replace('"left_out": []', '"left_out": 5'),
    "the command is a number": lambda text: re.sub(r'"command": \[[^]]*\]', '"command": 5', text),
    "the family is text": lambda text: re.sub(r'"family": \d+', '"family": "many"', text),
    "no date": lambda text: text.replace('"created": "2', '"created": "x2'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_named_and_the_runs_are_read(lehi: Lehi, damage: str) -> None:
    lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    (path,) = Path("runs").glob(".comparisons/*.json")
    before = path.read_text()
    path.write_text(DAMAGE[damage](before))
    assert path.read_text() != before
    shown = lehi("report")
    assert shown.code == 0
    assert f"skipped {path}: damaged" in shown.err
    assert "| adam" in shown.out


def test_a_store_of_an_earlier_version_reads_as_before(lehi: Lehi) -> None:
    store = Store(Path("runs"))
    for seed in (0, 1, TUNING_SEED):
        for run in runs_of("sgd,adam", seeds=1):
            write(store, replace(run, seed=seed), [2.0, 1.0 + 0.1 * (run.optimizer.name == "sgd") + 0.01 * (seed % 7)])
    shown = lehi("report", "--json")
    assert {run["seed"] for run in runs_in(shown)} == {0, 1}
    assert "2 trials are left out" in lehi("report").out
    assert list(Comparisons(store).roles(store.runs()).values()).count("trial") == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_look_that_cannot_be_kept_is_named(lehi: Lehi) -> None:
    lehi("train", "--optim", "sgd", "--seeds", "2", *STEPS)
    lehi("train", "--optim", "adam", "--seeds", "2", *STEPS)
    shutil.rmtree("runs/.comparisons")
    Path("runs").chmod(0o500)
    shown = lehi("report", "--task", "digits")
    assert shown.code == 0
    assert "this look cannot be recorded" in shown.err


def test_a_look_that_finds_a_file_in_its_place_is_named(lehi: Lehi) -> None:
    lehi("train", "--optim", "sgd", "--seeds", "2", *STEPS)
    lehi("train", "--optim", "adam", "--seeds", "2", *STEPS)
    shutil.rmtree("runs/.comparisons")
    Path("runs/.comparisons").write_text("")
    shown = lehi("report", "--task", "digits")
    assert shown.code == 0
    assert "this look cannot be recorded" in shown.err


def runs_in(result: Result) -> list[dict[str, Any]]:
    sections = json.loads(result.out)["sections"]
    return [run for section in sections for series in section["series"] for run in series["runs"]]


def verdicts(result: Result) -> list[dict[str, Any]]:
    return [verdict for section in json.loads(result.out)["sections"] for verdict in section["verdicts"]]


@pytest.mark.parametrize("kind", ["table", "markdown", "latex", "html"])
def test_the_answer_alone_has_no_empty_heading(lehi: Lehi, kind: str) -> None:
    lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    shown = lehi("report", "--brief", "--format", kind).out
    assert "between adam and sgd on digits" in shown or "adam is " in shown
    assert "| verdict" not in shown
    for empty in ("##  ", "## \n", "<h2></h2>", r"\paragraph{}"):
        assert empty not in shown


def test_a_sweep_in_brief_says_that_it_decides_nothing(lehi: Lehi) -> None:
    lehi("sweep", "--optims", "adam", "--over", "lr=0.01,0.1", *STEPS)
    assert lehi("report", "--brief").out.strip() == "no verdict: nothing is compared here"
    assert "these are trials, from which settings are chosen" in lehi("report", "--role", "trial", "--brief").out


def test_showing_trials_makes_no_finals_of_them(lehi: Lehi) -> None:
    lehi("sweep", "--optims", "lehi", "--over", "factor=rademacher,sampled", "--seeds", "2", *STEPS)
    for view in (("--by", "factor"), ("--best-by", "val_loss"), ("--role", "all"), ("--optims", "lehi")):
        shown = lehi("report", *view)
        assert shown.code == 0, shown.err
        assert verdicts(lehi("report", *view, "--json")) == []
        assert "no verdict: these are trials" in shown.out
    assert [record["kind"] for record in records()] == ["sweep"]
    gate = lehi("report", "--by", "factor", "--assert", "'lehi:factor=sampled' < 'lehi:factor=rademacher'")
    assert gate.code == 4
    assert "is inconclusive: these are trials, from which settings are chosen" in gate.out


def test_what_is_only_trained_is_shown_whatever_chose_it(lehi: Lehi) -> None:
    lehi("sweep", "--optims", "adam", "--over", "lr=0.01,0.1", *STEPS)
    trained = lehi("train", "--optim", "adam:lr=0.01", *STEPS)
    assert "| adam" in trained.out
    assert "left out" not in trained.out


def test_a_record_keeps_the_looks_at_its_own_pairs_alone(lehi: Lehi) -> None:
    lehi("compare", "--optims", "sgd,lion", "--seeds", "2", *STEPS)
    lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    lehi("compare", "--optims", "sgd,adam", "--seeds", "3", *STEPS)
    first, second, third = records()
    assert first["looked"] == second["looked"] == {}
    assert list(third["looked"]) == list(second["pairs"])


@pytest.mark.parametrize("damage", ["settings", "margins", "order", "x"])
def test_a_record_that_lacks_something_is_an_error_with_a_way_on(lehi: Lehi, damage: str) -> None:
    lehi("compare", "--optims", "sgd,adam", "--seeds", "2", *STEPS)
    (path,) = Path("runs").glob(".comparisons/*.json")
    content = json.loads(path.read_text())
    del content["view"][damage]
    known = ComparisonRecord("compare", [Member(**run) for run in content["runs"]], content["view"])
    path.with_name(f"{known.id}.json").write_text(json.dumps({**content, "id": known.id}))
    path.unlink()
    shown = lehi("report")
    assert shown.code == 2
    assert f"comparison {known.id} cannot be shown: its record is damaged" in shown.err
    assert lehi("report", "--task", "*").code == 0

"""`lehi compare --seeds auto`, as it is typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

from lehi_cli.experiment.session import Session
from lehi_cli.runs.specs import RunSpec

Lehi = Callable[..., Result]
CLEAR = "sgd,adam:lr=0.01"
TWINS = "adam,adam:betas=0.5/0.999:label=near"
LOOK = re.compile(r"^(\w+): (\d+) seeds, (.*)$", re.MULTILINE)


def compare(lehi: Lehi, optims: str, seeds: str, *more: str, task: str = "digits") -> Result:
    return lehi("compare", "--task", task, "--optims", optims, "--steps", "6", "--seeds", seeds, *more)


def looks(result: Result) -> list[tuple[str, str, str]]:
    return LOOK.findall(result.err)


def states(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in root.glob("*/run.json")]


def seeds_of(root: Path, label: str, task: str = "digits") -> list[int]:
    found = (state["spec"] for state in states(root) if state["label"] == label)
    return sorted(spec["seed"] for spec in found if spec["task"]["name"] == task)


def pages(root: Path) -> list[dict[str, Any]]:
    """The comparisons that were kept, oldest first."""
    found = [json.loads(path.read_text()) for path in root.glob(".comparisons/*.json")]
    return sorted(found, key=lambda page: page["created"])


def test_seeds_are_added_until_the_difference_is_clear(lehi: Lehi, tmp_path: Path) -> None:
    result = compare(lehi, CLEAR, "auto")
    assert result.code == 0
    *before, last = looks(result)
    assert [row[1] for row in looks(result)] == [str(n) for n in range(3, 3 + len(before) + 1)]
    assert {row[2] for row in before} == {"adam open"}
    assert last[2] == "adam settled (better)"
    used = list(range(int(last[1])))
    assert 4 <= len(used) < 12
    assert seeds_of(tmp_path / "runs", "sgd") == seeds_of(tmp_path / "runs", "adam") == used
    assert f"{2 * len(used)} runs in runs ({2 * len(used)} new, 0 reused)" in result.err
    assert "adam is better than sgd on digits: val loss " in result.out
    assert f", {len(used)} seeds, at equal price" in result.out
    assert "valid however often one looks (anytime-valid t, arXiv 2310.03722)" in result.out
    assert "interval 95 %, all 2 together, and p, however often one looks" in result.out
    for absent in ("Holm", "Wilcoxon", "detectable", "left out"):
        assert absent not in result.out


def test_the_comparison_remembers_and_runs_do_not_change(lehi: Lehi, tmp_path: Path) -> None:
    result = compare(lehi, CLEAR, "auto", "--quiet")
    assert result.err == ""
    assert {state.get("seeds") for state in states(tmp_path / "runs")} == {None}
    (page,) = pages(tmp_path / "runs")
    assert page["adaptive"]
    assert lehi("report").out == result.out
    chosen = lehi("report", "--optims", "sgd,adam").out  # of which nobody knows whether it was tuned
    assert chosen.replace("at equal price", "at equal price, settings as given", 1) == result.out
    assert looks(compare(lehi, CLEAR, "auto"))[-1][2] == "adam settled (better)"
    later = compare(lehi, CLEAR, "12", "--quiet")
    assert "anytime-valid" in later.out
    assert ", 12 seeds, " in later.out


def test_other_comparisons_with_the_same_runs_are_judged_as_fixed(lehi: Lehi, tmp_path: Path) -> None:
    compare(lehi, CLEAR, "auto", "--quiet")
    before = {path: path.read_bytes() for path in (tmp_path / "runs").glob("*/run.json")}
    other = compare(lehi, "sgd,lion", "4", "--quiet")
    assert "anytime-valid" not in other.out
    assert {path: path.read_bytes() for path in before} == before


def test_seeds_that_were_added_by_hand_are_judged_as_such(lehi: Lehi, tmp_path: Path) -> None:
    first = compare(lehi, TWINS, "3")
    assert "anytime-valid" not in first.out
    second = compare(lehi, TWINS, "6")
    assert "anytime-valid" in second.out
    turned = compare(lehi, ",".join(reversed(TWINS.split(","))), "7")  # whichever is the reference
    assert "anytime-valid" in turned.out
    first_again, second_again = (page["id"] for page in pages(tmp_path / "runs")[:2])
    assert lehi("report", "--comparison", first_again).out == first.out
    assert lehi("report", "--comparison", second_again).out == second.out
    # A person who waits for reports adds seeds as well as one who compares.
    assert "anytime-valid" in lehi("report", "--optims", "adam").out


def test_some_of_the_seeds_that_were_looked_at_decide_nothing(lehi: Lehi) -> None:
    compare(lehi, CLEAR, "6")
    some = compare(lehi, CLEAR, "1,3,5,7")
    assert "not decided between adam and sgd" in some.out
    assert "looked at before with other seeds" in some.out
    gate = lehi("report", "--seeds", "1,2,4", "--assert", "adam < sgd")
    assert gate.code == 4
    assert "this comparison was looked at before with other seeds" in gate.out


def test_a_report_is_a_look(lehi: Lehi, tmp_path: Path) -> None:
    for seeds in ("3", "6"):
        for optim in ("sgd", "adam:lr=0.01"):
            lehi("train", "--task", "digits", "--optim", optim, "--steps", "6", "--seeds", seeds, "--quiet")
        shown = lehi("report", "--task", "digits")
        assert ("anytime-valid" in shown.out) == (seeds == "6")
    assert [page["kind"] for page in pages(tmp_path / "runs")].count("report") == 2
    assert lehi("report", "--task", "digits").out == shown.out


def test_stored_runs_that_were_looked_at_count_as_looked_at(lehi: Lehi) -> None:
    fixed = compare(lehi, CLEAR, "4", "--quiet")
    assert "p: chance of a difference" in fixed.out
    result = compare(lehi, CLEAR, "auto:4")
    assert "0 new, 8 reused" in result.err
    assert "anytime-valid" in result.out


def test_what_is_settled_gets_no_more_runs(lehi: Lehi, tmp_path: Path) -> None:
    optims = f"{CLEAR},sgd:lr=0.00101:label=near"
    result = compare(lehi, optims, "auto:14", "--margin", "0", task="digits,diabetes")
    root = tmp_path / "runs"
    assert seeds_of(root, "sgd") == seeds_of(root, "near")
    assert len(seeds_of(root, "adam")) < len(seeds_of(root, "near"))
    settled = int(next(row[1] for row in looks(result) if row[0] == "digits" and "adam settled (better)" in row[2]))
    assert seeds_of(root, "adam") == list(range(settled))
    assert "all 8 together" in result.out
    assert "not in both" not in result.out


def test_at_the_most_seeds_it_stops_and_says_how_to_go_on(lehi: Lehi, tmp_path: Path) -> None:
    # What is made up does not depend on the name of the optimizer.
    result = compare(lehi, "adam,lehi", "auto:10", "--executor", "mock", "--margin", "0")
    assert result.code == 0
    assert looks(result)[-1] == ("digits", "10", "lehi open")
    assert seeds_of(tmp_path / "runs", "lehi") == list(range(10))
    assert "goes on from here, and allows for having looked" in result.out
    row = next(line for line in result.out.splitlines() if line.startswith("| lehi, val loss"))
    assert "inconclusive" in row
    assert row.endswith(" 10 |")
    more = compare(lehi, "adam,lehi", "auto:11", "--executor", "mock", "--margin", "0")
    assert "22 runs in runs (2 new, 20 reused)" in more.err


def test_jobs_take_several_seeds_at_a_time_and_find_the_same(lehi: Lehi, tmp_path: Path) -> None:
    optims, more = "adam,adam:eps=1e-7:label=twin", ("--executor", "mock", "--margin", "0.05")
    one = compare(lehi, optims, "auto:9", "--runs", "one", *more)
    four = compare(lehi, optims, "auto:9", "--runs", "four", "--jobs", "4", *more)
    shorter = min(len(looks(one)), len(looks(four)))
    assert shorter >= 2
    assert looks(one)[:shorter] == looks(four)[:shorter]
    assert [row[1] for row in looks(four)] == [str(n) for n in range(3, 3 + len(looks(four)))]
    assert len(seeds_of(tmp_path / "four", "twin")) % 2 == 1  # three, then two at a time


def test_diverging_runs_settle_it_as_failures(lehi: Lehi) -> None:
    result = compare(lehi, "adam,sgd:lr=1e30:label=wild", "auto")
    word, seeds, state = looks(result)[-1]
    assert (word, state) == ("digits", "wild settled (worse)")
    assert 8 < int(seeds) < 16
    assert f"{seeds} of {seeds} runs of wild failed (adam: 0)" in result.out


def test_failed_runs_count_as_failures(lehi: Lehi, tmp_path: Path) -> None:
    compare(lehi, CLEAR, "14")
    for path in (tmp_path / "runs").glob("*/run.json"):
        state = json.loads(path.read_text())
        if state["label"] == "adam":
            path.write_text(json.dumps({**state, "status": "oom"}))
    shown = lehi("report", "--optims", "sgd,adam").out
    assert "adam is worse than sgd on digits: " in shown
    assert "14 of 14 runs of adam failed (sgd: 0)" in shown


def test_a_tuned_comparison_adds_seeds_too(lehi: Lehi, tmp_path: Path) -> None:
    result = compare(lehi, "sgd,adam", "auto:5", "--tune", "2", "--reference", "adam")
    assert result.code == 0
    assert looks(result)[0][1] == "3"
    assert "sgd" in looks(result)[0][2]
    assert "adam on digits: test loss" in result.out
    (page,) = pages(tmp_path / "runs")
    roles = {run["run_id"]: run["role"] for run in page["runs"]}
    found = {(state["spec"]["seed"] == 100_000, roles[state["run_id"]]) for state in states(tmp_path / "runs")}
    assert found == {(True, "trial"), (False, "final")}


def test_an_interrupt_shows_what_there_is(lehi: Lehi, monkeypatch: pytest.MonkeyPatch) -> None:
    train, batches = Session.train, list[int]()

    def interrupted(self: Session, runs: Sequence[RunSpec]) -> None:
        batches.append(len(runs))
        if len(batches) == 3:
            raise KeyboardInterrupt
        train(self, runs)

    monkeypatch.setattr(Session, "train", interrupted)
    result = compare(lehi, CLEAR, "auto")
    assert result.code == 130
    assert batches == [6, 2, 2]
    assert "no verdict: some of the runs asked for are missing" in result.out
    assert "difference" not in result.out
    assert not list(Path("runs").glob(".comparisons/*"))
    assert "to go on with what is missing: lehi compare --task digits" in result.err


def test_a_dry_run_shows_the_first_seeds_and_how_far_it_may_go(lehi: Lehi, tmp_path: Path) -> None:
    result = compare(lehi, CLEAR, "auto:9", "--dry-run", "--executor", "mock")
    assert "6 runs: 6 to train, 0 stored" in result.out
    assert "up to 9 seeds (18 runs in all)" in result.out
    tuned = compare(lehi, CLEAR, "auto:9", "--dry-run", "--executor", "mock", "--tune", "2")
    assert "then the winners on 3 seeds, and one seed at a time" in tuned.out
    assert not (tmp_path / "runs").exists()


def test_a_smoke_run_is_one_seed(lehi: Lehi, tmp_path: Path) -> None:
    result = lehi("compare", "--task", "digits", "--optims", "sgd,adam", "--smoke", "--seeds", "auto")
    assert result.code == 0
    assert looks(result) == []
    assert seeds_of(tmp_path / "runs", "adam") == [0]


BAD = [
    (("compare", "--optims", "sgd,adam", "--seeds", "auto:0"), "auto:N with N from 2"),
    (("compare", "--optims", "sgd,adam", "--seeds", "auto:1"), "auto:N with N from 2"),
    (("compare", "--optims", "sgd,adam", "--seeds", "auto:x"), "auto:N with N from 2"),
    (("compare", "--optims", "adam:lr=1e-4..1e-2/log13", "--seeds", "auto"), "name up to 12"),
    (("compare", "--optims", "adam:lr=1e-4..1e-2/log13", "--seeds", "auto", "--tune", "2"), "name up to 12"),
    (("train", "--seeds", "auto"), "only lehi compare does"),
    (("sweep", "--over", "lr=0.1,0.2", "--seeds", "auto:5"), "only lehi compare does"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_is_refused_before_anything_is_trained(
    lehi: Lehi, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = lehi(arguments[0], "--task", "digits", *arguments[1:])
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())


def test_where_nothing_ends_with_a_value_no_seeds_are_added(lehi: Lehi) -> None:
    arguments = ("compare", "--task", "digits", "--steps", "20", "--seeds", "auto:9")
    result = lehi(*arguments, "--optims", "sgd:lr=1e8,sgd:lr=1e9:label=faster")
    assert result.code == 0, result.err
    assert "digits: 3 seeds, faster given up (no run of either has a value)" in result.err
    assert len(list(Path("runs").glob("*/run.json"))) == 6

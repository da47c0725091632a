"""The CI gate as it is typed: exit codes of `lehi compare` and `lehi report`, and what is refused before training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of
from commanded import Lehi, document, rows
from conftest import Result
from stored import write, write_all

from lehi_cli.runs.store import Store
from lehi_cli.stats.verdict import FIRST_SHARE

LOW, HIGH = (1.0, 1.1001, 1.1999, 1.3, 1.3999), (2.0, 2.1, 2.2, 2.3, 2.4)
BOOM = """
from lehi_cli.registry.optimizers import Option, OptimizerRecord
from torch.optim import SGD

class Boom(SGD):
    def step(self, closure=None):
        raise RuntimeError("boom")

OPTIMIZERS = [OptimizerRecord("boom", "for tests", ":Boom", (Option("lr", 0.1, "rate"),), passes="1")]
"""


@pytest.fixture
def stored(tmp_path: Path) -> Store:
    """Five seeds; adam is lower than sgd by about 1."""
    store = Store(tmp_path / "runs")
    write_all(store, "sgd,adam", [HIGH, LOW])
    return store


def compare(lehi: Lehi, *more: str, optims: str = "lehi,adam") -> Result:
    return lehi("compare", "--task", "digits", "--optims", optims, "--steps", "3", "--quiet", *more)


def outcomes(result: Result) -> list[tuple[str, str]]:
    return [(row[0], row[2]) for row in rows(result.out, "assertion")]


HOLDS = [
    (["adam < sgd"], 0, ["true"]),
    (["adam <= sgd @ val_loss"], 0, ["true"]),
    (["sgd > adam"], 0, ["true"]),
    (["adam < 1.5"], 0, ["true"]),
    (["adam.val_loss + 0.5 < sgd.val_loss"], 0, ["true"]),
    (["sgd < adam"], 3, ["false"]),
    (["adam < 0.4 * sgd"], 3, ["false"]),
    (["adam < 1.2"], 4, ["inconclusive"]),
    (["adam.passes <= sgd"], 0, ["true"]),
    (["adam.passes < sgd"], 3, ["false"]),
    (["adam < sgd", "adam < 1.2"], 4, ["true", "inconclusive"]),
    (["adam < 1.2", "sgd < adam", "adam < sgd"], 3, ["inconclusive", "false", "true"]),
]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("assertions", "code", "found"), HOLDS, ids=["; ".join(row[0]) for row in HOLDS])
def test_the_report_ends_with_what_the_assertions_came_to(
    lehi: Lehi, assertions: list[str], code: int, found: list[str]
) -> None:
    typed = [word for text in assertions for word in ("--assert", text)]
    result = lehi("report", *typed)
    assert result.code == code
    assert outcomes(result) == list(zip(assertions, found, strict=True))
    counted = document(lehi("report", *typed, "--json"))["assertions"]
    assert [check["outcome"] for check in counted] == found


@pytest.mark.usefixtures("stored")
def test_the_document_has_the_numbers_of_a_check(lehi: Lehi) -> None:
    (check,) = document(lehi("report", "--assert", "adam < sgd", "--json"))["assertions"]
    assert (check["n"], check["center"], check["task"]) == (5, "mean", "digits")
    assert check["is_ratio"]
    assert check["difference"] == pytest.approx(sum(math.log(a / b) for a, b in zip(LOW, HIGH, strict=True)) / 5)
    assert check["interval"][0] < check["difference"] < check["interval"][1] < 0
    assert 0 < check["p"] < 1e-4


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json", "latex", "html"])
def test_the_exit_code_does_not_depend_on_the_format(lehi: Lehi, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    typed = ("--assert", "sgd < adam", "--format", kind)
    assert lehi("report", *typed).code == 3
    assert lehi("report", *typed, "--output", str(path)).code == 3
    assert path.stat().st_size


@pytest.mark.usefixtures("stored")
def test_filters_come_before_the_gate(lehi: Lehi) -> None:
    one = lehi("report", "--assert", "adam < sgd", "--seeds", "0,")
    assert one.code == 4
    assert "one seed cannot tell a difference from chance" in one.out
    gone = lehi("report", "--assert", "adam < sgd", "--optims", "adam")
    assert (gone.code, gone.out) == (2, "")
    assert "unknown optimizer 'sgd'" in gone.err


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (["lehi.passes <= 1.7*adam"], 0),
        (["lehi.passes <= 1.6*adam"], 3),
        (["lehi < adam"], 4),
        (["lehi < adam", "lehi.passes <= 1.6*adam"], 3),
    ],
)
def test_compare_ends_with_what_the_assertions_came_to(lehi: Lehi, typed: list[str], code: int) -> None:
    arguments = ["--seeds", "1", *(word for text in typed for word in ("--assert", text))]
    result = compare(lehi, *arguments)
    assert result.code == code  # lehi takes 5/3 passes per step
    assert [text for text, _ in outcomes(result)] == typed
    assert lehi("report", *arguments[2:]).out == result.out


def test_a_run_that_failed_comes_before_an_assertion(lehi: Lehi, tmp_path: Path) -> None:
    (tmp_path / "boom.py").write_text(BOOM)
    typed = ("--assert", "boom < adam", "--seeds", "8")
    compared = compare(lehi, *typed, optims="adam,boom.py")
    assert compared.code == 1
    assert outcomes(compared) == [("boom < adam", "false")]
    assert lehi("report", *typed[:2]).code == 3


def test_a_run_that_diverged_is_a_result_to_assert_about(lehi: Lehi) -> None:
    optims = "adam,sgd:lr=1e6:label=wild"
    assert compare(lehi, "--seeds", "8", "--assert", "adam < wild", optims=optims).code == 0
    assert compare(lehi, "--seeds", "8", "--assert", "wild < adam", optims=optims).code == 3
    assert compare(lehi, "--seeds", "8", "--assert", "wild.val_accuracy > 0.05", optims=optims).code == 3


REFUSED = [
    ("lehi <", "expected a number or an optimizer", 6),
    ("lehi < < adam", "expected a number or an optimizer", 7),
    ("lehi < adam adam", "expected nothing more", 12),
    ("lehi <= 1.02 adam", "expected nothing more", 13),
    ("lehi < adam < sgd", "expected nothing more", 12),
    ("lehi", "expected <, <=, > or >=", 4),
    ("", "expected a number or an optimizer", 0),
    ("2 lehi < adam", "expected <, <=, > or >=", 2),
    ("lehi == adam", "this character has no meaning here", 5),
    ("é < adam $", "this character has no meaning here", 9),
    ("lehi < 1e999", "this number is too large", 7),
    ("lehi < 'adam", "this quote is not closed", 7),
    ("lehi + adam < 3", "a side has at most one optimizer", 7),
]


@pytest.mark.parametrize(("text", "message", "place"), REFUSED, ids=[row[0] or "empty" for row in REFUSED])
def test_what_cannot_be_read_is_pointed_at(lehi: Lehi, tmp_path: Path, text: str, message: str, place: int) -> None:
    result = compare(lehi, "--assert", text)
    assert (result.code, result.out) == (2, "")
    assert f"malformed assertion: {message}\n  {text}\n  {' ' * place}^\n" in result.err
    assert not list(tmp_path.iterdir())


UNKNOWN = [
    ("lehi < adm", "unknown optimizer 'adm'; did you mean 'adam'?"),
    ("lehi < nan", "unknown optimizer 'nan'"),
    ("lehi.val_accuracy > 95%", "unknown optimizer '95%'"),
    ("lehi < adam @ val_los", "unknown column 'val_los'; did you mean 'val_loss'?"),
    ("lehi.foo < adam", "unknown column 'foo'"),
    ("lehi < adam @ val_mae", "unknown column 'val_mae'"),
    ("lehi.val_loss < adam.val_loss @ val_accuracy", "every optimizer has a column of its own"),
    ("0.1 < 0.2", "names no optimizer"),
]


@pytest.mark.parametrize(("text", "message"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_what_is_unknown_is_refused_before_anything_is_trained(
    lehi: Lehi, tmp_path: Path, text: str, message: str
) -> None:
    for more in ((), ("--tune", "2"), ("--seeds", "auto"), ("--dry-run",)):
        result = compare(lehi, "--assert", "lehi < adam", "--assert", text, *more)
        assert result.code == 2, more
        assert message in result.err
        assert not list(tmp_path.glob("runs/*"))


PLANS: list[tuple[str, str, str, str]] = [
    ("digits", "lehi,adam:lr=1e-3..1e-2/log2", "lehi < adam", "'adam' means several optimizers of digits"),
    ("digits,diabetes", "lehi,adam", "lehi.val_accuracy < adam.val_mae", "no task has lehi.val_accuracy and adam"),
    ("markov_2", "lehi,adam", "lehi < adam @ passes_to_target", "markov_2 has no target"),
]


@pytest.mark.parametrize(("task", "optims", "text", "message"), PLANS, ids=[row[2] for row in PLANS])
def test_what_no_plan_can_tell_is_refused_before_anything_is_trained(
    lehi: Lehi, tmp_path: Path, task: str, optims: str, text: str, message: str
) -> None:
    if task == "markov_2":
        from lehi_cli.registry import tasks

        origin = Path(tasks.find("digits").origin)
        lines = origin.read_text(encoding="utf-8").replace("name: digits", "name: markov_2").splitlines(keepends=True)
        (tmp_path / "task.yaml").write_text("".join(line for line in lines if not line.startswith("target:")))
        task = "task.yaml"
    result = lehi("compare", "--task", task, "--optims", optims, "--steps", "3", "--assert", text)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not list(tmp_path.glob("runs/*"))


def test_a_dry_run_asserts_nothing(lehi: Lehi, tmp_path: Path) -> None:
    result = compare(lehi, "--assert", "adam < lehi", "--dry-run")
    assert result.code == 0
    assert "assertions" not in result.out


@pytest.mark.usefixtures("stored")
def test_the_summary_of_a_ci_job_is_added_to(lehi: Lehi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert lehi("report", "--assert", "sgd < adam", "--json").code == 3
    first = path.read_text(encoding="utf-8")
    assert first.startswith("# before\n## digits\n")
    assert rows(first, "assertion")[0][:3] == ["sgd < adam", "digits", "false"]
    assert lehi("report", "--assert", "adam < sgd").code == 0
    second = path.read_text(encoding="utf-8")
    assert second.startswith(first)
    assert second.count("## assertions") == 2


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("path", ["nowhere/summary.md", "."])
def test_a_summary_that_cannot_be_written_is_a_warning(lehi: Lehi, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", path)
    result = lehi("report", "--assert", "sgd < adam")
    assert result.code == 3
    assert f"warning: cannot add to the step summary {path}" in result.err


def test_two_false_alarms_are_adjusted_for(lehi: Lehi, tmp_path: Path) -> None:
    """One check with p = 0.03 against it is false, the same one twice, at 0.06 each, is not."""
    from scipy.stats import ttest_1samp

    differences = [0.1, 0.15, 0.02, 0.16, -0.02]
    logs = [math.log(1 + difference) for difference in differences]
    p = float(ttest_1samp(logs, 0, alternative="greater").pvalue) / FIRST_SHARE
    assert 0.025 < p < 0.05
    store = Store(tmp_path / "runs")
    for run in runs_of("sgd,adam", seeds=5):
        write(store, run, [1.0 + (differences[run.seed] if run.optimizer.name == "adam" else 0.0)])
    one = lehi("report", "--assert", "adam < sgd", "--json")
    assert one.code == 3
    assert document(one)["assertions"][0]["p"] == pytest.approx(p)
    two = lehi("report", "--assert", "adam < sgd", "--assert", "sgd > adam", "--json")
    assert two.code == 4
    checks: list[dict[str, Any]] = document(two)["assertions"]
    assert [check["p"] for check in checks] == pytest.approx([2 * p] * 2)
    assert "adjusted for 2 checks" in checks[0]["reason"]


@pytest.mark.parametrize("lost", ["boom.py", "sgd:lr=1e6:label=boom"])
def test_seeds_are_added_until_an_optimizer_that_never_ends_well_is_worse(
    lehi: Lehi, tmp_path: Path, lost: str
) -> None:
    (tmp_path / "boom.py").write_text(BOOM)
    typed = ("--seeds", "auto:12", "--assert", "adam < boom", "--json")
    result = compare(lehi, *typed, optims=f"adam,{lost}")
    assert result.code == (1 if lost == "boom.py" else 0)
    (section,), (check,) = document(result)["sections"], document(result)["assertions"]
    verdict = section["verdicts"][0]
    # A tenth of 2^n B(n + 1/2, 1/2) / pi, 34 for 11 seeds and 66 for 12, has to reach 2 comparisons / 0.05.
    assert (verdict["method"], verdict["verdict"], verdict["n"]) == ("anytime", "worse", 12)
    assert (check["outcome"], check["n"], check["difference"]) == ("true", 12, None)
    assert section["seeds"] == list(range(12))


def test_added_seeds_are_looked_at_as_such(lehi: Lehi) -> None:
    result = compare(lehi, "--seeds", "auto:4", "--assert", "lehi < adam", "--json")
    (check,) = document(result)["assertions"]
    assert result.code in (0, 4)
    assert 3 <= check["n"] <= 4
    fixed = compare(lehi, "--seeds", "auto", "--smoke", "--assert", "lehi < adam", "--json")
    assert fixed.code == 4
    assert document(fixed)["assertions"][0]["n"] == 1


def test_after_tuning_an_assertion_is_about_the_test_split(lehi: Lehi) -> None:
    typed = (
        "compare",
        "--task",
        "digits",
        "--steps",
        "6",
        "--optims",
        "sgd,adam",
        "--tune",
        "2",
        "--seeds",
        "3",
        "--json",
    )
    result = lehi(
        *typed, "--assert", "adam < sgd", "--assert", "adam < sgd @ test_loss", "--assert", "adam < sgd @ val_loss"
    )
    by_default, on_test, on_val = document(result)["assertions"]
    assert by_default["difference"] == on_test["difference"] != on_val["difference"]

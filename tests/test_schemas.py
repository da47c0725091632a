"""What is stored and what is printed for programs is what the schemas in `docs/schema` say, down to the last key."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cases import Recording, runs_of
from commanded import document
from conftest import Result
from documents import ROOT, text
from interrupted import interrupted
from jsonschema import Draft202012Validator

from lehi_cli.execute import mock
from lehi_cli.execute.conduct import Settings, conduct
from lehi_cli.runs.shards import COLUMNS
from lehi_cli.runs.status import Status
from lehi_cli.runs.store import Store

Lehi = Callable[..., Result]

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "docs" / "schema").glob("*.schema.json")}
NEVER_WRITTEN = ("planned", "timeout")


def closed(schema: Any) -> Any:
    """A schema that allows no keys but those it names; for readers they stay open, as later versions may add some."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = {
        key: {name: closed(item) for name, item in value.items()} if key in ("properties", "$defs") else closed(value)
        for key, value in schema.items()
        if key not in ("if", "then", "else", "allOf", "not")
    }
    conditions = {key: deepcopy(value) for key, value in schema.items() if key not in named}
    if "properties" in named:
        named.setdefault("additionalProperties", False)
    return {**named, **conditions}


def check(content: Any, name: str) -> None:
    """Validate something read from JSON, naming every place that is wrong."""
    validator = Draft202012Validator(closed(SCHEMAS[f"{name}.schema.json"]))
    wrong = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(content)]
    assert wrong == []


def run_files(root: Path = Path("runs")) -> list[dict[str, Any]]:
    """Every `run.json` of a store, each validated."""
    found = [json.loads(path.read_text()) for path in sorted(root.glob("*/run.json"))]
    for content in found:
        check(content, "run")
    return found


def statuses(root: Path = Path("runs")) -> set[str]:
    return {content["status"] for content in run_files(root)}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_the_statuses_of_the_schema_are_those_there_are() -> None:
    assert SCHEMAS["run.schema.json"]["properties"]["status"]["enum"] == list(Status)
    for status in Status:
        assert f"`{status}`" in text("docs/store.md")


def test_the_columns_described_are_those_of_the_shards() -> None:
    for name in COLUMNS:
        assert f"| `{name}` |" in text("docs/store.md")


@pytest.mark.parametrize("name", ["run", "comparison"])
def test_every_key_is_described(name: str) -> None:
    for key in SCHEMAS[f"{name}.schema.json"]["properties"]:
        if key not in ("schema", "seeds"):  # the latter is written by no version since 0.1.0
            assert f"`{key}" in text("docs/store.md"), key


def test_what_is_wrong_is_found(lehi: Lehi) -> None:
    lehi("train", "--task", "digits", "--optim", "adam", "--smoke")
    (content,) = run_files()
    for change in ({"status": "done"}, {"more": 1}, {"finished": None}, {"outcome": {}}, {"run_id": "x"}):
        with pytest.raises(AssertionError):
            check({**content, **change}, "run")


BROKEN = """
import os, signal
import torch
from torch import nn

class Model(nn.Linear):
    def __init__(self, dataset, act):
        super().__init__(64, 10)
        self.calls, self.act = 0, act

    def forward(self, x):
        self.calls += self.training
        if self.calls == 12:
            if self.act == "raise":
                raise RuntimeError("no more")
            if self.act == "memory":
                raise torch.OutOfMemoryError("too big")
            if self.act == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.act == "look":
                import json, pathlib
                (path,) = pathlib.Path("runs").glob("*/run.json")
                pathlib.Path("seen.json").write_text(path.read_text())
            if self.act.startswith("wait"):
                open(os.environ["FIFO"], "w").close()
                signal.pause()
        return super().forward(x)

TASK = {
    "name": "broken", "summary": "fails on purpose", "data": {"source": "digits"},
    "model": {"kind": ":Model", "act": "none"}, "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
    "metrics": ["accuracy"], "batch_size": 64, "budget": {"steps": 25}, "evaluations": 2,
}
"""


@pytest.fixture
def broken(tmp_path: Path) -> str:
    (tmp_path / "broken.py").write_text(BROKEN)
    return "broken.py"


@pytest.mark.parametrize(("act", "status"), [("raise", "error"), ("memory", "oom")])
def test_runs_that_fail(act: str, status: str, broken: str, lehi: Lehi) -> None:
    assert lehi("train", "--task", broken, "--set", f"model.act={act}").code == 1
    assert statuses() == {status}
    check(document(lehi("report", "--json")), "document")


def test_a_run_that_goes_on(broken: str, lehi: Lehi) -> None:
    assert lehi("train", "--task", broken, "--set", "model.act=look").code == 0
    seen = json.loads(Path("seen.json").read_text())
    check(seen, "run")
    assert seen["status"] == "running"
    assert statuses() == {"ok"}


def test_a_run_whose_process_is_killed(broken: str, tmp_path: Path) -> None:
    runs = runs_of("adam", task=broken, overrides=["model.act=kill"])
    conduct(runs, Store(tmp_path / "runs"), Settings("cpu", "pool"), Recording())
    assert statuses() == {"killed"}


def test_a_run_whose_process_is_killed_before_it_could_write(tmp_path: Path) -> None:
    (run,) = runs_of("adam")
    Store(tmp_path / "runs").mark_killed(run, "SIGKILL")
    assert statuses() == {"killed"}


@pytest.mark.slow
def test_a_run_that_is_interrupted(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFO", str(tmp_path / "fifo"))
    done = interrupted(["train", "--task", broken, "--set", "model.act=wait"], tmp_path, tmp_path / "fifo")
    assert done.returncode == 130, done.stderr
    assert statuses() == {"interrupted"}


def test_a_made_up_run_that_is_interrupted(lehi: Lehi, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mock, "_row", interrupt)
    assert lehi("train", "--task", "digits", "--executor", "mock").code == 130
    assert statuses() == {"interrupted"}


def test_runs_that_diverge_and_their_page(lehi: Lehi) -> None:
    optims = "sgd:lr=1e6:label=wild,sgd:lr=0.01:label=tame"
    shown = lehi("compare", "--task", "diabetes", "--optims", optims, "--steps", "200", "--seeds", "2", "--json")
    check(document(shown), "document")
    assert statuses() == {"ok", "diverged"}


@pytest.mark.slow
def test_trials_that_are_pruned_and_their_page(lehi: Lehi) -> None:
    sweep = ("sweep", "--task", "digits", "--epochs", "2", "--optims", "adam", "--trials", "10", "--prune", "--json")
    check(document(lehi(*sweep)), "document")
    assert statuses() == {"ok", "pruned"}
    comparisons()


def test_made_up_runs(lehi: Lehi) -> None:
    shown = lehi("compare", "--task", "digits,markov", "--executor", "mock", "--seeds", "5", "--json")
    check(document(shown), "document")
    assert all(content["environment"]["mock"] for content in run_files())


def comparisons(root: Path = Path("runs")) -> list[dict[str, Any]]:
    """Every record of a comparison, each validated."""
    found = [json.loads(path.read_text()) for path in sorted((root / ".comparisons").glob("*.json"))]
    for content in found:
        check(content, "comparison")
    return found


@pytest.mark.slow
def test_pages_of_every_kind(lehi: Lehi) -> None:
    """With tuning, a target, prices, assertions and several tasks; then looked at again, and again with more seeds."""
    few = ("--steps", "20", "--json")
    optims = ("--optims", "lehi,adam,sgd")
    shown = [
        lehi("compare", "--task", "digits", *optims, "--seeds", "3", "--cost", "--target", "val_loss=2", *few),
        lehi("compare", "--task", "digits", *optims, "--seeds", "4", "--assert", "lehi < sgd", *few),
        lehi("compare", "--task", "digits", *optims, "--seeds", "auto:4", "--reference", "adam", *few),
        lehi("compare", "--task", "breast_cancer,quadratic,diabetes", *optims, *few),
        lehi("compare", "--task", "diabetes", *optims, "--tune", "2", "--seeds", "2", *few),
        lehi("sweep", "--task", "diabetes", *optims, "--over", "lr=1e-3,1e-2", *few),
        lehi("train", "--task", "csv", "--fake-data", *few),
        lehi("report", "--json"),
        lehi("report", "--task", "digits", "--best-by", "val_loss", "--json"),
    ]
    for result in shown:
        assert result.code in (0, 3, 4), result.err
        check(document(result), "document")
    documents = [document(result) for result in shown]
    assert documents[0]["sections"][0]["prices"]["source"] == "measured"
    assert documents[0]["sections"][0]["time_to_target"]
    assert documents[1]["assertions"]
    assert {verdict["method"] for verdict in documents[1]["sections"][0]["verdicts"]} == {"anytime"}
    assert documents[3]["across"]
    assert documents[4]["tuning"]
    assert statuses() == {"ok", "diverged"}
    kinds = {content["kind"] for content in comparisons()}
    assert kinds == {"compare", "sweep", "train"}
    assert any(content["tuning"] for content in comparisons())
    assert any(content["looked"] for content in comparisons())


def test_the_golden_document() -> None:
    golden = ROOT / "tests" / "render" / "golden" / "report.json"
    check(json.loads(golden.read_text()), "document")

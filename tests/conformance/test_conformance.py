"""The conformance suite: every built-in task passes, and each check catches the task it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

from lehi_cli.conformance.tasks import CHECKS, check_task
from lehi_cli.registry import tasks

Lehi = Callable[..., Result]
NEEDS_NO_FILES = ("breast_cancer", "diabetes", "digits", "markov", "quadratic")


@pytest.mark.parametrize("name", NEEDS_NO_FILES)
def test_embedded_tasks_conform(name: str) -> None:
    findings = list(check_task(name, "cpu", Path(), fake=False))
    assert [finding.check for finding in findings] == list(CHECKS)
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tasks.load().records))
def test_every_task_conforms_with_fake_data(name: str) -> None:
    findings = list(check_task(name, "cpu", Path("nowhere"), fake=True))
    assert [finding for finding in findings if not finding.passed] == []


BROKEN = """
import itertools
import torch
from torch import nn
from lehi_cli.data.dataset import Dataset, Split, checksum

CALLS = itertools.count()

def shared_rows():
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    split = Split(rows, (rows[:, 0] > 0).long())
    return Dataset({{"train": split, "val": split, "test": split}}, 2, checksum([rows.numpy()]))

class Model(nn.Module):
    def __init__(self, dataset):
        super().__init__()
        self.net = nn.Linear(dataset.splits["train"].inputs.shape[1], dataset.outputs)
        self.spare = nn.Parameter(torch.ones(1))
        self.seen = 0

    def forward(self, x):
        self.seen += 1
        return {forward}

TASK = {{
    "name": "broken", "summary": "on purpose", "data": {{"source": "{source}"}}, "model": {{"kind": ":Model"}},
    "loss": "cross_entropy", "batch_size": 16, "budget": {{"steps": 10}},
}}
"""

GOOD = "self.net(x) * self.spare"


@pytest.mark.parametrize(
    ("forward", "source", "check", "detail"),
    [
        ("self.net(x) / (self.spare - 1)", "digits", "shapes and finite loss", "not all finite"),
        ("self.net(x)", "digits", "gradient reaches every parameter", "no gradient reaches spare"),
        (f"{GOOD} + 0.01 * next(CALLS)**0.5 * x[:, :10]", "digits", "deterministic at a seed", "differ"),
        (f"{GOOD} + 0.1 * self.seen * x[:, :10]", "digits", "evaluation leaves training alone", "evaluations differ"),
        ("self.net(0 * x) * self.spare", "digits", "overfits a few samples", "only"),
        (GOOD, ":shared_rows", "splits are disjoint", "64 of 64 rows of val are in train too"),
        ("self.net(x[:, :3])", "digits", "shapes and finite loss", "RuntimeError"),
    ],
)
def test_a_broken_task_is_caught(tmp_path: Path, forward: str, source: str, check: str, detail: str) -> None:
    (tmp_path / "broken.py").write_text(BROKEN.format(forward=forward, source=source))
    findings = {finding.check: finding for finding in check_task("broken.py", "cpu", Path(), fake=False)}
    assert not findings[check].passed
    assert detail in findings[check].detail


def test_the_command_prints_findings_and_fails_when_one_does(lehi: Lehi, tmp_path: Path) -> None:
    good = lehi("tasks", "check", "digits", "quadratic")
    assert good.code == 0
    assert good.out.count("ok  ") == 2 * len(CHECKS)
    (tmp_path / "broken.py").write_text(BROKEN.format(forward="self.net(x)", source="digits"))
    bad = lehi("tasks", "check", "broken.py")
    assert bad.code == 1
    assert "FAIL gradient reaches every parameter: no gradient reaches spare" in bad.out
    assert lehi("tasks", "check", "nothing").code == 2


@pytest.mark.parametrize("flags", [[], ["--python"]])
def test_a_new_task_runs_and_conforms(lehi: Lehi, tmp_path: Path, flags: list[str]) -> None:
    assert lehi("tasks", "new", "my_task", *flags).code == 0
    (path,) = tmp_path.glob("my_task.*")
    assert lehi("tasks", "check", path.name).code == 0
    assert lehi("compare", "--task", path.name, "--optims", "lehi,adam", "--smoke").code == 0
    before = path.read_text()
    again = lehi("tasks", "new", "my_task", *flags)
    assert again.code == 2
    assert "already exists" in again.err
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["my-task", "../x", "1task", ""])
def test_names_that_are_none_are_refused(lehi: Lehi, tmp_path: Path, name: str) -> None:
    assert lehi("tasks", "new", name).code == 2
    assert not list(tmp_path.iterdir())

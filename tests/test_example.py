"""The examples do what they say; the example distribution is built and installed for it."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Result
from documents import ROOT, commands, text

EXAMPLES = ROOT / "examples"
EXAMPLE = EXAMPLES / "lehi-example"
Lehi = Callable[..., Result]
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source")  # setuptools leaves a build folder beside what it builds
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(target), str(folder / "source")], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been installed into this environment."""
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("installed")
def test_its_optimizer_and_its_task_are_listed(lehi: Lehi) -> None:
    listed = lehi("optims")
    assert "| example " in listed.out
    assert listed.err == ""
    assert "| rings " in lehi("tasks").out


@pytest.mark.usefixtures("installed")
def test_its_optimizer_and_its_task_conform(lehi: Lehi) -> None:
    for verb, name in (("optims", "example"), ("tasks", "rings")):
        checked = lehi(verb, "check", name)
        assert checked.code == 0, checked.out + checked.err


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("task", ["digits", "rings"])
def test_its_optimizer_is_compared(lehi: Lehi, task: str) -> None:
    compared = lehi("compare", "--task", task, "--optims", "example,adam", "--steps", "3", "--seeds", "1")
    assert compared.code == 0, compared.err
    assert "| example " in compared.out


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_it_is_found_by_another_process_and_its_workers(site: Path, python: Python, jobs: str) -> None:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    listed = python("-m", "lehi_cli", "optims", PYTHONPATH=path)
    assert "| example " in listed.stdout
    arguments = ("--task", "digits", "--optims", "example,adam", "--steps", "3", "--seeds", "1", "--jobs", jobs)
    compared = python("-m", "lehi_cli", "compare", *arguments, PYTHONPATH=path)
    assert compared.returncode == 0, compared.stderr
    assert "| example " in compared.stdout


@pytest.fixture
def beside_the_examples(tmp_path: Path) -> None:
    """A working folder with the examples in it, as a clone has them."""
    (tmp_path / "examples").symlink_to(EXAMPLES, target_is_directory=True)


def test_every_example_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([^)/]+)\)", text("examples/README.md"))
    present = [path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")]
    assert sorted(linked) == sorted(present)


@pytest.mark.usefixtures("beside_the_examples")
@pytest.mark.parametrize("command", list(commands("examples/README.md")))
def test_the_commands_of_the_index_run(command: str, lehi: Lehi) -> None:
    result = lehi(*shlex.split(command)[1:])
    assert result.code == 0, result.out + result.err


@pytest.mark.usefixtures("beside_the_examples")
@pytest.mark.parametrize("task", ["houses.yaml", "spirals.py"])
def test_the_tasks_conform(task: str, lehi: Lehi) -> None:
    checked = lehi("tasks", "check", f"examples/{task}", "--data-dir", "examples")
    assert checked.code == 0, checked.out + checked.err


def test_the_training_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    share = runpy.run_path(str(EXAMPLES / "training_loop.py"))["main"]()
    assert share > 0.9
    assert "of the test images recognised" in capsys.readouterr().out


GATE = yaml.safe_load((EXAMPLES / "gate.yaml").read_text())
GATE_RUNS = [step["run"] for step in GATE["jobs"]["optimizer"]["steps"] if "run" in step]


def test_the_gate_is_a_workflow_for_pull_requests() -> None:
    assert GATE[True] == "pull_request"  # YAML 1.1 reads the key `on` as true, as GitHub does not
    assert [step["uses"] for step in GATE["jobs"]["optimizer"]["steps"] if "uses" in step] == [
        "actions/checkout@v4",
        "actions/setup-python@v5",
    ]
    assert GATE_RUNS[0] == "pip install ."  # which is run by .ci/run


@pytest.mark.usefixtures("beside_the_examples")
@pytest.mark.parametrize("line", GATE_RUNS[1:])
def test_the_gate_passes(line: str, lehi: Lehi) -> None:
    program, *arguments = shlex.split(line)
    assert program == "lehi"
    result = lehi(*arguments)
    assert result.code == 0, result.out + result.err

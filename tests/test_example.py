"""The example distribution, built and installed, does what its README says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

EXAMPLE = Path(__file__).parents[1] / "examples" / "lehi-example"
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

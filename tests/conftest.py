"""Fixtures every test can ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from lehi_cli.cli import main
from lehi_cli.registry import optimizers, tasks


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _clean_surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """An empty working folder, no settings of the developer's own, one torch thread, fresh registries, a cache."""
    for variable in [name for name in os.environ if name.startswith("LEHI_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("LEHI_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    optimizers.load.cache_clear()
    tasks.load.cache_clear()
    yield
    optimizers.load.cache_clear()
    tasks.load.cache_clear()


@pytest.fixture
def lehi(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The real command, in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A Python process of its own, in the temporary folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run

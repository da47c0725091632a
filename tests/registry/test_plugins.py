"""A second distribution, built and installed, offers a task and an optimizer through entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lehi_cli.errors import PluginError
from lehi_cli.registry import optimizers

FILES = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "lehi-extra"
version = "1.0"

[project.entry-points."lehi.tasks"]
rings = "lehi_extra:TASK"
broken = "lehi_extra.missing:TASK"

[project.entry-points."lehi.optimizers"]
half = "lehi_extra:HALF"

[tool.setuptools]
packages = ["lehi_extra"]
""",
    "lehi_extra/__init__.py": """
from lehi_cli.registry.optimizers import Option, OptimizerRecord

TASK = {
    "name": "rings", "summary": "from another distribution", "data": {"source": "digits"},
    "model": {"kind": "lehi_extra.code:model"}, "loss": "cross_entropy", "batch_size": 64, "budget": {"steps": 5},
}
HALF = OptimizerRecord("half", "half of SGD", "lehi_extra.code:Half", (Option("lr", 0.1, "rate"),))
""",
    "lehi_extra/code.py": """
from torch import nn
from torch.optim import SGD

def model(dataset):
    return nn.Linear(64, dataset.outputs)

class Half(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr / 2)
""",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extra")
    for name, content in FILES.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(target), str(folder / "source")], check=True, capture_output=True)
    return target


@pytest.mark.slow
def test_another_distribution_is_found(site: Path, python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    listed = python("-m", "lehi_cli", "tasks", PYTHONPATH=path)
    assert "from another distribution" in listed.stdout
    assert "lehi-extra (entry point broken)" in listed.stderr
    assert "half of SGD" in python("-m", "lehi_cli", "optims", PYTHONPATH=path).stdout
    arguments = ("compare", "--task", "rings", "--optims", "half,lehi", "--seeds", "1", "--jobs", "2")
    compared = python("-m", "lehi_cli", *arguments, PYTHONPATH=path)
    assert compared.returncode == 0, compared.stderr
    assert "half" in compared.stdout


def test_a_file_in_a_plugin_folder_may_have_several_optimizers(
    lehi: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "two.py").write_text(
        "from torch.optim import SGD\n"
        "from lehi_cli.registry.optimizers import Option, OptimizerRecord\n"
        "rate = (Option('lr', 0.1, 'learning rate'),)\n"
        "OPTIMIZERS = [OptimizerRecord(name, 'SGD', ':SGD', options=rate) for name in ('first', 'second')]\n"
    )
    monkeypatch.setenv("LEHI_PLUGINS", str(folder))
    optimizers.load.cache_clear()
    result = lehi("compare", "--task", "digits", "--optims", "second,adam", "--steps", "2", "--seeds", "1", "--quiet")
    assert result.code == 0, result.err
    assert "second" in result.out


@pytest.mark.parametrize(
    ("content", "message"),
    [("OPTIMIZERS = 3", "OPTIMIZERS is of type int, not a list"), ("OPTIMIZERS = [3]", "OPTIMIZERS holds int")],
)
def test_a_file_without_records_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(PluginError, match=message):
        optimizers.find(str(tmp_path / "mine.py"))

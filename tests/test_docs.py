"""README says what is so: its reference is current, its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cogapp
import duckdb
import pytest
from conftest import Result

from lehi_cli.cli import build
from lehi_cli.conformance import check_optimizer
from lehi_cli.registry import optimizers
from lehi_cli.registry.optimizers import KINDS, OptimizerRecord
from lehi_cli.registry.plugins import load_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


OPTIMIZERS = [code for text in (README, PLUGINS) for code in blocks("python", text) if "OPTIMIZERS" in code]


@pytest.mark.parametrize("name", ["README.md", "docs/plugins.md"])
def test_the_reference_is_current(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    code = cogapp.Cog().main(["cog", "--check", "--diff", "-P", "-I", str(ROOT / "docs"), str(copy)])
    assert code == 0, f"run: cog -r -P -I docs {name}\n{capsys.readouterr().out}"


def test_every_command_is_documented() -> None:
    app = build()
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for name in names:
        assert f"`lehi {name}`" in README


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0])
def test_python_examples_run(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:The 'train_dataloader'")
@pytest.mark.parametrize("code", [code for code in blocks("python", LIBRARY) if "torchrun" not in code])
def test_the_training_loops_shown_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "library.md", "exec"), {"__name__": "__main__"})


def test_the_training_by_several_processes_shown_runs(tmp_path: Path) -> None:
    (code,) = [code for code in blocks("python", LIBRARY) if "torchrun" in code]
    (tmp_path / "train.py").write_text(code)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    done = subprocess.run([sys.executable, *launch], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_tasks_and_optimizers_shown_can_be_used(lehi: Callable[..., Result], tmp_path: Path) -> None:
    optimizer = next(code for code in blocks("python") if "OPTIMIZERS" in code)
    (tmp_path / "my_optimizer.py").write_text(optimizer)
    for task in [code for code in blocks("python") if "TASK" in code]:
        (tmp_path / "my_task.py").write_text(task)
        load_file.cache_clear()
        result = lehi("compare", "--task", "my_task.py", "--optims", "my_optimizer.py,adam,lehi", "--smoke")
        assert result.code == 0, result.err
        assert "mine" in result.out
        checked = lehi("tasks", "check", "my_task.py")
        assert checked.code == 0, checked.out


def defined_in(code: str) -> OptimizerRecord:
    Path("shown.py").write_text(code)
    optimizers.plugins.load_file.cache_clear()
    (record,) = optimizers.find_all(optimizers.load(), "shown.py")
    return record


@pytest.mark.parametrize("code", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
def test_the_optimizers_shown_conform(code: str) -> None:
    assert [finding for finding in check_optimizer(defined_in(code)) if finding.failed] == []


def test_an_optimizer_of_every_kind_is_shown() -> None:
    assert sorted({defined_in(code).kind for code in OPTIMIZERS}) == sorted(KINDS)
    for kind in KINDS:
        assert f"| `{kind}` |" in PLUGINS


def test_the_optimizers_shown_can_be_compared(
    lehi: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [defined_in(code).name for code in OPTIMIZERS]
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, code in zip(names, OPTIMIZERS, strict=True):
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setenv("LEHI_PLUGINS", str(folder))
    optimizers.load.cache_clear()
    result = lehi("compare", "--task", "digits", "--optims", ",".join(names), "--steps", "2", "--seeds", "1")
    assert result.code == 0, result.err
    assert all(f"| {name} " in result.out for name in names)


def test_the_entry_points_shown_are_those_of_the_example() -> None:
    (shown,) = blocks("toml", PLUGINS)
    pattern = tomllib.loads((ROOT / "examples" / "lehi-example" / "pyproject.toml").read_text())
    assert tomllib.loads(shown)["project"]["entry-points"] == pattern["project"]["entry-points"]


def test_duckdb_answers_the_query_shown(lehi: Callable[..., Result]) -> None:
    for task in ("digits", "diabetes"):  # whose metrics have different columns
        lehi("compare", "--task", task, "--optims", "lehi,adam", "--seeds", "2", "--steps", "30")
    (query,) = blocks("sql")
    rows = duckdb.sql(query).fetchall()
    assert {(name, budget, seeds) for name, _, budget, seeds, _, _ in rows} == {
        ("lehi", "30 steps", 2),
        ("adam", "30 steps", 2),
    }
    assert all("lr=0.001" in options and 0 < loss < 3 for _, options, _, _, loss, _ in rows)
    assert {row[0]: row[-1] for row in rows} == pytest.approx({"lehi": 50, "adam": 30})


@pytest.mark.slow
def test_the_main_job_of_the_readme_runs(lehi: Callable[..., Result]) -> None:
    (line,) = re.findall(r"&& \.venv/bin/lehi (.*)$", README, re.MULTILINE)
    result = lehi(*line.split())
    assert result.code == 0
    assert "6 runs in runs (6 new, 0 reused)" in result.err

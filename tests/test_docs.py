"""The documents say what is so: the reference is current, every block of code runs, what is linked to is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copy

import cogapp
import duckdb
import pytest
from conftest import Result
from documents import DOCUMENTS, ROOT, Block, blocks, commands, text
from sklearn.datasets import load_iris
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from lehi_cli.cli import build
from lehi_cli.conformance import check_optimizer
from lehi_cli.registry import optimizers
from lehi_cli.registry.optimizers import KINDS, OptimizerRecord

Lehi = Callable[..., Result]

NOT_RUN = {
    "python3 -m venv .venv": "installs: .ci/run runs the second, and the main job is a test of its own below",
    ".venv/bin/": ".ci/run runs it",
    "pip install": "installs; tests/test_example.py and tests/execute/test_ray.py test what comes of it",
    "tools/unchanged.py": "compares two commits for minutes; tests/test_unchanged.py tests how it compares",
    "lehi data fetch": "downloads; tests/data/test_fetch.py fetches from a server of its own",
    "--ray-address": "needs Ray; tests/execute/test_ray.py starts clusters of its own",
    "lehi optims check example": "needs the example installed, as tests/test_example.py has it",
    "--task rings": "needs the example installed, as tests/test_example.py has it",
}
"""Commands that are shown and not run here, by what they contain, and why not."""

SLOW = ("README.md", "docs/guide.md")
"""Documents whose commands train for more than a few seconds."""

WARNINGS = ("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:The 'train_dataloader'")  # of Lightning


def not_run(line: str) -> str | None:
    """Why a command is not run; None for one that is."""
    return next((why for part, why in NOT_RUN.items() if part in line), None)


def is_session(document: str) -> bool:
    """Whether any command in a document is run."""
    return any(not_run(line) is None for block in blocks(document, "bash") for line in block.lines)


SESSIONS = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in filter(is_session, DOCUMENTS)
]


def every(language: str) -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document, language)]


PYTHON = every("python")
OPTIMIZERS = [block for block in PYTHON if "OPTIMIZERS" in block.code]
DISTRIBUTED = [block for block in PYTHON if "torchrun" in block.code]


def test_every_block_is_of_a_language_that_is_run() -> None:
    languages = {block.language for document in DOCUMENTS for block in blocks(document)}
    assert languages <= {"bash", "python", "sql", "toml", "text"}  # text is what commands print


def test_what_is_not_run_is_shown() -> None:
    lines = [line for block in every("bash") for line in block.lines]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []


@pytest.mark.parametrize("name", ["docs/reference.md", "docs/plugins.md"])
def test_the_reference_is_current(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = tmp_path / "copy.md"
    copied.write_text(text(name), encoding="utf-8")
    code = cogapp.Cog().main(["cog", "--check", "--diff", "-P", "-I", str(ROOT / "docs"), str(copied)])
    assert code == 0, f"run: cog -r -P -I docs {name}\n{capsys.readouterr().out}"


def every_command(group: TyperGroup, words: tuple[str, ...] = ()) -> Mapping[tuple[str, ...], TyperCommand]:
    found: dict[tuple[str, ...], TyperCommand] = {}
    for name, command in group.commands.items():
        found[*words, name] = command
        if isinstance(command, TyperGroup):
            found |= every_command(command, (*words, name))
    return found


COMMANDS = every_command(get_command(build()))


def test_every_command_is_in_the_reference() -> None:
    for words in COMMANDS:
        assert f"### `{' '.join(['lehi', *words])}`" in text("docs/reference.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_shown_have_these_options(document: str) -> None:
    for line in commands(document):
        words = shlex.split(line)[1:]
        if words[:1] in ([], ["..."]) or words[0].startswith("-"):
            continue
        command = COMMANDS.get(tuple(words[:2])) or COMMANDS.get((words[0],))
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert [word for word in words if re.match("--[a-z]", word) and word not in known] == [], line


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_linked_to_is_there(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(document)):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        found = (ROOT / document).parent / path if path else ROOT / document
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [_anchor(heading) for heading in headings], target


def _anchor(heading: str) -> str:
    """A heading as a link within a page has it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 200


@pytest.mark.parametrize("document", SESSIONS)
def test_the_commands_shown_run(document: str, lehi: Lehi, tmp_path: Path) -> None:
    """One after the other, in one folder, with the files that the document shows and those that a reader brings."""
    copy(ROOT / "examples" / "houses.csv", tmp_path / "table.csv")
    iris = load_iris(as_frame=True)
    iris.frame.assign(species=iris.target_names[iris.target]).drop(columns="target").to_csv("flowers.csv", index=False)
    for block in blocks(document):
        if block.file:
            (tmp_path / block.file).write_text(block.code)
    for block in blocks(document, "bash"):
        for line in block.lines:
            if not_run(line) is None:
                program, *arguments = shlex.split(line)
                assert program == "lehi", line
                result = lehi(*arguments)
                assert result.code == 0, f"{line}\n{result.out}{result.err}"


@pytest.mark.filterwarnings(*WARNINGS)
@pytest.mark.parametrize("block", [block for block in PYTHON if block not in DISTRIBUTED], ids=str)
def test_the_python_shown_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself, beside the files that the document shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for shown in blocks(block.document, "python"):
        if shown.file:
            (tmp_path / shown.file).write_text(shown.code)
            monkeypatch.delitem(sys.modules, Path(shown.file).stem, raising=False)
    exec(compile(block.code, block.document, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", DISTRIBUTED, ids=str)
def test_the_training_by_several_processes_shown_runs(block: Block, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(block.code)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    done = subprocess.run([sys.executable, *launch], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in PYTHON if "TASK" in block.code], ids=str)
def test_the_tasks_shown_can_be_trained(block: Block, lehi: Lehi, tmp_path: Path) -> None:
    (tmp_path / block.file).write_text(block.code)
    result = lehi("compare", "--task", block.file, "--optims", "lehi,adam", "--smoke")
    assert result.code == 0, result.err


def defined_in(block: Block) -> OptimizerRecord:
    Path("shown.py").write_text(block.code)
    optimizers.plugins.load_file.cache_clear()
    (record,) = optimizers.find_all("shown.py")
    return record


@pytest.mark.parametrize("block", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
def test_the_optimizers_shown_conform(block: Block) -> None:
    assert [finding for finding in check_optimizer(defined_in(block)) if finding.failed] == []


def test_an_optimizer_of_every_kind_is_shown() -> None:
    assert sorted({defined_in(block).kind for block in OPTIMIZERS}) == sorted(KINDS)
    for kind in KINDS:
        assert f"| `{kind}` |" in text("docs/plugins.md")


def test_the_optimizers_shown_can_be_compared(lehi: Lehi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [defined_in(block).name for block in OPTIMIZERS]
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, block in zip(names, OPTIMIZERS, strict=True):
        (folder / f"{name}.py").write_text(block.code)
    monkeypatch.setenv("LEHI_PLUGINS", str(folder))
    optimizers.load.cache_clear()
    result = lehi("compare", "--task", "digits", "--optims", ",".join(names), "--steps", "2", "--seeds", "1")
    assert result.code == 0, result.err
    assert all(f"| {name} " in result.out for name in names)


def test_the_entry_points_shown_are_those_of_the_example() -> None:
    (shown,) = every("toml")
    pattern = tomllib.loads((ROOT / "examples" / "lehi-example" / "pyproject.toml").read_text())
    assert tomllib.loads(shown.code)["project"]["entry-points"] == pattern["project"]["entry-points"]


def test_duckdb_answers_the_queries_shown(lehi: Lehi) -> None:
    for task in ("digits", "diabetes"):  # whose metrics have different columns
        lehi("compare", "--task", task, "--optims", "lehi,adam", "--seeds", "2", "--steps", "30")
    finals, differences, runs, members = (duckdb.sql(block.code).fetchall() for block in every("sql"))
    assert {(name, budget, seeds) for name, _, budget, seeds, _, _ in finals} == {
        ("lehi", "30 steps", 2),
        ("adam", "30 steps", 2),
    }
    assert all("lr=0.001" in options and 0 < loss < 3 for _, options, _, _, loss, _ in finals)
    assert {row[0]: row[-1] for row in finals} == pytest.approx({"lehi": 50, "adam": 30})
    assert [row[:3] for row in differences] == [(t, "30 steps", s) for t in ("diabetes", "digits") for s in (0, 1)]
    assert all(abs(row[-1]) < 1 for row in differences)
    assert [row[1:4] for row in runs[:4]] == [(name, "ok", seed) for seed in (0, 1) for name in ("lehi", "adam")]
    assert sorted(row[1:] for row in members) == sorted(
        [("compare", name, "final", 2) for name in ("adam", "lehi")] * 2
    )


def test_the_json_document_has_the_keys_shown(lehi: Lehi) -> None:
    document = json.loads(lehi("compare", "--task", "digits", "--smoke", "--json").out)
    for key in (*document, *document["sections"][0], *document["sections"][0]["series"][0]):
        assert f'"{key}"' in text("docs/reference.md")


@pytest.mark.slow
def test_the_main_job_of_the_readme_runs(lehi: Lehi) -> None:
    (line,) = re.findall(r"&& \.venv/bin/lehi (.*)$", text("README.md"), re.MULTILINE)
    result = lehi(*line.split())
    assert result.code == 0
    assert "6 runs in runs (6 new, 0 reused)" in result.err
    answer = next(line for line in result.out.splitlines() if line.startswith("adam is better than lehi"))
    assert f"**{answer}**" in text("README.md")

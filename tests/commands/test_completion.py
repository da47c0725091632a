"""What the shell offers: names, ids and options, read by the shell from the command's output and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import runs_of
from commanded import Lehi
from stored import write

from lehi_cli.registry import optimizers, tasks
from lehi_cli.runs.comparisons import ComparisonRecord, Comparisons, Member, now
from lehi_cli.runs.store import Store

Offers = Callable[..., list[str]]
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def offers(lehi: Lehi, monkeypatch: pytest.MonkeyPatch) -> Offers:
    """What bash offers for the last of the words."""

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("_LEHI_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["lehi", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = lehi()
        assert (result.code, result.err) == (0, "")
        return result.out.split()

    return complete


@pytest.fixture
def stored() -> ComparisonRecord:
    """Two runs and the comparison of them."""
    store = Store(Path("runs"))
    store.prepare()
    runs = [write(store, run) for run in runs_of("adam:lr=0.5:label=mine,lehi")]
    record = ComparisonRecord("compare", [Member(run.run_id, run.label) for run in runs], command=["x"], created=now())
    Comparisons(store).save(record)
    return record


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("comp",), ["compare"]),
        (("compare", "--tas"), ["--task"]),
        (("compare", "--task", "dig"), ["digits"]),
        (("compare", "--task", "digits,breast"), ["digits,breast_cancer"]),
        (("compare", "--task", "digits,dig"), []),
        (("compare", "--task", "no-such"), []),
        (("train", "--optim", "lehib"), ["lehibrid"]),
        (("compare", "--optims", "sgd,lehib"), ["sgd,lehibrid"]),
        (("compare", "--optims", "po.Yog"), ["po.Yogi"]),
        (("compare", "--sampler", "s"), ["sobol"]),
        (("report", "--x", "pas"), ["passes"]),
        (("report", "--status", "ok,div"), ["ok,diverged"]),
        (("optims", "show", "lehib"), ["lehibrid"]),
        (("tasks", "show", "dig"), ["digits"]),
        (("data", "fetch", "fash"), ["fashion_mnist"]),
        (("help", "comp"), ["compare"]),
        (("help", "optims", "ch"), ["check"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_names_are_completed(offers: Offers, words: tuple[str, ...], offered: list[str]) -> None:
    assert offers(*words) == offered


def test_without_a_letter_everything_is_offered(offers: Offers) -> None:
    assert offers("compare", "--task", "") == [record.name for record in tasks.load()]
    assert offers("compare", "--optims", "") == [record.name for record in optimizers.load()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("adam", ":", "we"), ["weight_decay="]),
        (("adam", ":"), ["lr=", "betas=", "eps=", "weight_decay=", "label="]),
        (("adam", ":", "lr", "=", "0.1", ":", "l"), ["label="]),
        (("adam", ":", "lr", "=", "0.1,lehib"), ["0.1,lehibrid"]),
        (("=", "lehib"), ["lehibrid"]),  # --optims=lehib
        (("no-such", ":", "l"), []),
    ],
    ids=lambda value: "".join(value),
)
def test_bash_takes_colons_and_equals_signs_for_words(
    offers: Offers, words: tuple[str, ...], offered: list[str]
) -> None:
    assert offers("compare", "--optims", *words) == offered


def test_what_is_stored_is_completed(offers: Offers, stored: ComparisonRecord) -> None:
    first, second = (run.run_id for run in stored.runs)
    assert offers("report", "--comparison", "") == [stored.id]
    assert offers("report", "--comparison", stored.id[:3]) == [stored.id]
    assert offers("report", "--optims", "") == ["adam", "mine", "lehi"]
    assert offers("report", "--label", "m") == ["mine"]
    assert offers("report", "--task", "d") == ["digits"]
    assert offers("runs", "show", first[:5]) == [first]
    assert sorted(offers("runs", "rm", "")) == sorted([first, second])
    assert offers("runs", "diff", first, second[:5]) == [second]


@pytest.mark.usefixtures("stored")
def test_it_is_that_of_the_folder_that_was_named(offers: Offers, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs").rename("else where")
    assert offers("report", "--task", "d") == []
    assert offers("report", "--runs", "'else where'", "--task", "d") == ["digits"]
    monkeypatch.setenv("LEHI_RUNS", "else where")
    assert offers("report", "--task", "d") == ["digits"]


def test_a_plug_in_that_prints_and_one_that_fails_are_not_heard(
    offers: Offers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "loud.py").write_text("print('hello')\nimport sys; print('hello', file=sys.stderr)\nOPTIMIZERS = []\n")
    (folder / "broken.py").write_text("raise SystemError('no')\n")
    monkeypatch.setenv("LEHI_PLUGINS", str(folder))
    assert offers("compare", "--optims", "lehib") == ["lehibrid"]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_what_it_is_too(lehi: Lehi, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_LEHI_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "lehi compare --optims adam:lr=1e-3,lehib")
    result = lehi()
    assert result.code == 0
    assert "1e-3,lehibrid" in result.out
    assert optimizers.load().get("lehibrid").summary.split()[0] in result.out


@pytest.mark.parametrize("words", ["compare --task di", "compare --optims le", "report --comparison a", "comp"])
def test_completing_imports_no_torch(python: Python, words: str) -> None:
    code = (
        "import sys\nfrom lehi_cli.cli import main\n"
        "try: main([])\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy.stats', 'optuna', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    count = len(words.split())
    done = python("-c", code, _LEHI_COMPLETE="complete_bash", COMP_WORDS=f"lehi {words}", COMP_CWORD=str(count))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_shown(lehi: Lehi, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = lehi("--show-completion", shell)
    assert result.code == 0
    assert f"_LEHI_COMPLETE=complete_{shell}" in result.out


def test_bash_completes_with_the_script(lehi: Lehi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    script = tmp_path / "completion.sh"
    script.write_text(lehi("--show-completion", "bash").out)
    (tmp_path / "lehi").write_text(f'#!/bin/sh\nexec {sys.executable} -m lehi_cli "$@"\n')
    (tmp_path / "lehi").chmod(0o755)
    typed = 'COMP_WORDS=(lehi compare --optims adam : lr = "0.1,lehib"); COMP_CWORD=7'
    asked = f'. {script}; {typed}; _lehi_completion {tmp_path}/lehi; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0.1,lehibrid\n", "")

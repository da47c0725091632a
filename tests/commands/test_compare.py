"""`lehi compare` and `lehi train`, as they are typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import Result
from interrupted import interrupted

from lehi_cli.experiment.session import Session
from lehi_cli.runs.specs import RunSpec

Lehi = Callable[..., Result]
QUICK = ("compare", "--task", "digits", "--optims", "lehi,adam", "--steps", "25", "--seeds", "2")


def test_the_main_job(lehi: Lehi, tmp_path: Path) -> None:
    first = lehi(*QUICK)
    assert first.code == 0
    assert "digits" in first.out
    for column in ("val loss", "val accuracy", "test accuracy", "steps", "passes", "seconds", "status", "lr"):
        assert column in first.out
    assert "paired: same initial weights/data order at each seed" in lehi("report", "--full").out
    assert "digits: validation loss" in first.out
    assert "line: mean of 2 seeds; band: from the lowest to the highest run" in first.out
    assert "digits: final val loss" in first.out
    assert "4 runs in runs (4 new, 0 reused)" in first.err
    assert re.search(r"show again: lehi report --comparison [0-9a-f]{8}$", first.err, re.MULTILINE)
    assert len(list((tmp_path / "runs").glob("*/metrics-*.parquet"))) == 4
    second = lehi(*QUICK)
    assert second.out == first.out
    assert "4 runs in runs (0 new, 4 reused)" in second.err


def test_piped_output_is_clean(lehi: Lehi) -> None:
    result = lehi(*QUICK)
    assert "\x1b" not in result.out + result.err
    assert "\r" not in result.out + result.err
    assert result.out.count("digits: training loss") == 1


def test_more_seeds_keep_the_runs_there_are(lehi: Lehi) -> None:
    lehi(*QUICK)
    assert "6 runs in runs (2 new, 4 reused)" in lehi(*QUICK[:-1], "3").err


def test_no_cache_trains_again(lehi: Lehi) -> None:
    lehi(*QUICK)
    assert "4 new, 0 reused" in lehi(*QUICK, "--no-cache").err


def test_the_same_numbers_with_one_job_or_two(lehi: Lehi) -> None:
    def finals(folder: str, *more: str) -> list[dict[str, object]]:
        document = json.loads(lehi(*QUICK, "--json", "--runs", folder, *more).out)
        return [series["final"] for series in document["sections"][0]["series"]]

    assert finals("a", "--jobs", "1") == finals("b", "--jobs", "2")


def test_json_is_one_document(lehi: Lehi) -> None:
    document = json.loads(lehi(*QUICK, "--json", "--quiet").out)
    assert document["schema"] == 1
    (section,) = document["sections"]
    assert section["task"] == "digits"
    assert section["budget"] == {"steps": 25}
    assert section["seeds"] == [0, 1]
    lehi_series = next(series for series in section["series"] if series["label"] == "lehi")
    assert lehi_series["options"]["factor"] == "rademacher"
    assert lehi_series["spent"]["passes"]["mean"] == pytest.approx(25 * 5 / 3)
    assert lehi_series["final"]["val_loss"]["n"] == 2
    assert {run["status"] for run in lehi_series["runs"]} == {"ok"}


def test_blanks_in_a_list_of_tasks(lehi: Lehi) -> None:
    assert lehi("compare", "--task", "digits, quadratic", "--steps", "2", "--executor", "mock").code == 0


def test_several_tasks_and_labels(lehi: Lehi) -> None:
    optims = "adam:lr=1e-3..1e-2/log2,sgd:lr=0.1:label=plain"
    result = lehi("compare", "--task", "digits,diabetes", "--optims", optims, "--steps", "5", "--seeds", "1")
    assert result.code == 0
    for text in ("digits  5 steps", "diabetes  5 steps", "adam:lr=0.001", "adam:lr=0.01", "plain"):
        assert text in result.out


def test_two_processes_share_the_work_in_one_store(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lehi_cli", *QUICK[:-1], "4"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    results = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert results[0][0] == results[1][0]
    trained = [line for _, err in results for line in err.splitlines() if line.endswith(": ok")]
    assert len(trained) == 8


def test_an_edited_file_is_another_task(lehi: Lehi, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,target\n" + "".join(f"{i},{i * i % 7},{i % 5}\n" for i in range(60)))
    command = ("compare", "--task", "csv", "--data-dir", str(tmp_path), "--smoke")
    assert "2 new, 0 reused" in lehi(*command).err
    assert "0 new, 2 reused" in lehi(*command).err
    table.write_text(table.read_text() + "3,4,5\n")
    assert "2 new, 0 reused" in lehi(*command).err


def test_a_dry_run_writes_nothing(lehi: Lehi, tmp_path: Path) -> None:
    result = lehi(*QUICK, "--dry-run")
    assert result.code == 0
    assert "4 runs: 4 to train, 0 stored" in result.out
    assert not (tmp_path / "runs").exists()
    lehi(*QUICK)
    assert "4 runs: 0 to train, 4 stored" in lehi(*QUICK, "--dry-run").out


def test_smoke_runs_every_task_in_a_few_steps(lehi: Lehi) -> None:
    names = "breast_cancer,diabetes,digits,markov,quadratic"
    result = lehi("compare", "--task", names, "--optims", "lehi,lbfgs,muon", "--smoke")
    assert result.code == 0
    assert result.err.count(": ok") == 15


def test_smoke_makes_do_without_the_data(lehi: Lehi, tmp_path: Path) -> None:
    result = lehi("compare", "--task", "mnist", "--smoke", "--data-dir", str(tmp_path / "nothing"))
    assert result.code == 0
    assert "uses fake data instead" in result.err
    assert "mnist [FAKE DATA]  5 steps" in result.out
    assert lehi("compare", "--task", "mnist", "--data-dir", str(tmp_path / "nothing")).code == 2


def test_quiet_says_only_the_result(lehi: Lehi) -> None:
    result = lehi(*QUICK, "--quiet")
    assert result.err == ""
    assert "val loss" in result.out


def test_train_runs_one_optimizer(lehi: Lehi) -> None:
    result = lehi("train", "--task", "quadratic", "--optim", "lehibrid:theta=0.9", "--steps", "50")
    assert result.code == 0
    assert "lehibrid" in result.out
    assert "lowest expected validation loss: 0.01" in result.out
    assert "floor" in result.out


def test_divergence_is_shown_and_ranked_last(lehi: Lehi) -> None:
    optims = "sgd:lr=1e6:label=wild,sgd:lr=0.01:label=tame"
    result = lehi("compare", "--task", "diabetes", "--optims", optims, "--steps", "200", "--seeds", "1")
    assert result.code == 0
    assert "1 diverged" in result.out
    assert "wild, seed 0: diverged at step" in result.out
    assert result.out.index("| tame") < result.out.index("| wild")


TASK = """
from torch import nn

class Model(nn.Linear):
    def __init__(self, dataset):
        super().__init__(64, 10)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 12 and self.weight.sum() > -1e9:
            {act}
        return super().forward(x)

TASK = {{
    "name": "mine", "summary": "s", "data": {{"source": "digits"}}, "model": {{"kind": ":Model"}},
    "loss": "cross_entropy", "batch_size": 64, "budget": {{"steps": 25}},
}}
"""


def test_a_run_that_raises_gives_exit_code_1_and_is_shown(lehi: Lehi, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TASK.format(act="raise RuntimeError('no more')"))
    result = lehi("compare", "--task", "mine.py,digits", "--optims", "lehi,adam", "--seeds", "1", "--steps", "25")
    assert result.code == 1
    assert "RuntimeError: no more" in result.out
    assert "1 error" in result.out
    assert "digits  25 steps" in result.out
    assert "4 runs in runs" in result.err
    again = lehi("report")
    assert again.code == 0
    assert "RuntimeError: no more" in again.out


def test_an_interrupt_before_the_first_run_is_one_whatever_was_asked(
    lehi: Lehi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Session, runs: Sequence[RunSpec]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "train", interrupted)
    for asked in ((), ("--target", "val_loss=0.1"), ("--assert", "lehi < adam")):
        result = lehi(*QUICK, *asked)
        assert result.code == 130
        assert "no runs to compare" in result.out
        assert "interrupted; to go on with what is missing: lehi compare" in result.err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_stores_what_was_running(tmp_path: Path, jobs: str) -> None:
    fifo = tmp_path / "fifo"
    (tmp_path / "mine.py").write_text(
        TASK.format(act=f"import signal; open({str(fifo)!r}, 'w').close(); signal.pause()")
    )
    command = ["compare", "--task", "mine.py", "--optims", "sgd,adam", "--seeds", "2"]
    done = interrupted([*command, "--jobs", jobs], tmp_path, fifo)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stdout
    assert "to go on with what is missing: lehi compare --task mine.py --optims sgd,adam --seeds 2" in done.stderr
    states = [json.loads(path.read_text())["status"] for path in (tmp_path / "runs").glob("*/run.json")]
    assert set(states) == {"interrupted"}
    assert len(states) <= int(jobs)


BAD = [
    (("compare",), "Missing option '--task'"),
    (("compare", "--task", "digit"), "did you mean 'digits'"),
    (("compare", "--task", ""), "unknown task"),
    (("compare", "--task", "digits", "--optims", "lehi,adqm"), "did you mean 'adam'"),
    (("compare", "--task", "digits", "--optims", "lehi,adam:l=1"), "has no option 'l'"),
    (("compare", "--task", "digits", "--optims", "lehi,adam:lr=x"), "lr=x is not allowed"),
    (("compare", "--task", "digits", "--optims", "lehi,adam:lr=-1"), "lr=-1 is not allowed"),
    (("compare", "--task", "digits", "--optims", "lehi,adam:lr=1..2"), "malformed range"),
    (("compare", "--task", "digits", "--optims", "lehi,lehi:power=0.7"), "power takes one of 0.5, 1"),
    (("compare", "--task", "digits", "--optims", "lehi,lehi"), "given twice"),
    (("compare", "--task", "digits", "--optims", "adam,adam:lr=0.001"), "same optimizer with the same options"),
    (("compare", "--task", "digits", "--optims", "lehi"), "at least two optimizers"),
    (("train", "--task", "digits", "--optim", "lehi,adam"), "takes a single optimizer"),
    (("compare", "--task", "digits", "--epochs", "2", "--steps", "9"), "--epochs and --steps are two budgets"),
    (("compare", "--task", "digits", "--epochs", "0"), "must be above zero"),
    (("compare", "--task", "digits", "--steps", "-4"), "must be above zero"),
    (("compare", "--task", "digits", "--passes", "nan"), "must be above zero"),
    (("compare", "--task", "digits", "--steps", "2.5"), "Invalid value for '--steps'"),
    (("compare", "--task", "digits", "--seeds", "0"), "seeds '0'"),
    (("compare", "--task", "digits", "--seeds", "1,1"), "given twice"),
    (("compare", "--task", "digits", "--jobs", "0"), "Invalid value for '--jobs'"),
    (("compare", "--task", "digits", "--executor", "cloud"), "--executor 'cloud' is not allowed"),
    (("compare", "--task", "digits", "--x", "epochs"), "--x 'epochs' is not allowed"),
    (("compare", "--task", "digits", "--precision", "fp8"), "unknown precision 'fp8'"),
    (("compare", "--task", "digits", "--device", "cuda:99"), "is not there"),
    (("compare", "--task", "digits", "--device", "toaster"), "unknown device"),
    (("compare", "--task", "digits", "--set", "batch_size=0"), "batch_size=0"),
    (("compare", "--task", "digits", "--set", "batch_size"), "malformed override"),
    (("compare", "--task", "digits", "--set", "batchsize=3"), "did you mean 'batch_size'"),
    (("compare", "--task", "digits", "--set", "model.hidden=-3"), "hidden"),
    (("compare", "--task", "digits", "--set", "model.hiden=3"), "did you mean 'hidden'"),
    (("compare", "--task", "digits", "--set", "model=resnet"), "no variant 'resnet'"),
    (("compare", "--task", "digits", "--set", "data.checksum=0"), "has checksum"),
    (("compare", "--task", "digits", "--runs", "/dev/null/runs"), "cannot write runs"),
    (("compare", "--task", "missing.yaml"), "no task file missing.yaml"),
    (("compare", "--task", "digits,digits"), "task 'digits' is given twice"),
    (("compare", "--task", "ptb", "--fake-data", "--set", "batch_size=100000"), "cannot be read in 100000 parts"),
    (("compare", "--task", "digits", "--optims", "missing.py,adam"), "there is no file"),
    (("compare", "--task", "digits", "--steps", "3", "--sampler", "tpe"), "--sampler goes with --tune"),
    (("compare", "--task", "digits", "--dry-run", "--json"), "--dry-run shows a table"),
    (("data", "--data-dir", "sets", "list"), "--data-dir before 'list' would be ignored"),
    (("report", "--runs", "nowhere"), "no runs in nowhere"),
    (("tasks", "show", "digit"), "did you mean 'digits'"),
    (("optims", "adem"), "did you mean 'adam'"),
    (("frobnicate",), "No such command 'frobnicate'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_gets_one_message_and_leaves_nothing(
    lehi: Lehi, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = lehi(*arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    plain = python("-m", "lehi_cli", "tasks", "show", "digit")
    debug = python("-m", "lehi_cli", "--debug", "tasks", "show", "digit")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


def test_a_plugin_that_raises_is_named_and_the_rest_goes_on(
    lehi: Lehi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "bad.py").write_text("import nothing_of_that_name")
    monkeypatch.setenv("LEHI_PLUGINS", str(folder))
    result = lehi("compare", "--task", "digits", "--optims", "lehi,adam", "--smoke")
    assert result.code == 0
    assert result.err.count("bad.py") >= 1
    assert "nothing_of_that_name" in result.err
    missing = lehi("compare", "--task", "bad", "--optims", "lehi,adam")
    assert missing.code == 2
    assert "nothing_of_that_name" in missing.err


OPTIMIZER = """
from lehi_cli.registry.optimizers import Option, OptimizerRecord
from torch.optim import SGD

class Signed(SGD):
    pass

OPTIMIZERS = [OptimizerRecord("signed", "for tests", ":Signed", (Option("lr", 0.1, "rate"),), passes="1")]
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_optimizer_of_ones_own_by_path_and_by_name(
    lehi: Lehi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    (tmp_path / "mine.py").write_text(OPTIMIZER)
    first = lehi("compare", "--task", "digits", "--optims", "mine.py:lr=0.2,adam", "--smoke", "--jobs", jobs)
    assert first.code == 0, first.err
    assert "signed" in first.out
    monkeypatch.setenv("LEHI_PLUGINS", str(tmp_path))
    from lehi_cli.registry import optimizers

    optimizers.load.cache_clear()
    second = lehi("compare", "--task", "digits", "--optims", "signed:lr=0.2,adam", "--smoke")
    assert "0 new, 2 reused" in second.err

"""Bad requests raise what the command line prints for the same mistake, and nothing but a `LehiError`."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanded import Lehi

import lehi_cli
from lehi_cli import compare, report, sweep, train
from lehi_cli.errors import LehiError, UnknownNameError, UsageError

Call = Callable[[], object]


class Mine:
    """Not an optimizer."""


def call(verb: Callable[..., Any], *given: Any, **options: Any) -> Call:
    """A request that is made later."""
    return functools.partial(verb, *given, **options)


SAME: list[tuple[Call, str]] = [
    (call(train, "digitz"), "train --task digitz"),
    (call(train, ""), "train --task ''"),
    (call(train, "none.yaml"), "train --task none.yaml"),
    (call(train, "digits", "adamm"), "train --task digits --optim adamm"),
    (call(train, "digits", "po.Adamm"), "train --task digits --optim po.Adamm"),
    (call(train, "digits", "torch.optim.Adamm"), "train --task digits --optim torch.optim.Adamm"),
    (call(train, "digits", "torch.nn.Linear"), "train --task digits --optim torch.nn.Linear"),
    (call(train, "digits", "none.py"), "train --task digits --optim none.py"),
    (call(train, "digits", "adam:lrr=1"), "train --task digits --optim adam:lrr=1"),
    (call(train, "digits", "adam:lr=fast"), "train --task digits --optim adam:lr=fast"),
    (call(train, "digits", "adam:lr"), "train --task digits --optim adam:lr"),
    (call(train, "digits", seeds="many"), "train --task digits --seeds many"),
    (call(train, "digits", seeds=2.5), "train --task digits --seeds 2.5"),
    (call(train, "digits", seeds=0), "train --task digits --seeds 0"),
    (call(train, "digits", seeds=-1), "train --task digits --seeds=-1"),
    (call(train, "digits", seeds="1,1"), "train --task digits --seeds 1,1"),
    (call(train, "digits", seeds="auto"), "train --task digits --seeds auto"),
    (call(train, "digits", epochs=1, steps=5), "train --task digits --epochs 1 --steps 5"),
    (call(train, "digits", steps=0), "train --task digits --steps 0"),
    (call(train, "digits", passes=-1), "train --task digits --passes=-1"),
    (call(train, "digits", precision="fp8"), "train --task digits --precision fp8"),
    (call(train, "digits", device="abacus"), "train --task digits --device abacus"),
    (call(train, "digits", executor="slurm"), "train --task digits --executor slurm"),
    (call(train, "digits", ray_address="here:1", executor="serial"),
     "train --task digits --ray-address here:1 --executor serial"),
    (call(train, "digits", x="hours"), "train --task digits --x hours"),
    (call(train, "digits", overrides="batch_size"), "train --task digits --set batch_size"),
    (call(train, "digits", overrides={"batch_size": 0}), "train --task digits --set batch_size=0"),
    (call(train, "digits", overrides={"batchsize": 8}), "train --task digits --set batchsize=8"),
    (call(train, "digits", overrides={"loss": "mae"}), "train --task digits --set loss=mae"),
    (call(train, "digits", overrides={"schedule.warmup": float("nan")}),
     "train --task digits --set schedule.warmup=nan"),
    (call(train, "csv", overrides={"data.path": "t.csv", "data.target": "y"}, data_dir="."),
     "train --task csv --set data.path=t.csv --set data.target=y --data-dir ."),
    (call(train, "mnist", data_dir="empty"), "train --task mnist --data-dir empty"),
    (call(train, "digits", runs="a_file"), "train --task digits --runs a_file"),
    (call(compare, "digits,digits"), "compare --task digits,digits"),
    (call(compare, "digits", "adam,adam"), "compare --task digits --optims adam,adam"),
    (call(compare, "digits", "adam,adam:lr=0.001"), "compare --task digits --optims adam,adam:lr=0.001"),
    (call(compare, "digits", reference="sgd"), "compare --task digits --reference sgd"),
    (call(compare, "digits", margin=-1), "compare --task digits --margin=-1"),
    (call(compare, "digits", margin="wide"), "compare --task digits --margin wide"),
    (call(compare, "digits", margin="mae=0.1"), "compare --task digits --margin mae=0.1"),
    (call(compare, "digits", target="soon"), "compare --task digits --target soon"),
    (call(compare, "digits", target="val_mae=1"), "compare --task digits --target val_mae=1"),
    (call(compare, "digits", assertions="lehi ~ adam"), "compare --task digits --assert 'lehi ~ adam'"),
    (call(compare, "digits", assertions="lehi < sgd"), "compare --task digits --assert 'lehi < sgd'"),
    (call(compare, "digits", seeds="auto:1"), "compare --task digits --seeds auto:1"),
    (call(compare, "digits", tune=0), "compare --task digits --tune 0"),
    (call(compare, "digits", tune=2, sampler="grid"), "compare --task digits --tune 2 --sampler grid"),
    (call(compare, "digits", tune=2, space="lr"), "compare --task digits --tune 2 --space lr"),
    (call(compare, "digits", tune=2, space="sgd.lr=1..2/lin"),
     "compare --task digits --tune 2 --space sgd.lr=1..2/lin"),
    (call(compare, "digits", tune=2, seeds=[100_000]), "compare --task digits --tune 2 --seeds 100000,"),
    (call(sweep, "digits", over="lr=1..2"), "sweep --task digits --over lr=1..2"),
    (call(sweep, "digits", over="warmth=1,2"), "sweep --task digits --over warmth=1,2"),
    (call(sweep, "digits", trials=0), "sweep --task digits --trials 0"),
    (call(report), "report"),
    (call(report, "abc"), "report --comparison abc"),
    (call(report, runs="a_file"), "report --runs a_file"),
    (call(report, x="hours"), "report --x hours"),
    (call(report, role="extra"), "report --role extra"),
    (call(report, best_by="loss"), "report --best-by loss"),
    (call(report, metric="los"), "report --metric los"),
    (call(report, split="half"), "report --split half"),
]  # fmt: skip
"""Calls, and commands with the same mistake; both say the same."""


@pytest.mark.parametrize(("request_", "typed"), SAME, ids=[typed for _, typed in SAME])
def test_a_mistake_is_answered_as_on_the_command_line(request_: Call, typed: str, lehi: Lehi) -> None:
    Path("a_file").write_text("")
    Path("empty").mkdir()
    with pytest.raises(LehiError) as raised:
        request_()
    told = lehi(*shlex.split(typed))
    error = raised.value
    assert told.err == "".join(f"{line}\n" for line in (f"error: {error.message}", error.hint) if line)
    assert told.code == error.exit_code


STORED: list[tuple[Call, str]] = [
    (call(report, "ffffffff"), "report --comparison ffffffff"),
    (call(report, task="diabetes"), "report --task diabetes"),
    (call(report, optims="lehi"), "report --optims lehi"),
    (call(report, status="error"), "report --status error"),
    (call(report, status="fine"), "report --status fine"),
    (call(report, since="yesterday"), "report --since yesterday"),
    (call(report, seeds="a"), "report --seeds a"),
    (call(report, role="trial"), "report --role trial"),
    (call(report, by="clip"), "report --by clip"),
    (call(report, metric="mae"), "report --metric mae"),
    (call(report, reference="lehi"), "report --reference lehi"),
    (call(report, assertions="adam < lehi"), "report --assert 'adam < lehi'"),
    (lambda: report().save("page.txt", format="docx"), "report --format docx"),
    (lambda: report().save("page.docx"), "report --output page.docx"),
    (lambda: report().save("no/such/folder.html"), "report --output no/such/folder.html"),
    (lambda: report().assert_true("adam < lehi"), "report --task '*' --assert 'adam < lehi'"),
    (lambda: report().assert_true("adam <"), "report --task '*' --assert 'adam <'"),
]


@pytest.mark.parametrize(("request_", "typed"), STORED, ids=[typed for _, typed in STORED])
def test_a_mistake_about_what_is_stored_is_answered_as_on_the_command_line(
    request_: Call, typed: str, lehi: Lehi
) -> None:
    compare("digits", "adam,sgd", seeds=2, executor="mock", progress=False)
    test_a_mistake_is_answered_as_on_the_command_line(request_, typed, lehi)


OWN: list[tuple[Call, str, str]] = [
    (call(train, 5), "task=5 is not allowed", "a name, a path, a dictionary"),
    (call(train, []), "no task is given", "lehi tasks lists them"),
    (call(train, [[]]), "no task is given", "lehi tasks lists them"),
    (call(train, b"digits"), "task=b'digits' is not allowed", "a name"),
    (call(train, None), "task=None is not allowed", "a name"),
    (call(train, {}), "task '' has no 'name'", "a task needs name"),
    (call(train, "digits", 5), "5 is not an optimizer", "a class"),
    (call(train, "digits", []), "no optimizer is given", "lehi optims lists them"),
    (call(train, "digits", {}), "no optimizer is given", "lehi optims lists them"),
    (call(train, "digits", Mine), "Mine'> is not an optimizer", "a class"),
    (call(train, "digits", Mine()), "is not an optimizer", "a class"),
    (call(train, "digits", lambda parameters: parameters), "is not an optimizer", "a class"),
    (call(train, "digits", "lehi,adam"), "train takes a single optimizer", "lehi_cli.compare runs several"),
    (call(compare, "digits", "adam"), "compare needs at least two optimizers", "lehi_cli.train runs a single one"),
    (call(compare, "digits", ["adam", "adam"]), "optimizer 'adam' is given twice", "labels them"),
    (call(compare, "digits", {"a": "adam", "b": "sgd,lion"}), "'sgd,lion' is 2 optimizers under the label 'b'", "each"),
    (call(compare, "digits", {"a": "adam", 5: "sgd"}), "label 5 is not allowed", "a line of text"),
    (call(compare, "digits", {"a": "adam", "a,b": "sgd"}), "label 'a,b' is not allowed", "without commas"),
    (call(train, "digits", seeds=True), "seeds=True is not allowed", "a count such as 5"),
    (call(train, "digits", seeds=[1.5]), "seeds=[1.5] is not allowed", "a list such as [3, 7, 11]"),
    (call(train, "digits", seeds=[]), "seeds=[] is not allowed", "a list such as [3, 7, 11]"),
    (call(train, "digits", seeds=None), "seeds=None is not allowed", "a count such as 5"),
    (call(train, "digits", jobs=0), "--jobs 0 is not allowed", "at least 1"),
    (call(train, "digits", threads=0), "--threads 0 is not allowed", "at least 1"),
    (call(train, "digits", jobs="2"), "jobs='2' is not allowed", "jobs takes a value of type int"),
    (call(train, "digits", jobs=True), "jobs=True is not allowed", "jobs takes a value of type int"),
    (call(train, "digits", steps=1.5), "steps=1.5 is not allowed", "steps takes a value of type int"),
    (call(train, "digits", epochs="1"), "epochs='1' is not allowed", "a value of type float or int"),
    (call(train, "digits", smoke=1), "smoke=1 is not allowed", "smoke takes a value of type bool"),
    (call(train, "digits", device=0), "device=0 is not allowed", "a value of type str"),
    (call(train, "digits", runs=5), "runs=5 is not allowed", "runs takes a path"),
    (call(train, "digits", data_dir=5), "data_dir=5 is not allowed", "data_dir takes a path"),
    (call(train, "digits", overrides=5), "overrides=5 is not allowed", "a text, or a list of texts"),
    (call(train, "digits", overrides=[5]), "overrides=[5] is not allowed", "a text, or a list of texts"),
    (call(train, "digits", overrides={"model": {"hidden": 3}}), "model={'hidden': 3} is not allowed", "a number"),
    (call(train, "digits", overrides={"model.hidden": Mine}), "is not allowed", "a number"),
    (call(train, "digits", job=2), "unknown option 'job'; did you mean 'jobs'?", "known: "),
    (call(train, "digits", progress="bar"), "progress='bar' is not allowed", "a function, False, True or None"),
    (call(compare, "digits", tune="8"), "tune='8' is not allowed", "tune takes a value of type int"),
    (call(compare, "digits", space="lr=1..2/lin"), "sampler, space and prune go with tune", "for example tune=16"),
    (call(compare, "digits", tune=2, space=5), "space=5 is not allowed", "a text, or a list of texts"),
    (call(compare, "digits", tune=2, sampler=5), "sampler=5 is not allowed", "a value of type str"),
    (call(compare, "digits", margin=[1]), "margin=[1] is not allowed", "a value of type float or int or str"),
    (call(compare, "digits", target=0.1), "target=0.1 is not allowed", "a value of type str"),
    (call(compare, "digits", reference=1), "reference=1 is not allowed", "a value of type str"),
    (call(compare, "digits", cost="yes"), "cost='yes' is not allowed", "a value of type bool"),
    (call(compare, "digits", assertions=[5]), "assertions=[5] is not allowed", "a text, or a list of texts"),
    (call(sweep, "digits"), "sweep needs one of over and trials", "for example over="),
    (call(sweep, "digits", over="lr=1,2", trials=3), "sweep needs one of over and trials", "for example over="),
    (call(sweep, "digits", over="lr=1,2", prune=True), "go with trials", "a grid is given with over"),
    (call(sweep, "digits", over=5), "over=5 is not allowed", "a text, or a list of texts"),
    (call(report, 5), "comparison=5 is not allowed", "a value of type str"),
    (call(report, task=["digits"]), "task=['digits'] is not allowed", "task takes a comma list"),
    (call(report, seeds=[1.5]), "seeds=[1.5] is not allowed", "a list such as"),
    (call(report, cost=1), "cost=1 is not allowed", "a value of type bool"),
    (call(report, by=["lr"]), "by=['lr'] is not allowed", "a value of type str"),
    (
        call(report, "abc", task="digits"),
        "--comparison shows what was asked then, but task asks for something else",
        "",
    ),
]
"""Mistakes that only Python can make, or whose way out has other words there."""


@pytest.mark.parametrize(("request_", "message", "hint"), OWN, ids=[f"{i} {row[1]}" for i, row in enumerate(OWN)])
def test_a_mistake_in_python_is_named(request_: Call, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        request_()
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert not Path("runs").exists()


def test_a_result_refuses_what_it_cannot_do() -> None:
    result = train("digits", executor="mock", progress=False)
    with pytest.raises(UsageError, match="path=5 is not allowed"):
        result.save(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no assertion is given"):
        result.assert_true()
    with pytest.raises(UsageError, match=r"assertions=\(5,\) is not allowed"):
        result.assert_true(5)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown format 'docx'"):
        result.save("page.html", format="docx")


def test_a_smoke_run_without_the_data_takes_fake_data() -> None:
    said: list[lehi_cli.Progress] = []
    result = train("mnist", "sgd", smoke=True, data_dir="nowhere", progress=said.append)
    assert [run.is_fake for run in result.runs] == [True]
    assert any(event.kind == "notice" and "the smoke run uses fake data" in event.message for event in said)


BROKEN = """
from torch.optim import SGD


class Broken(SGD):
    def step(self, closure=None):
        raise RuntimeError("out of luck")
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_runs_that_fail_are_results(jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_optimizer.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = compare("digits", "broken_optimizer.Broken,adam", seeds=2, steps=5, jobs=jobs, progress=False)
    assert result.failed
    assert {(run.optimizer, run.status) for run in result.runs} == {
        ("broken_optimizer.Broken", "error"),
        ("adam", "ok"),
    }
    assert {run.error.get("message", "") for run in result.runs} == {"", "out of luck"}
    assert result.metrics().num_rows > 0
    assert not compare("digits", "adam,sgd", seeds=2, steps=5, progress=False).failed


def test_a_diverged_run_is_no_failure() -> None:
    result = train("digits", "sgd:lr=1e6", steps=50, progress=False)
    assert [run.status for run in result.runs] == ["diverged"]
    assert not result.failed

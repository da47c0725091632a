"""The same request through the API and through the command line: the same runs, the same comparison, the same page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from commanded import Lehi, document

import lehi_cli
from lehi_cli.api.options import Options
from lehi_cli.experiment.options import RunOptions

REQUESTS: list[tuple[Callable[..., lehi_cli.Result], dict[str, Any], str]] = [
    (lehi_cli.train, {"optim": "adam", "steps": 20}, "train --optim adam --steps 20"),
    (
        lehi_cli.train,
        {"seeds": [3, 7], "passes": 30, "precision": "bf16"},
        "train --seeds 3,7 --passes 30 --precision bf16",
    ),
    (
        lehi_cli.train,
        {"seeds": [4], "overrides": {"model.hidden": (16, 8), "schedule.warmup": 0.25}, "steps": 20},
        "train --seeds 4, --set model.hidden=16/8 --set schedule.warmup=0.25 --steps 20",
    ),
    (
        lehi_cli.compare,
        {"optims": ["adam:lr=0.01", "sgd"], "seeds": 2, "steps": 20, "margin": 0.02},
        "compare --optims adam:lr=0.01,sgd --seeds 2 --steps 20 --margin 0.02",
    ),
    (
        lehi_cli.compare,
        {"seeds": 2, "steps": 20, "reference": "adam", "x": "steps", "target": "val_loss=1.5"}
        | {"assertions": "lehi < adam", "allow_diverged": True},
        "compare --seeds 2 --steps 20 --reference adam --x steps --target val_loss=1.5"
        " --assert 'lehi < adam' --allow-diverged",
    ),
    (lehi_cli.compare, {"executor": "mock", "seeds": "auto:6"}, "compare --executor mock --seeds auto:6"),
    (
        lehi_cli.compare,
        {"tune": 2, "sampler": "random", "space": "lr=1e-4..1e-2/log", "seeds": 2, "steps": 20},
        "compare --tune 2 --sampler random --space lr=1e-4..1e-2/log --seeds 2 --steps 20",
    ),
    (
        lehi_cli.sweep,
        {"over": "lr=1e-4..1e-2/log3", "steps": 20, "jobs": 2},
        "sweep --over lr=1e-4..1e-2/log3 --steps 20 --jobs 2",
    ),
    (lehi_cli.sweep, {"optims": "adam", "trials": 2, "steps": 20}, "sweep --optims adam --trials 2 --steps 20"),
]


def without_command(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    found["provenance"].pop("command", None)
    return found


@pytest.mark.parametrize(("verb", "arguments", "typed"), REQUESTS, ids=[typed for *_, typed in REQUESTS])
def test_the_same_request_is_the_same_runs_and_the_same_document(
    verb: Callable[..., lehi_cli.Result], arguments: dict[str, Any], typed: str, lehi: Lehi
) -> None:
    result = verb("digits", **arguments, progress=False)
    words = [*shlex.split(typed), "--task", "digits", "--json"]
    told = lehi(*words)  # in the store that the API filled: any other run would be trained, and added
    assert told.code == 0 or "--assert" in words, told.err
    stored = {path.parent.name for path in Path("runs").glob("*/run.json")}
    own = [run.run_id for run in result.runs]
    assert set(own) <= stored
    assert len(stored) == len(own) + (4 if "--tune" in words else 0)  # two trials of two optimizers
    page = result.save("page.json").read_text(encoding="utf-8")
    assert without_command(page) == without_command(told.out)
    assert document(told)["comparison"] == result.comparison
    assert "command" not in json.loads(page)["provenance"]
    assert document(told)["provenance"]["command"] == shlex.join(["lehi", *words])
    again = lehi_cli.report(result.comparison)
    assert without_command(again.save("again.json").read_text(encoding="utf-8")) == without_command(page)
    assert [run.run_id for run in again.runs] == own


def test_several_tasks_are_a_list(lehi: Lehi) -> None:
    result = lehi_cli.compare(["digits", "diabetes"], seeds=2, steps=20, progress=False)
    told = lehi("compare", "--task", "digits,diabetes", "--seeds", "2", "--steps", "20", "--json")
    assert "(0 new, 8 reused)" in lehi("compare", "--task", "digits,diabetes", "--seeds", "2", "--steps", "20").err
    assert document(told)["comparison"] == result.comparison
    assert [verdict.task for verdict in result.verdicts if verdict.metric == "val_loss"] == ["digits", "diabetes"]


REPORTS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"task": "dig*", "optims": "adam,sgd", "seeds": "0,1"}, "--task dig* --optims adam,sgd --seeds 0,1"),
    ({"metric": "accuracy", "split": "val", "x": "seconds"}, "--metric accuracy --split val --x seconds"),
    ({"by": "lr", "best_by": "val_loss", "role": "all"}, "--by lr --best-by val_loss --role all"),
    (
        {"reference": "sgd", "margin": "accuracy=0.05", "cost": True, "assertions": ["adam < sgd"]},
        "--reference sgd --margin accuracy=0.05 --cost --assert 'adam < sgd'",
    ),
    (
        {"label": "adam", "status": "ok", "since": "2020-01-01", "until": "2100-01-01"},
        "--label adam --status ok --since 2020-01-01 --until 2100-01-01",
    ),
]


@pytest.mark.parametrize(("arguments", "typed"), REPORTS, ids=[typed for _, typed in REPORTS])
def test_the_same_report_is_the_same_document(arguments: dict[str, Any], typed: str, lehi: Lehi) -> None:
    lehi_cli.compare("digits", "adam,sgd", seeds=2, steps=20, progress=False)
    first = lehi("report", *shlex.split(typed), "--json").out
    page = lehi_cli.report(**arguments).save("page.json").read_text(encoding="utf-8")
    assert without_command(page) == without_command(first)


def test_the_folders_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lehi: Lehi) -> None:
    monkeypatch.setenv("LEHI_RUNS", str(tmp_path / "elsewhere"))
    result = lehi_cli.train("digits", steps=5, progress=False)
    assert result.store.root == tmp_path / "elsewhere"
    assert lehi_cli.report().runs[0].run_id == result.runs[0].run_id
    assert lehi_cli.train("digits", steps=5, runs=tmp_path / "here", progress=False).store.root == tmp_path / "here"
    assert not (tmp_path / "runs").exists()


def test_a_comparison_made_from_python_is_listed_as_that(lehi: Lehi) -> None:
    optims = {f"adam-{i}": f"adam:lr={i}e-3" for i in range(1, 7)}
    lehi_cli.compare("digits", optims, seeds=1, executor="mock", progress=False)
    lehi("compare", "--task", "digits", "--executor", "mock", "--seeds", "1")
    listed = " ".join(lehi("report").out.split())
    assert "from Python: compare adam-1, adam-2, adam-3, adam-4 and 2 more" in listed
    assert "lehi compare --task digits --executor mock --seeds 1" in listed


HEAVY = ("torch", "numpy", "pyarrow", "typer", "rich", "pandas", "yaml", "scipy", "sklearn", "IPython")


def test_importing_imports_nothing_heavy(python: Callable[..., Any]) -> None:
    said = f"import sys, lehi_cli as lehi; dir(lehi); print([name for name in {HEAVY} if name in sys.modules])"
    assert python("-W", "error", "-c", said).stdout == "[]\n"


def test_a_report_is_made_without_torch(python: Callable[..., Any]) -> None:
    lehi_cli.compare("digits", "adam,sgd", seeds=2, steps=5, progress=False)
    said = "import sys, lehi_cli as lehi; lehi.report().verdicts; print('torch' in sys.modules)"
    done = python("-W", "error", "-c", said)
    assert done.stdout == "False\n", done.stderr


def test_what_is_offered_is_there_and_documented() -> None:
    assert sorted(lehi_cli.__all__) == dir(lehi_cli)
    for name in lehi_cli.__all__:
        assert getattr(lehi_cli, name) is not None
        if name != "__version__":
            assert (getattr(lehi_cli, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'compara'"):
        lehi_cli.compara  # noqa: B018


def test_the_options_are_those_of_the_application() -> None:
    """Each field is a keyword argument of the same type, documented; some are taken in more forms."""
    application, api = get_type_hints(RunOptions), get_type_hints(Options)
    assert list(api) == [item.name for item in fields(RunOptions)]
    in_more_forms = {"overrides": list[str], "runs": Path, "data_dir": Path}
    for name, kind in api.items():
        assert application[name] in (kind, kind | None) or in_more_forms[name] in (*get_args(application[name]), Path)
        assert f"\n        {name}: " in (Options.__doc__ or ""), name


def test_training_leaves_the_callers_process_as_it_was() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    lehi_cli.train("digits", "sgd", steps=5, progress=False)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.rand(3), expected)

"""Tasks and optimizers as Python objects: the same runs as by name, with ids of their code."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytorch_optimizer
import schedulefree
import torch
from commanded import Lehi

import lehi_cli
from lehi_cli import optim
from lehi_cli.api.subjects import optimizers_of, tasks_of
from lehi_cli.errors import UsageError
from lehi_cli.registry.from_class import find_class
from lehi_cli.runs.specs import OptimSpec

Python = Callable[..., subprocess.CompletedProcess[str]]

OPTIMIZER = '''
"""Optimizers to be compared."""

import torch

from lehi_cli.optim.curvature_optimizer import CurvatureOptimizer
from lehi_cli.optim import LEHI


class Mine(torch.optim.SGD):
    """Gradient descent of my own."""

    def __init__(self, params, lr: float = 0.1, momentum: float = 0.0):
        super().__init__(params, lr=lr, momentum=momentum)


class Strict(torch.optim.SGD):
    def __init__(self, params, lr: float, clip: float | None = None):
        super().__init__(params, lr=lr)
        self.clip = clip


class Curved(LEHI):
    """LEHI of my own."""

    def __init__(self, params, lr: float = 1e-3, *, loss="cross_entropy", seed: int = 0, foreach: bool | None = None):
        super().__init__(params, lr=lr, loss=loss, seed=seed, foreach=foreach)


class Searching(torch.optim.LBFGS):
    """Evaluates the mini-batch as often as it likes."""

    def __init__(self, params, lr: float = 0.1, max_iter: int = 2):
        super().__init__(params, lr=lr, max_iter=max_iter)


class Outer:
    class Inner(torch.optim.SGD):
        pass


def local():
    class Hidden(torch.optim.SGD):
        pass

    return Hidden
'''

TASK = '''
"""A task's parts."""

import torch
from torch import nn

from lehi_cli.data.dataset import Dataset, Split, checksum


def rings(rows=120):
    angles = torch.linspace(0, 12.0, rows)
    inputs = torch.stack([angles.cos(), angles.sin()], dim=1) * (1 + torch.arange(rows)[:, None] % 2)
    targets = torch.arange(rows) % 2
    split = Split(inputs, targets)
    splits = {"train": split, "val": split, "test": split}
    return Dataset(splits, 2, checksum([inputs.numpy(), targets.numpy()]))


def perceptron(data, hidden=4):
    return nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
'''

CONTENT = {
    "name": "my-rings",
    "summary": "two rings",
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "batch_size": 20,
    "budget": {"epochs": 2},
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    """Write a module beside the test and import it."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    written: list[str] = []

    def write(name: str, text: str) -> ModuleType:
        (folder / f"{name}.py").write_text(text)
        written.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write  # type: ignore[misc]
    for name in written:
        sys.modules.pop(name, None)


NAMES: list[tuple[Any, str]] = [
    (torch.optim.Adam, "adam"),
    (torch.optim.AdamW, "adamw"),
    (torch.optim.SGD, "sgd"),
    (torch.optim.LBFGS, "lbfgs"),
    (partial(torch.optim.Adam, lr=0.01, betas=[0.8, 0.9]), "adam:betas=0.8/0.9:lr=0.01"),
    (optim.LEHI, "lehi"),
    (optim.LEHIBRID, "lehibrid"),
    (optim.SFN, "sfn"),
    (optim.SOAA, "soaa"),
    (optim.HessianFree, "hf"),
    (optim.Sophia, "sophia"),
    (partial(optim.SFN, adaptive=False, terms=5), "sfn_fixed:terms=5"),
    (optim.BlockHessianFree, "bdhf"),
    (optim.MuonAdamW, "muon"),
    (partial(torch.optim.Adam, amsgrad=True), "amsgrad"),
    (schedulefree.AdamWScheduleFree, "schedulefree_adamw"),
    (pytorch_optimizer.Lion, "lion"),
    (pytorch_optimizer.Yogi, "po.Yogi"),
    (OptimSpec("adam", {}, "my-adam"), "adam"),
]


@pytest.mark.parametrize(("given", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_registered_class_is_the_registered_optimizer(given: Any, name: str) -> None:
    (spec,) = optimizers_of(given)
    assert str(spec) == name
    assert lehi_cli.registry.optimizers.find(spec.name)  # type: ignore[attr-defined]


def test_a_registered_class_is_the_same_run_as_its_name(lehi: Lehi) -> None:
    result = lehi_cli.compare("digits", [optim.LEHI, torch.optim.Adam], seeds=1, steps=5, progress=False)
    told = lehi("compare", "--task", "digits", "--optims", "lehi,adam", "--seeds", "1", "--steps", "5")
    assert "2 runs in runs (0 new, 2 reused)" in told.err
    assert f"--comparison {result.comparison}" in told.err


def test_names_classes_and_labels_go_together(modules: Callable[[str, str], ModuleType]) -> None:
    mine = modules("together", OPTIMIZER).Mine
    assert [spec.label for spec in optimizers_of([mine, "sgd,adam:label=a"])] == ["Mine", "", "a"]
    several = optimizers_of([partial(mine, lr=0.1), partial(mine, lr=0.2), mine])
    assert [spec.label for spec in several] == ["Mine:lr=0.1", "Mine:lr=0.2", "Mine"]
    labelled = optimizers_of({"first": mine, "second": partial(mine, lr=0.2), "third": "adam:lr=0.1"})
    assert [spec.label for spec in labelled] == ["first", "second", "third"]
    with pytest.raises(UsageError, match="'Mine' is given twice"):
        optimizers_of([mine, mine])
    assert tasks_of(["digits,mnist", Path("x.yaml")]) == ["digits", "mnist", "x.yaml"]


@pytest.mark.parametrize("how", [{"executor": "serial"}, {"jobs": 2}], ids=["serial", "jobs"])
def test_a_class_is_trained_as_what_it_is_a_subclass_of(
    how: dict[str, Any], modules: Callable[[str, str], ModuleType]
) -> None:
    own = modules("subclasses", OPTIMIZER)
    optims = {"mine": own.Mine, "sgd": "sgd:lr=0.1", "curved": own.Curved, "lehi": optim.LEHI}
    result = lehi_cli.compare(
        "digits", {**optims, "strict": partial(own.Strict, lr=0.1)}, seeds=2, steps=6, progress=False, **how
    )
    assert not result.failed
    final = {(run.label, run.seed): run.outcome["init_checksum"] for run in result.runs}
    rows = result.metrics().to_pylist()
    last = {(row["label"], row["seed"]): row["loss"] for row in rows if row["split"] == "test"}
    for seed in (0, 1):
        assert last["mine", seed] == last["sgd", seed] == last["strict", seed]
        assert last["curved", seed] == last["lehi", seed]
        assert final["mine", seed] == final["lehi", seed]
    passes = {run.label: run.outcome["passes"] for run in result.runs}
    assert passes["curved"] == passes["lehi"] > passes["mine"]


def test_serial_and_worker_processes_give_the_same_ids_and_numbers(modules: Callable[[str, str], ModuleType]) -> None:
    own = modules("everywhere", OPTIMIZER)
    parts = modules("everywhere_task", TASK)
    task = {**CONTENT, "data": {"source": parts.rings}, "model": {"kind": parts.perceptron}}
    found = [
        lehi_cli.compare(task, [own.Mine, "adam"], seeds=2, runs=f"runs-{i}", progress=False, **how)
        for i, how in enumerate(({"executor": "serial"}, {"jobs": 2}))
    ]
    assert [run.status for result in found for run in result.runs] == ["ok"] * 8
    assert [run.run_id for run in found[0].runs] == [run.run_id for run in found[1].runs]
    first, second = (result.metrics().drop_columns(["seconds"]) for result in found)
    assert first.equals(second)


def test_a_class_can_be_checked_shown_and_named(lehi: Lehi, modules: Callable[[str, str], ModuleType]) -> None:
    modules("checked", OPTIMIZER)
    for name in ("Mine", "Curved", "Searching"):
        told = lehi("optims", "check", f"checked.{name}")
        assert told.code == 0, told.out
    shown = lehi("optims", "show", "checked.Mine").out
    assert shown.startswith("checked.Mine: Gradient descent of my own")
    assert find_class("checked.Searching").kind == "closure"
    assert find_class("checked.Curved").kind == "curvature"
    assert {option.name: option.type for option in find_class("checked.Strict").options} == {
        "lr": "float",
        "clip": "float",
    }
    result = lehi_cli.train("digits", sys.modules["checked"].Searching, steps=3, progress=False)
    told = lehi("train", "--task", "digits", "--optim", "checked.Searching", "--steps", "3")
    assert [run.status for run in result.runs] == ["ok"]
    assert "(0 new, 1 reused)" in told.err


def test_a_class_that_other_processes_cannot_import_is_refused(modules: Callable[[str, str], ModuleType]) -> None:
    own = modules("refused", OPTIMIZER)
    here = type("Here", (torch.optim.SGD,), {"__module__": "__main__", "__qualname__": "Here"})
    gone = type("Gone", (torch.optim.SGD,), {"__module__": "no_such_module"})
    wrapped = type("Mine", (torch.optim.SGD,), {"__module__": "refused"})
    rows: list[tuple[Any, str, str]] = [
        (own.local(), "Hidden cannot be imported by its name", "at the top level of a Python file"),
        (own.Outer.Inner, "Outer.Inner cannot be imported by its name", "at the top level of a Python file"),
        (gone, "no_such_module.Gone is not the object that was passed", "at the top level of a Python file"),
        (wrapped, "refused.Mine is not the object that was passed", "import it again after a reload"),
        (own.Strict, "Strict has arguments without a default: lr", "functools.partial(Strict, lr=...)"),
        (partial(own.Mine, 0.1), "fixes arguments by position", "partial(Mine, lr=0.1)"),
        (partial(own.Mine, lr=torch.tensor(0.1)), "option lr of type Tensor cannot be written down", "a number"),
        (partial(own.Mine, rate=0.1), "has no option 'rate'", "options of"),
        (partial(own.Mine, lr="fast"), "lr=fast is not allowed", "lr takes a value of type float"),
    ]
    for given, message, hint in rows:
        with pytest.raises(UsageError) as raised:
            lehi_cli.train("digits", given, steps=3, progress=False)
        assert message in raised.value.message.replace("<locals>.", "")
        assert hint in raised.value.hint
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")  # as at a prompt: without a file
    try:
        with pytest.raises(UsageError, match="Here is defined in a notebook or at a prompt") as raised:
            lehi_cli.train("digits", here, steps=3, progress=False)
    finally:
        sys.modules["__main__"] = main
    assert "%%writefile my_file.py" in raised.value.hint


def test_a_task_is_a_dictionary_of_names_or_functions(modules: Callable[[str, str], ModuleType], lehi: Lehi) -> None:
    parts = modules("parts", TASK)
    names = {"data": {"source": "parts:rings"}, "model": {"kind": "parts:perceptron", "hidden": 3}}
    functions = {"data": {"source": parts.rings}, "model": {"kind": parts.perceptron, "hidden": 3}}
    built_in = {"data": {"source": "digits"}, "model": {"kind": "mlp", "hidden": [8]}}
    ids = [
        [run.run_id for run in lehi_cli.train({**CONTENT, **more}, "adam", progress=False).runs]
        for more in (names, functions, built_in)
    ]
    assert ids[0] == ids[1] != ids[2]
    Path("rings.yaml").write_text(json.dumps({**CONTENT, **names}))
    assert "(0 new, 1 reused)" in lehi("train", "--task", "rings.yaml", "--optim", "adam").err
    for value, message in [
        (lambda: None, "cannot be imported by its name"),
        (partial(parts.rings, rows=3), "an object of type partial cannot be imported by its name"),
        ({1, 2}, "data holds a value that is not allowed"),
    ]:
        with pytest.raises(UsageError, match=message):
            lehi_cli.train({**CONTENT, **functions, "data": {"source": "parts:rings", "rows": value}}, progress=False)


SCRIPT = f'''
{TASK}

class Mine(torch.optim.SGD):
    """Mine."""


CONTENT = {CONTENT!r}


def main():
    import lehi_cli as lehi

    task = {{**CONTENT, "data": {{"source": rings}}, "model": {{"kind": perceptron}}}}
    for how in ({{"executor": "serial"}}, {{"jobs": 2}}):
        result = lehi.compare(task, [Mine, "sgd"], seeds=2, runs=f"runs-{{len(how)}}{{'jobs' in how}}", **how)
        print(*(run.run_id for run in result.runs))
        print(*(run.status for run in result.runs))


'''


@pytest.mark.slow
def test_a_script_passes_what_it_defines(python: Python, tmp_path: Path, lehi: Lehi) -> None:
    (tmp_path / "script.py").write_text(f'{SCRIPT}print("born")\nif __name__ == "__main__":\n    main()\n')
    done = python("-W", "error", "script.py")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line != "born"]
    assert lines[0] == lines[2]
    assert lines[1] == lines[3] == "ok ok ok ok"
    assert done.stderr == ""
    told = lehi("optims", "check", "script.py:Mine")
    assert told.code == 0, told.out


def test_a_script_without_a_guard_is_refused(python: Python, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"{SCRIPT}main()\n")
    done = python("script.py")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("lehi_cli.errors.PluginError: ")
    assert "script.py fails to load" in last
    assert "starts an experiment while it is imported" in last
    assert done.stderr.count("errors.PluginError") == 1
    assert not list(tmp_path.glob("runs*"))


@pytest.mark.slow
def test_a_script_without_a_guard_may_train_what_it_names(python: Python, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        'import lehi_cli as lehi\nr = lehi.compare("digits", "sgd,adam", seeds=2, steps=5, jobs=2)\n'
        "print(*(run.status for run in r.runs))\n"
    )
    done = python("-W", "error", "script.py")
    assert (done.stdout, done.stderr) == ("ok ok ok ok\n", "")


@pytest.mark.slow
def test_a_module_that_compares_when_it_is_imported_does_not_train_in_the_workers(
    python: Python, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text(
        "import lehi_cli as lehi, torch\n\nclass Mine(torch.optim.SGD):\n    pass\n\n"
        'r = lehi.compare("digits", [Mine, "adam"], seeds=1, steps=5, jobs=2)\n'
        "print([run.error.get('message') for run in r.runs if run.status == 'error'])\n"
    )
    done = python("-c", "import loud")
    assert "a module of a task or an optimizer starts an experiment while it is imported" in done.stdout, done.stderr


def test_threads_of_a_program_can_compare() -> None:
    from threading import Thread

    found: list[lehi_cli.Result] = []
    thread = Thread(
        target=lambda: found.append(lehi_cli.compare("digits", "sgd,adam", seeds=1, steps=5, jobs=2, progress=False))
    )
    thread.start()
    thread.join()
    assert [run.status for run in found[0].runs] == ["ok", "ok"]


def test_an_edited_module_is_refused_until_it_is_imported_again(modules: Callable[[str, str], ModuleType]) -> None:
    own = modules("edited", OPTIMIZER)
    before = lehi_cli.train("digits", own.Mine, steps=3, progress=False)
    path = Path(str(own.__file__))
    path.write_text(
        OPTIMIZER.replace("super().__init__(params, lr=lr, momentum=momentum)", "super().__init__(params, lr=2 * lr)")
    )
    subprocess.run([sys.executable, "-c", "import edited"], cwd=path.parent, check=True)  # which caches its bytecode
    with pytest.raises(UsageError, match=r"edited.py has changed since it was imported as edited") as raised:
        lehi_cli.train("digits", own.Mine, steps=3, progress=False)
    assert raised.value.hint == "importlib.reload(edited), or restart Python"
    stale = own.Mine
    importlib.reload(own)
    with pytest.raises(UsageError, match="is not the object that was passed"):
        lehi_cli.train("digits", stale, steps=3, progress=False)
    after = lehi_cli.train("digits", own.Mine, steps=3, progress=False)
    assert after.runs[0].run_id != before.runs[0].run_id
    assert after.metrics()["loss"].to_pylist() != before.metrics()["loss"].to_pylist()


def test_a_module_edited_before_the_first_call_is_refused(
    modules: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    own = modules("edited_early", OPTIMIZER)
    path = Path(str(own.__file__))
    path.write_text(f"{OPTIMIZER}\n# changed\n")
    with pytest.raises(UsageError, match="has changed since it was imported"):
        lehi_cli.train("digits", own.Mine, steps=3, progress=False)


@pytest.mark.parametrize(("old", "new"), [("nn.Tanh()", "nn.ReLU()"), ("12.0, rows", "11.0, rows")])
def test_a_file_named_by_its_path_is_read_again(old: str, new: str, tmp_path: Path) -> None:
    own = {**CONTENT, "data": {"source": ":rings"}, "model": {"kind": ":perceptron"}}
    text = f"{TASK}\n\nTASK = {own!r}\n"
    (tmp_path / "task.py").write_text(text)
    first = lehi_cli.train(tmp_path / "task.py", "adam", progress=False)
    (tmp_path / "task.py").write_text(text.replace(old, new))
    second = lehi_cli.train("task.py", "adam", progress=False)
    assert first.runs[0].run_id != second.runs[0].run_id
    assert first.metrics()["loss"].to_pylist() != second.metrics()["loss"].to_pylist()

"""Tasks as they are written, overridden and refused."""

from __future__ import annotations

import math
import os
from datetime import date
from pathlib import Path

import pytest

from lehi_cli.curvature import make_loss
from lehi_cli.errors import LehiError, UsageError
from lehi_cli.registry import tasks
from lehi_cli.registry.built_in.losses import LOSSES
from lehi_cli.registry.code import first_name
from lehi_cli.registry.tasks import TaskRecord
from lehi_cli.runs.specs import Budget, Schedule

GOOD = {
    "name": "mine",
    "summary": "a task",
    "data": {"source": "digits"},
    "model": {"kind": "mlp", "hidden": [8]},
    "variants": {"model": {"linear": {"kind": "linear"}}},
    "loss": "cross_entropy",
    "batch_size": 32,
    "budget": {"epochs": 2},
}


def test_built_in_tasks_are_whole() -> None:
    catalog = tasks.load()
    assert {"breast_cancer", "digits", "mnist", "cifar10", "protein", "ptb", "text"} <= set(catalog.records)
    for record in catalog:
        spec = record.spec()
        assert spec.name == Path(spec.origin).stem
        assert spec.summary
        for variant in spec.variants.get("model", {}):
            assert record.spec([f"model={variant}"]).identity() != spec.identity()


def test_defaults_are_filled_in() -> None:
    spec = TaskRecord(GOOD, "").spec()
    assert spec.metrics == ()
    assert spec.evaluations == 20
    assert spec.schedule == Schedule("constant")
    assert spec.data["source"] == "lehi_cli.data.embedded:digits"
    own = {"lehi_cli.data.embedded:digits", "lehi_cli.models.mlp:mlp", "lehi_cli.curvature:CrossEntropy"}
    assert set(spec.code) == own | set(map(first_name, tasks.LOOP))
    assert all(spec.code.values())


def test_overrides_reach_every_key() -> None:
    overrides = [
        "batch_size=7", "model.hidden=256/256", "model.activation=tanh", "budget.epochs=3", "schedule=cosine",
        "schedule.warmup=0.1", "loss=mse",
    ]  # fmt: skip
    spec = TaskRecord(GOOD, "").spec(overrides)
    assert (spec.batch_size, spec.budget, spec.loss) == (7, Budget("epochs", 3), "mse")
    assert spec.model["hidden"] == (256, 256)
    assert spec.model["activation"] == "tanh"
    assert spec.schedule == Schedule("cosine", 0.1)
    assert TaskRecord(GOOD, "").spec(["metrics=accuracy/perplexity"]).metrics == ("accuracy", "perplexity")
    assert TaskRecord(GOOD, "").spec(["model=linear"]).model == {"kind": "lehi_cli.models.mlp:linear"}
    assert GOOD["model"] == {"kind": "mlp", "hidden": [8]}


@pytest.mark.parametrize(
    ("loss", "overrides", "expected"),
    [
        ("mse", [], "mse"),
        ({"kind": "mse"}, [], "mse"),
        ("mse", ["loss=huber"], "huber"),
        ("mse", ["loss=huber", "loss.delta=2"], {"kind": "huber", "delta": 2}),
        ({"kind": "huber", "delta": 0.5}, [], {"kind": "huber", "delta": 0.5}),
        ({"kind": "huber", "delta": 0.5}, ["loss.delta=2"], {"kind": "huber", "delta": 2}),
        ({"kind": "huber", "delta": 0.5}, ["loss=smooth_l1"], "smooth_l1"),
        ("mse", ["loss=gaussian_nll", "loss.var=0.5"], {"kind": "gaussian_nll", "var": 0.5}),
    ],
)
def test_a_loss_is_a_name_or_a_mapping_with_options(loss: object, overrides: list[str], expected: object) -> None:
    spec = TaskRecord({**GOOD, "loss": loss}, "").spec(overrides)
    assert spec.loss == expected
    assert spec.loss_kind == (expected if isinstance(expected, str) else expected["kind"])
    assert {"kind": spec.loss_kind, **spec.loss_options} == (
        {"kind": expected} if isinstance(expected, str) else expected
    )


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_and_options_known_are_those_there_are(name: str) -> None:
    options = {"ignore_index": 1, "label_smoothing": 0.1, "delta": 2.0, "beta": 2.0, "log_input": False, "full": True}
    values = {**options, "eps": 0.1, "var": 2.0}
    loss = make_loss(name, **{option: values[option] for option in LOSSES[name][1]})
    for option in LOSSES[name][1]:
        assert float(getattr(loss, option)) == float(values[option])


def test_a_loss_of_its_own_is_part_of_the_code(tmp_path: Path) -> None:
    source = "my_loss = None\nTASK = " + repr({**GOOD, "loss": {"kind": ":my_loss", "width": 2}})
    (tmp_path / "mine.py").write_text(source)
    first = tasks.find("mine.py").spec()
    assert (first.loss_kind, first.loss_options) == (":my_loss", {"width": 2})
    (tmp_path / "mine.py").write_text(source.replace("None", "1"))
    second = tasks.find("mine.py").spec()
    assert first.code[":my_loss"] != second.code[":my_loss"]
    assert first.identity() != second.identity()


def test_what_is_text_stays_text() -> None:
    record = TaskRecord({**GOOD, "data": {"source": "csv", "path": "table.csv", "checksum": "0"}}, "")
    data = record.spec(["data.path=2026/07", "data.checksum=none"]).data
    assert (data["path"], data["checksum"]) == ("2026/07", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "has no 'colour'"),
        ({"losss": "mse"}, "did you mean 'loss'"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"loss": ["mse"]}, "unknown loss"),
        ({"loss": {"delta": 1}}, "unknown loss None"),
        ({"loss": {"kind": "hubr"}}, "did you mean 'huber'"),
        ({"loss": {"kind": "huber", "beta": 1}}, "loss huber has no option 'beta'"),
        ({"loss": {"kind": "mse", "beta": 1}}, "loss mse has no option 'beta'"),
        ({"loss": {"kind": "huber", "delta": math.nan}}, "loss holds a value that is not allowed"),
        ({"loss": "gaussian_nll"}, "loss gaussian_nll has no variance 'var'"),
        ({"loss": "no.such.module:loss"}, "no module named 'no.such.module'"),
        ({"loss": "huber", "metrics": ["rmse"]}, "rmse is computed from the loss mse, and the loss is huber"),
        ({"loss": "bce", "metrics": ["perplexity"]}, "perplexity is computed from the loss cross_entropy or nll"),
        (
            {"loss": {"kind": "cross_entropy", "label_smoothing": 0.1}, "metrics": ["perplexity"]},
            "the loss is cross_entropy with label_smoothing",
        ),
        ({"metrics": ["speed"]}, "unknown metric 'speed'"),
        ({"metrics": "accuracy/speed"}, "unknown metric 'speed'"),
        ({"metrics": None}, "is not a list"),
        ({"name": "mine\n"}, "is not allowed"),
        ({"name": "mine,yours"}, "is not allowed"),
        ({1: "one"}, "has no 1"),
        ({"model": {"kind": "sys:exit"}}, "no source"),
        ({"model": {"kind": "mlp", "hidden": math.nan}}, "model holds a value that is not allowed"),
        ({"data": {"source": "digits", "since": date(2026, 1, 1)}}, "data holds a value that is not allowed"),
        ({"target": {"val_los": 0.1}}, "did you mean 'val_loss'"),
        ({"target": {"val_loss": "low"}}, "is not a number"),
        ({"target": {"val_loss": 0.1, "val_accuracy": 0.9}}, "give one"),
        ({"optimizers": {"adam": 3}}, "has no 'options'"),
        ({"optimizers": {"adam": {"option": {"lr": 0.1}}}}, "has no 'options'"),
        ({"variants": {"model": ["linear"]}}, "is not a mapping"),
        ({"data": {"source": "digit"}}, "did you mean 'digits'"),
        ({"data": "digits"}, "is not a mapping"),
        ({"data": {}}, "data has no 'source'"),
        ({"data": {"source": "no.such.module:f"}}, "no module named 'no.such.module'"),
        ({"model": {"kind": "mpl"}}, "did you mean 'mlp'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": "32"}, "batch_size='32'"),
        ({"batch_size": True}, "batch_size=True"),
        ({"budget": {}}, "exactly one of"),
        ({"budget": {"epochs": 1, "steps": 2}}, "exactly one of"),
        ({"budget": {"days": 1}}, "unknown budget 'days'"),
        ({"budget": {"epochs": "1"}}, "must be above zero"),
        ({"schedule": {"kind": "steps"}}, "unknown schedule 'steps'"),
        ({"schedule": {"shape": "linear"}}, "schedule has no 'shape'"),
        ({"evaluations": 0}, "evaluations=0"),
        ({"threads": -1}, "threads=-1"),
        ({"summary": None}, "summary=None is not a string"),
    ],
)
def test_bad_keys_and_values_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        TaskRecord({**GOOD, **change}, "").spec()
    assert "mine" in refusal.value.message or "module" in refusal.value.message


@pytest.mark.parametrize("key", tasks.REQUIRED)
def test_required_keys_are_required(key: str) -> None:
    with pytest.raises(UsageError, match=f"no {key!r}"):
        TaskRecord({k: v for k, v in GOOD.items() if k != key}, "somewhere.yaml").spec()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size", "malformed override"),
        ("=3", "malformed override"),
        ("batchsize=3", "did you mean 'batch_size'"),
        ("name=other", "has no 'name'"),
        ("model=resnet", "no variant 'resnet'"),
        ("model=linaer", "did you mean 'linear'"),
        ("data=mnist", "no variant 'mnist'"),
        ("schedule=step", "no variant 'step'"),
        ("batch_size.x=3", "has no 'batch_size.x'"),
        ("loss=hinge", "unknown loss 'hinge'"),
        ("loss=3", "unknown loss 3"),
        ("loss.delta=3", "loss cross_entropy has no option 'delta'"),
        ("budget.steps=3", "exactly one of"),
    ],
)
def test_bad_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TaskRecord(GOOD, "").spec([override])


YAML = """
name: {name}
summary: from a file
data: {{source: digits}}
model: {{kind: linear}}
loss: cross_entropy
batch_size: 64
budget: {{steps: 3}}
"""

PYTHON = """
from dataclasses import dataclass  # needs its module in sys.modules
from torch import nn

@dataclass
class Width:
    value: int = 4

def make_model(dataset, width=Width().value):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, dataset.outputs))

TASK = {
    "name": "in_python", "summary": "from a file", "data": {"source": "digits"}, "model": {"kind": ":make_model"},
    "loss": "cross_entropy", "batch_size": 64, "budget": {"steps": 3},
}
"""


def test_tasks_come_from_paths(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML.format(name="in_yaml"))
    (tmp_path / "b.py").write_text(PYTHON)
    assert tasks.find(str(tmp_path / "a.yaml")).spec().name == "in_yaml"
    first = tasks.find("b.py").spec()
    assert first.name == "in_python"
    (tmp_path / "b.py").write_text(PYTHON.replace("= 4", "= 5"))
    assert tasks.find("b.py").spec().identity() != first.identity()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", None, "no task file"),
        ("a.yaml", "a: [", "cannot be read"),
        ("a.yaml", "- 1", "is not a mapping of keys"),
        ("a.yaml", "name: a\nloss: mse\nname: b", "'name' twice, in lines 1 and 3"),
        ("a.yaml", "[" * 3000 + "]" * 3000, "recursion"),
        ("a.py", "1/0", "ZeroDivisionError"),
        ("a.py", "x = 1", "defines no TASK"),
        ("a.py", "TASK = [{}]", "TASK is of type list, not a dictionary"),
        ("a.py", "raise SystemExit('boom')", "boom"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(LehiError, match=message):
        tasks.find(name)


def test_the_line_of_a_yaml_file_is_named(tmp_path: Path) -> None:
    for change, line in (("loss: cross_entropy", 6), ("batch_size: 64", 7)):
        content = YAML.format(name="mine").replace(change, f"{change}x")
        (tmp_path / "mine.yaml").write_text(content)
        with pytest.raises(UsageError, match=rf"mine.yaml, line {line}\)"):
            tasks.find("mine.yaml").spec()
    (tmp_path / "mine.yaml").write_text(YAML.format(name="mine") + "colour: red\n")
    with pytest.raises(UsageError, match=r"line 9\) has no 'colour'"):
        tasks.find("mine.yaml").spec()


def test_numbers_may_have_an_exponent_without_a_point(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(YAML.format(name="mine").replace("steps: 3", "passes: 1e3"))
    assert tasks.find("mine.yaml").spec().budget == Budget("passes", 1000)


def test_a_failing_plugin_is_named_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.yaml").write_text(YAML.format(name="good"))
    (tmp_path / "bad.py").write_text("raise RuntimeError('no luck')")
    (tmp_path / "incomplete.yaml").write_text("name: incomplete\n")
    (tmp_path / "taken.yaml").write_text(YAML.format(name="digits"))
    monkeypatch.setenv("LEHI_PLUGINS", os.pathsep.join([str(tmp_path / "gone"), str(tmp_path)]))
    tasks.load.cache_clear()
    catalog = tasks.load()
    assert catalog.get("good").spec().summary == "from a file"
    messages = " ".join(notice.message for notice in catalog.notices)
    assert "bad.py" in messages
    assert "no luck" in messages
    assert "incomplete.yaml" in messages
    assert "gone: there is no such folder" in messages
    assert "already registered by lehi" in messages
    with pytest.raises(UsageError, match="unknown task 'bad'") as refusal:
        catalog.get("bad")
    assert "no luck" in refusal.value.hint

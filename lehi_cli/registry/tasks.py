"""Every task the tool knows: one YAML file each, or a Python file with a `TASK` of the same keys.

Here a task is read, overridden (`--set model.hidden=256/256`), checked and made into a `TaskSpec`. None of its code
runs: data sources and models stay import strings. The code they reach is hashed, so an edited task is another task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lehi_cli.errors import PluginError, UsageError, did_you_mean
from lehi_cli.runs.metrics import LOSS, METRICS
from lehi_cli.runs.specs import Budget, Schedule, TaskSpec, canonical_json, parse_value

from . import plugins
from .built_in.losses import LOSSES
from .built_in.models import MODELS
from .built_in.sources import SOURCES
from .catalog import Catalog
from .code import code_hash, first_name

T = TypeVar("T")
GROUP = "lehi.tasks"
LOOP = ("lehi_cli.training.loop:train", "lehi_cli.runs.specs:Schedule", "lehi_cli.runs.specs:TaskSpec")
"""The code that every run goes through; it calls methods of a task and its schedule without naming their classes."""
TARGETS = ("train_loss", *(f"val_{metric}" for metric in METRICS))
REQUIRED = ("name", "summary", "data", "model", "loss", "batch_size", "budget")
DEFAULTS: Mapping[str, Any] = {
    "metrics": [],
    "schedule": {"kind": "constant"},
    "evaluations": 20,
    "threads": None,
    "target": {},
    "optimizers": {},
    "variants": {},
}


@dataclass(frozen=True)
class TaskRecord:
    """A task as it was written: its keys, the file it comes from (empty for none), not yet checked."""

    content: Mapping[str, Any]
    origin: str
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name, or its file's when it has none."""
        return str(self.content.get("name") or Path(self.origin).stem)

    def spec(self, overrides: Sequence[str] = ()) -> TaskSpec:
        """The task with `key=value` overrides applied and every key checked.

        Raises:
            UsageError: naming task, key and value.
        """
        content = deepcopy({**DEFAULTS, **self.content})
        for key in content:
            _known(key, (*REQUIRED, *DEFAULTS), self._where(key))
        for key, variants in _check(content, "variants", dict, self._where).items():
            _check({key: variants}, key, dict, lambda _: f"{self._where('variants')}: variants")
        if isinstance(content.get("loss"), str):
            content["loss"] = {"kind": content["loss"]}
        for override in overrides:
            _apply(content, override, f"task {self.name!r}")
        for key in REQUIRED:
            if key not in content:
                raise UsageError(f"{self._where('')} has no {key!r}", f"a task needs {', '.join(REQUIRED)}")
        return _build(content, self.origin, self._where)

    def _where(self, key: str) -> str:
        """The task, and the line of its file that `key` is on."""
        line = f" ({Path(self.origin).name}, line {self.lines[key]})" if key in self.lines else ""
        return f"task {self.name!r}{line}"


def _known(key: Any, known: Sequence[str], where: str) -> None:
    if key not in known:
        raise UsageError(f"{where} has no {key!r}{did_you_mean(str(key), known)}", f"known: {', '.join(known)}")


def _apply(content: dict[str, Any], override: str, where: str) -> None:
    """Set `a.b=value` in place; `model=mlp` picks the variant `variants.model.mlp`, `loss=mse` another loss."""
    path, equals, text = override.partition("=")
    if not (path and equals and text):
        raise UsageError(f"malformed override {override!r}", "write --set key=value, for example --set batch_size=32")
    first, *rest = path.split(".")
    _known(first, tuple(key for key in content if key not in ("name", "variants")), where)
    value = parse_value(text)
    if not rest:
        content[first] = _variant(content, first, value, where) if isinstance(content[first], Mapping) else value
        return
    target = content[first]
    for part in rest[:-1]:
        target = target.get(part) if isinstance(target, Mapping) else None
    if not isinstance(target, dict):
        raise UsageError(f"{where} has no {path!r}", "lehi tasks show NAME prints what can be set")
    if isinstance(target.get(rest[-1]), str) and value is not None:
        value = text  # a column called 3, a folder called 2026/07
    target[rest[-1]] = value


def _variant(content: Mapping[str, Any], key: str, name: Any, where: str) -> Any:
    variants = content["variants"].get(key, {})
    if name in variants:
        return deepcopy(variants[name])
    if key == "schedule" and name in Schedule.KINDS:
        return {"kind": name}
    if key == "loss":
        return {"kind": name}
    known = list(variants) or (list(Schedule.KINDS) if key == "schedule" else [])
    hint = f"known: {', '.join(known)}" if known else f"set one of its keys, for example --set {key}.KEY=value"
    raise UsageError(f"{where}: {key} has no variant {name!r}{did_you_mean(str(name), known)}", hint)


Where = Callable[[str], str]


def _build(content: Mapping[str, Any], origin: str, where: Where) -> TaskSpec:
    data = _section(content, "data", "source", SOURCES, where)
    model = _section(content, "model", "kind", MODELS, where)
    budget = content["budget"]
    if not isinstance(budget, Mapping) or len(budget) != 1:
        raise UsageError(f"{where('budget')}: budget={budget!r}: give exactly one of {', '.join(Budget.KINDS)}")
    loss = _loss(content, where)
    metrics = content["metrics"]
    metrics = metrics.split("/") if isinstance(metrics, str) else _check(content, "metrics", list, where)
    return TaskSpec(
        name=_name(content, where),
        summary=_check(content, "summary", str, where),
        data=data,
        model=model,
        loss=loss["kind"] if len(loss) == 1 else loss,
        metrics=tuple(_metric(metric, loss, where) for metric in metrics),
        batch_size=_count(content, "batch_size", where),
        budget=_with_place(where("budget"), lambda: Budget(*next(iter(budget.items())))),
        schedule=_with_place(where("schedule"), lambda: _schedule(content, where)),
        evaluations=_count(content, "evaluations", where),
        code={
            data["source"]: _with_place(where("data"), lambda: code_hash(data["source"], origin)),
            model["kind"]: _with_place(where("model"), lambda: code_hash(model["kind"], origin)),
            **_loss_code(loss["kind"], origin, where),
            **{first_name(reference): code_hash(reference) for reference in LOOP},
        },
        threads=None if content["threads"] is None else _count(content, "threads", where),
        target=_target(content, where),
        optimizers=_tuned(content, where),
        variants=content["variants"],
        origin=origin,
    )


def _section(content: Mapping[str, Any], key: str, what: str, known: Mapping[str, str], where: Where) -> dict[str, Any]:
    """A mapping whose `what` names code: a known name becomes its import string; `module:name` and `:name` stay."""
    section = dict(_check(content, key, dict, where))
    name = section.get(what)
    if not isinstance(name, str):
        raise UsageError(f"{where(key)}: {key} has no {what!r}", f"one of {', '.join(known)}, or module:name")
    if ":" not in name:
        section[what] = known[_choice(name, tuple(known), f"{key} {what}", where(key))]
    _check_plain(section, key, where)
    return section


def _check_plain(section: Mapping[str, Any], key: str, where: Where) -> None:
    try:
        canonical_json(section)
    except (TypeError, ValueError) as error:
        hint = "values are text, finite numbers, true, false, null, and lists and mappings of these"
        raise UsageError(f"{where(key)}: {key} holds a value that is not allowed: {error}", hint) from None


def _loss(content: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """The loss as `kind`, a name or an import string, and options; unknown options of a named loss are refused."""
    if not isinstance(content["loss"], Mapping) or not isinstance(content["loss"].get("kind", 0), str):
        loss = content["loss"]
        kind = loss.get("kind") if isinstance(loss, Mapping) else loss
        raise UsageError(f"{where('loss')}: unknown loss {kind!r}", f"known: {', '.join(LOSSES)}, or module:name")
    section = dict(content["loss"])
    kind = section["kind"]
    _check_plain(section, "loss", where)
    if ":" in kind:
        return section
    _, known = LOSSES[_choice(kind, tuple(LOSSES), "loss", where("loss"))]
    for option in section:
        if option != "kind" and option not in known:
            hint = f"options of {kind}: {', '.join(known) or 'none'}"
            raise UsageError(
                f"{where('loss')}: loss {kind} has no option {option!r}{did_you_mean(str(option), known)}", hint
            )
    if kind == "gaussian_nll" and "var" not in section:
        raise UsageError(f"{where('loss')}: loss gaussian_nll has no variance 'var'", "for example --set loss.var=1")
    return section


def _loss_code(kind: str, origin: str, where: Where) -> dict[str, str]:
    """The hash of the code of a loss, the tool's or the task's own."""
    reference = kind if ":" in kind else LOSSES[kind][0]
    return {reference: _with_place(where("loss"), lambda: code_hash(reference, origin))}


def _metric(name: Any, loss: Mapping[str, Any], where: Where) -> str:
    """A metric's name; one that is computed from the loss is refused if the loss is not the right one."""
    metric = _choice(name, [metric for metric in METRICS if metric != LOSS], "metric", where("metrics"))
    of = METRICS[metric].derived_from
    if of and (loss["kind"] not in of or loss.get("label_smoothing")):
        raise UsageError(
            f"{where('metrics')}: {metric} is computed from the loss {' or '.join(of)}, and the loss is {loss['kind']}"
            f"{' with label_smoothing' if loss.get('label_smoothing') else ''}",
            "leave it out: --set metrics=mae, or accuracy",
        )
    return metric


def _name(content: Mapping[str, Any], where: Where) -> str:
    """The name, which must fit on one line and in the comma list of `--task`."""
    name: str = _check(content, "name", str, where)
    if not name.strip() or not name.isprintable() or "," in name:
        raise UsageError(f"{where('name')}: name={name!r} is not allowed", "a line of text without commas")
    return name


def _tuned(content: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """By optimizer, the `options` that suit the task."""
    tuned: dict[str, Any] = _check(content, "optimizers", dict, where)
    for name, found in tuned.items():
        if not isinstance(found, Mapping) or not isinstance(found.get("options"), Mapping):
            raise UsageError(
                f"{where('optimizers')}: optimizers.{name}={found!r} has no 'options'",
                "for example optimizers: {adam: {options: {lr: 0.01}}}",
            )
    return tuned


def _schedule(content: Mapping[str, Any], where: Where) -> Schedule:
    options = _check(content, "schedule", dict, where)
    for key in options:
        _known(key, [item.name for item in fields(Schedule)], f"{where('schedule')}: schedule")
    return Schedule(**options)


def _target(content: Mapping[str, Any], where: Where) -> dict[str, float]:
    """At most one metric, with the value it should reach."""
    target: dict[str, float] = _check(content, "target", dict, where)
    if len(target) > 1:
        raise UsageError(f"{where('target')}: target={target!r}: give one", "--target METRIC=VALUE takes its place")
    for name, value in target.items():
        _choice(name, TARGETS, "target metric", where("target"))
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"{where('target')}: target {name}={value!r} is not a number")
    return target


def _check(content: Mapping[str, Any], key: str, kind: type, where: Where) -> Any:
    value = content[key]
    if not isinstance(value, kind):
        raise UsageError(f"{where(key)}: {key}={value!r} is not a {_TYPE_NAMES[kind]}")
    return value


_TYPE_NAMES: dict[type, str] = {str: "string", list: "list", dict: "mapping of keys to values"}


def _choice(value: Any, known: Sequence[str], what: str, where: str) -> str:
    if value not in known:
        hint = f"known: {', '.join(known)}"
        raise UsageError(f"{where}: unknown {what} {value!r}{did_you_mean(str(value), known)}", hint)
    return str(value)


def _count(content: Mapping[str, Any], key: str, where: Where) -> int:
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{where(key)}: {key}={value!r}: must be a whole number above zero")
    return value


def _with_place(where: str, make: Callable[[], T]) -> T:
    """Run `make`, and let its refusal say which task it was."""
    try:
        return make()
    except UsageError as error:
        raise UsageError(f"{where}: {error.message.removeprefix(f'{where}: ')}", error.hint) from None


@cache
def load() -> Catalog[TaskRecord]:
    """All tasks: built in, from installed distributions, and from plug-in folders."""
    catalog: Catalog[TaskRecord] = Catalog("task")
    for path in sorted(built_in_folder().glob("*.yaml")):
        record = _from_yaml(path)
        catalog.add(record.name, record, "lehi")
    catalog.add_plugins(GROUP, _read)
    return catalog


def find(name: str) -> TaskRecord:
    """The task called `name`, or the one in the YAML or Python file of that path."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml", ".py"}:
        return load().get(name)
    if not path.is_file():
        raise UsageError(f"no task file {name}", "give the path of a .yaml or .py file, or a name from: lehi tasks")
    records = list(_from_file(path.absolute()))
    if not records:
        raise PluginError(f"{name} defines no TASK", 'set TASK = {"name": ..., "data": ..., "model": ...} in it')
    return records[0]


@cache
def built_in_folder() -> Path:
    """The folder of the package `lehi_cli.tasks`; in a source checkout that is not installed, `tasks` at its root."""
    spec = find_spec("lehi_cli.tasks")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    return Path(__file__).parents[2] / "tasks"


def _read(plugin: plugins.Plugin) -> Iterator[tuple[str, TaskRecord]]:
    loaded = plugin.load()
    if isinstance(loaded, Mapping):
        records: Iterator[TaskRecord] = iter([TaskRecord(loaded, "")])
    else:
        records = _from_file(Path(loaded))
    for record in records:
        record.spec()
        yield record.name, record


def _from_file(path: Path) -> Iterator[TaskRecord]:
    if path.suffix == ".py":
        content = getattr(plugins.load_file(path), "TASK", None)
        if content is not None:
            if not isinstance(content, Mapping):
                raise PluginError(f"{path}: TASK is of type {type(content).__name__}, not a dictionary")
            yield TaskRecord(content, str(path))
    else:
        yield _from_yaml(path)


class _Loader(yaml.SafeLoader):
    """Reads `1e-3` as the number it is in YAML 1.2, not as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _from_yaml(path: Path) -> TaskRecord:
    try:
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        tree = loader.get_single_node()
        keys = [key for key, _ in tree.value] if isinstance(tree, yaml.MappingNode) else []
        content = loader.construct_document(tree) if keys else None  # puts the keys merged by << among the others
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise PluginError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, Mapping):
        raise PluginError(f"{path} is not a mapping of keys to values")
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise PluginError(f"{path} has {key.value!r} twice, in lines {lines[key.value]} and {line}")
        lines[key.value] = line
    return TaskRecord(content, str(path), lines)

"""Every optimizer the tool knows, as frozen records with import strings.

A record says what the optimizer is called, what it can be told, how the training loop has to drive it (`kind`, see
`lehi_cli.steps`), and what it costs. Building one is left to the training side: `factory` is only a string here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from lehi_cli.errors import PluginError, UsageError, did_you_mean
from lehi_cli.specs import OptimSpec, Value, format_value, parse_value

from . import plugins
from .catalog import Catalog

GROUP = "lehi.optimizers"
KINDS = ("gradient", "curvature", "closure", "loss", "differentiable", "whole")


@dataclass(frozen=True)
class Option:
    """One thing an optimizer can be told.

    Attributes:
        name: as it is written in `name:key=value`, and as the constructor calls it.
        default: the value when it is not given; it fixes the type unless `type` does.
        help: its meaning, in one line.
        choices: the allowed values, when they are few.
        type: `float`, `int`, `bool` or `str`; a tuple default means numbers joined by `/`.
        within: the interval a number, or each number of a tuple, must lie in, such as `[0, 1)`.
    """

    name: str
    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    type: str = ""
    within: str = ""

    def check(self, value: Value, where: str) -> Value:
        """`value` as the constructor wants it: `1` becomes 1.0 for a float, so that equal settings are one run.

        Raises:
            UsageError: when the type or the choice is wrong, naming option, value and what is allowed.
        """
        if value is None and self.default is None:
            return None
        if isinstance(self.default, tuple):
            return self._check_tuple(value, self.default, where)
        kind = self.type or type(self.default).__name__
        if kind == "float" and _is_number(value):
            value = float(value)  # type: ignore[arg-type]
        if self.choices and value not in self.choices:
            raise self._refuse(value, where, f"one of {', '.join(map(format_value, self.choices))}")
        if type(value).__name__ != kind or not _inside(value, self.within):
            raise self._refuse(value, where, f"a value of type {kind} {self.within and 'in ' + self.within}".rstrip())
        return value

    def _check_tuple(self, value: Value, default: tuple[Value, ...], where: str) -> Value:
        parts = value if isinstance(value, tuple) else (value,)
        fits = len(parts) == len(default) and all(
            (part is None and like is None) or (_is_number(part) and _inside(part, self.within))
            for part, like in zip(parts, default, strict=True)
        )
        if not fits:
            allowed = f"{len(default)} numbers {self.within and 'in ' + self.within + ' '}joined by /, such as "
            raise self._refuse(value, where, allowed + self.shown_default)
        return tuple(part if part is None else float(part) for part in parts)

    def _refuse(self, value: Value, where: str, allowed: str) -> UsageError:
        return UsageError(f"{where}: {self.name}={format_value(value)} is not allowed", f"{self.name} takes {allowed}")

    @property
    def shown_default(self) -> str:
        """The default as it would be typed."""
        return format_value(self.default)


def _typed(value: Any) -> Value:
    """A value from YAML, whose 1e-3 is text and whose pairs are lists."""
    return parse_value(value) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inside(value: Any, interval: str) -> bool:
    """Whether a number lies in an interval written as `[0, 1)`; no interval, no bound."""
    if not interval:
        return True
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return bool(above and (value <= high if interval[-1] == "]" else value < high))


@dataclass(frozen=True)
class OptimizerRecord:
    """What is known of an optimizer without importing it.

    Attributes:
        name: as users write it.
        summary: one line.
        factory: import string of what builds it from a model's parameters, `module:name`.
        options: what it can be told; unknown keys are refused.
        fixed: arguments that make the variant what it is, such as `amsgrad=True`.
        kind: how the training loop drives it, one of `KINDS`.
        takes: what the factory's first argument is, `parameters` or `model`.
        passes: gradient equivalents per step, in words.
        state: state per parameter, in copies of the parameters.
        source: where the method was published.
        formula: the update rule, in a few lines of plain text.
        space: where to look for good options: by name, a range such as `1e-5..1e-1/log` or a comma list of values.
        needs: what it must be told beside its options; `total_steps`, the number of steps of the run, is all there is.
        modes: whether it has `train()` and `eval()`, with other weights to evaluate than to train.
        draws: whether it draws from torch's global random numbers.
        notice: what a user should know before relying on it.
        code: modules whose source decides its numbers, hashed into a run's id; none for torch's own.
    """

    name: str
    summary: str
    factory: str
    options: tuple[Option, ...]
    fixed: Mapping[str, Value] = field(default_factory=dict)
    kind: str = "gradient"
    takes: str = "parameters"
    passes: str = "1"
    state: str = "0"
    source: str = ""
    formula: str = ""
    space: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    modes: bool = False
    draws: bool = False
    notice: str = ""
    code: tuple[str, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PluginError(f"optimizer {self.name!r}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.takes not in ("parameters", "model"):
            raise PluginError(f"optimizer {self.name!r}: takes {self.takes!r} is not 'parameters' or 'model'")

    def option(self, name: str) -> Option:
        """The option called `name`.

        Raises:
            UsageError: with the nearest match and the list.
        """
        known = {option.name: option for option in self.options}
        if name not in known:
            listed = f"options of {self.name}: {', '.join([*known, 'label'])}"
            raise UsageError(f"optimizer {self.name!r} has no option {name!r}{did_you_mean(name, known)}", listed)
        return known[name]

    def resolve(self, spec: OptimSpec, tuned: Mapping[str, Value] | None = None) -> OptimSpec:
        """The canonical form of `spec`: checked, typed, and filled in from `tuned`, then from the record's defaults."""
        given = {key: self.option(key).check(value, str(spec)) for key, value in spec.options.items()}
        better = {
            key: self.option(key).check(_typed(value), f"tuned {self.name}") for key, value in (tuned or {}).items()
        }
        defaults = {option.name: option.default for option in self.options}
        return OptimSpec(self.name, defaults | better | given, spec.label)

    def code_hash(self) -> str:
        """Hash of the source that decides its numbers; empty for torch's own optimizers."""
        if self.origin:
            return plugins.source_hash("", self.origin)
        return "-".join(plugins.source_hash(module) for module in self.code)


_POSITIVE = "[0, inf)"
_COUNT = "[1, inf)"


def _lr(default: float) -> Option:
    return Option("lr", default, "learning rate", within=_POSITIVE)


def _betas(default: tuple[float, float] = (0.9, 0.999)) -> Option:
    return Option("betas", default, "decay of the first and second moment", within="[0, 1)")


def _eps(default: float, place: str = "added to the root of the second moment") -> Option:
    return Option("eps", default, place, within=_POSITIVE)


def _decay(default: float, how: str) -> Option:
    return Option("weight_decay", default, f"weight decay, {how}", within=_POSITIVE)


_L2 = "added to the gradient"
_DECOUPLED = "decoupled from the gradient"
_ADAM = (_lr(1e-3), _betas(), _eps(1e-8), _decay(0.0, _L2))
_MOMENTUM = Option("momentum", 0.9, "momentum factor", within=_POSITIVE)

_CURVATURE = (
    _lr(1e-3),
    _betas(),
    _eps(1e-8, "added to the second moment, inside the power"),
    _decay(0.0, _DECOUPLED),
    Option(
        "factor",
        "rademacher",
        "factor of the loss Hessian that makes the auxiliary loss",
        ("rademacher", "true_vs_rest", "diagonal", "sampled"),
    ),
    Option("sample_signs", True, "random sign per sample for the factors that have none of their own"),
    Option("power", 0.5, "power of the curvature in the denominator", (0.5, 1.0)),
    Option("clip", None, "elementwise bound on the update before the learning rate", type="float", within="(0, inf)"),
    Option("damping", 0.0, "adds this times the tensor's mean curvature to the denominator", within=_POSITIVE),
    Option("curvature_every", 1, "steps from one auxiliary gradient to the next", within=_COUNT),
    Option("curvature_warmup", 0, "first steps that all take an auxiliary gradient", within=_POSITIVE),
)
_LEHI_CODE = ("lehi_cli.optim", "lehi_cli.curvature")
_LEHI_SOURCE = "Zhu et al. 2026, arXiv 2605.06945 (reconstruction)"

BUILT_IN: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "lehi",
        "Adam with the squared gradient replaced by the squared gradient of an auxiliary loss",
        "lehi_cli.optim:LEHI",
        _CURVATURE,
        kind="curvature",
        passes="5/3 (1 + 2/3k with curvature_every=k)",
        state="2",
        source=_LEHI_SOURCE,
        code=_LEHI_CODE,
    ),
    OptimizerRecord(
        "lehibrid",
        "LEHI with Adam's squared gradient mixed into the second moment",
        "lehi_cli.optim:LEHIBRID",
        (
            *_CURVATURE,
            Option("hybrid", "mix", "how the two second moments are joined", ("mix", "max")),
            Option("theta", 0.5, "weight of the curvature in the mix: 0 is Adam, 1 is LEHI", within="[0, 1]"),
        ),
        kind="curvature",
        passes="5/3 (1 + 2/3k with curvature_every=k)",
        state="2 (3 with hybrid=max)",
        source=_LEHI_SOURCE,
        code=_LEHI_CODE,
    ),
    OptimizerRecord(
        "sgd",
        "stochastic gradient descent",
        "torch.optim:SGD",
        (_lr(1e-3), Option("momentum", 0.0, "momentum factor", within=_POSITIVE), _decay(0.0, _L2)),
        state="0 (1 with momentum)",
        source="Robbins, Monro 1951",
    ),
    OptimizerRecord(
        "momentum",
        "stochastic gradient descent with heavy-ball momentum",
        "torch.optim:SGD",
        (_lr(1e-3), _MOMENTUM, Option("dampening", 0.0, "dampening of the momentum"), _decay(0.0, _L2)),
        state="1",
        source="Polyak 1964",
    ),
    OptimizerRecord(
        "nesterov",
        "stochastic gradient descent with Nesterov momentum",
        "torch.optim:SGD",
        (_lr(1e-3), _MOMENTUM, _decay(0.0, _L2)),
        {"nesterov": True},
        state="1",
        source="Nesterov 1983; Sutskever et al. 2013",
    ),
    OptimizerRecord("adam", "Adam", "torch.optim:Adam", _ADAM, state="2", source="Kingma, Ba 2015, arXiv 1412.6980"),
    OptimizerRecord(
        "amsgrad",
        "Adam with the running maximum of the second moment",
        "torch.optim:Adam",
        _ADAM,
        {"amsgrad": True},
        state="3",
        source="Reddi et al. 2018, arXiv 1904.09237",
    ),
    OptimizerRecord(
        "adamw",
        "Adam with decoupled weight decay",
        "torch.optim:AdamW",
        (_lr(1e-3), _betas(), _eps(1e-8), _decay(1e-2, _DECOUPLED)),
        state="2",
        source="Loshchilov, Hutter 2019, arXiv 1711.05101",
    ),
    OptimizerRecord(
        "nadam",
        "Adam with Nesterov momentum",
        "torch.optim:NAdam",
        (
            _lr(2e-3),
            _betas(),
            _eps(1e-8),
            _decay(0.0, _L2),
            Option("momentum_decay", 4e-3, "decay of the momentum schedule", within=_POSITIVE),
            Option("decoupled_weight_decay", False, "decouple the weight decay, as NAdamW"),
        ),
        state="2",
        source="Dozat 2016",
    ),
    OptimizerRecord(
        "radam",
        "Adam with a rectified adaptive rate",
        "torch.optim:RAdam",
        (*_ADAM, Option("decoupled_weight_decay", False, "decouple the weight decay")),
        state="2",
        source="Liu et al. 2020, arXiv 1908.03265",
    ),
    OptimizerRecord(
        "adagrad",
        "rates scaled by the sum of squared gradients",
        "torch.optim:Adagrad",
        (
            _lr(1e-2),
            Option("lr_decay", 0.0, "decay of the learning rate with the step", within=_POSITIVE),
            _decay(0.0, _L2),
            Option("initial_accumulator_value", 0.0, "start of the sum of squares", within=_POSITIVE),
            _eps(1e-10),
        ),
        state="1",
        source="Duchi, Hazan, Singer 2011",
    ),
    OptimizerRecord(
        "adadelta",
        "steps scaled by the ratio of past updates to past gradients",
        "torch.optim:Adadelta",
        (_lr(1.0), Option("rho", 0.9, "decay of both averages", within="[0, 1]"), _eps(1e-6), _decay(0.0, _L2)),
        state="2",
        source="Zeiler 2012, arXiv 1212.5701",
    ),
    OptimizerRecord(
        "adamax",
        "Adam with the infinity norm",
        "torch.optim:Adamax",
        (_lr(2e-3), _betas(), _eps(1e-8), _decay(0.0, _L2)),
        state="2",
        source="Kingma, Ba 2015, arXiv 1412.6980",
    ),
    OptimizerRecord(
        "adafactor",
        "Adam with a factored second moment",
        "torch.optim:Adafactor",
        (
            _lr(1e-2),
            Option("beta2_decay", -0.8, "exponent of the second moment's decay", within="(-inf, 0]"),
            Option("eps", (None, 1e-3), "floors of the second moment and of the parameter scale"),
            Option("d", 1.0, "clipping threshold of the update's root mean square", within=_COUNT),
            _decay(0.0, _DECOUPLED),
        ),
        state="rows + columns",
        source="Shazeer, Stern 2018, arXiv 1804.04235",
    ),
    OptimizerRecord(
        "rmsprop",
        "rates scaled by a running mean of squared gradients",
        "torch.optim:RMSprop",
        (
            _lr(1e-2),
            Option("alpha", 0.99, "decay of the mean of squares", within=_POSITIVE),
            _eps(1e-8),
            _decay(0.0, _L2),
            Option("momentum", 0.0, "momentum factor", within=_POSITIVE),
            Option("centered", False, "subtract the mean gradient's square"),
        ),
        state="1 (2 with momentum or centered)",
        source="Tieleman, Hinton 2012",
    ),
    OptimizerRecord(
        "rprop",
        "steps from the signs of successive gradients; meant for full batches",
        "torch.optim:Rprop",
        (
            _lr(1e-2),
            Option("etas", (0.5, 1.2), "factors when the sign flips and when it stays"),
            Option("step_sizes", (1e-6, 50.0), "least and greatest step"),
        ),
        state="2",
        source="Riedmiller, Braun 1993",
    ),
    OptimizerRecord(
        "asgd",
        "stochastic gradient descent with decaying rate and averaged iterates",
        "torch.optim:ASGD",
        (
            _lr(1e-2),
            Option("lambd", 1e-4, "decay term"),
            Option("alpha", 0.75, "power of the rate's decay"),
            Option("t0", 1e6, "step at which averaging starts"),
            _decay(0.0, _L2),
        ),
        state="1",
        source="Polyak, Juditsky 1992",
    ),
    OptimizerRecord(
        "lbfgs",
        "limited-memory BFGS on each mini-batch",
        "torch.optim:LBFGS",
        (
            _lr(1.0),
            Option("max_iter", 20, "iterations per step, each a closure call", within=_COUNT),
            Option("max_eval", None, "closure calls per step, 1.25 max_iter when none", type="int", within=_COUNT),
            Option("tolerance_grad", 1e-7, "stop when the greatest gradient entry is below"),
            Option("tolerance_change", 1e-9, "stop when the step or the loss changes by less"),
            Option("history_size", 100, "pairs kept", within=_COUNT),
            Option("line_search_fn", None, "line search", ("strong_wolfe",), type="str"),
        ),
        kind="closure",
        passes="up to max_eval",
        state="2 history_size + 3",
        source="Liu, Nocedal 1989",
    ),
    OptimizerRecord(
        "muon",
        "orthogonalised momentum for hidden matrices, AdamW for everything else",
        "lehi_cli.optim:MuonAdamW.for_model",
        (
            _lr(1e-3),
            _decay(0.1, _DECOUPLED),
            Option("momentum", 0.95, "momentum of the matrices", within=_POSITIVE),
            Option("nesterov", True, "Nesterov momentum of the matrices"),
            Option("ns_steps", 5, "Newton-Schulz iterations", within=_COUNT),
            Option("adjust_lr_fn", "match_rms_adamw", "scale of the matrices' rate", ("original", "match_rms_adamw")),
            _betas(),
            _eps(1e-8),
        ),
        takes="model",
        state="1 (matrices), 2 (rest)",
        source="Jordan et al. 2024",
        code=("lehi_cli.optim.muon",),
    ),
)


@cache
def load() -> Catalog[OptimizerRecord]:
    """All optimizers: built in, from installed distributions, and from plug-in folders."""
    catalog: Catalog[OptimizerRecord] = Catalog("optimizer")
    for record in BUILT_IN:
        catalog.add(record.name, record, "lehi")
    catalog.add_plugins(GROUP, _read)
    return catalog


def find(catalog: Catalog[OptimizerRecord], name: str) -> OptimizerRecord:
    """The record called `name`, or the one in the Python file of that path."""
    if not name.endswith(".py"):
        return catalog.get(name)
    records = list(_records_in(Path(name)))
    if len(records) != 1:
        raise PluginError(
            f"{name} defines {len(records)} optimizers: a path must name exactly one",
            f"put its folder into {plugins.PLUGIN_FOLDERS} and use their names",
        )
    return records[0]


def _read(plugin: plugins.Plugin) -> Iterator[tuple[str, OptimizerRecord]]:
    loaded = plugin.load()
    if isinstance(loaded, Path):
        records = _records_in(loaded) if loaded.suffix == ".py" else iter(())
    else:
        records = iter([loaded] if isinstance(loaded, OptimizerRecord) else loaded)
    for record in records:
        if not isinstance(record, OptimizerRecord):
            raise PluginError(f"offers {type(record).__name__}, not an OptimizerRecord")
        yield record.name, record


def _records_in(path: Path) -> Iterator[OptimizerRecord]:
    """The records in the list `OPTIMIZERS` of a Python file; their factories may be written `:name`."""
    path = path.absolute()
    for record in getattr(plugins.load_file(path), "OPTIMIZERS", ()):
        if not isinstance(record, OptimizerRecord):
            raise PluginError(f"{path}: OPTIMIZERS holds {type(record).__name__}, not OptimizerRecord")
        yield replace(record, origin=str(path))

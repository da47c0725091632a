"""Runs as plain frozen data, and the grammar in which people write them.

An optimizer is written `name[:key=value]...`, for example `lehi`, `adam:lr=3e-4` or `adamw:betas=0.9/0.95:label=tuned`.
A range such as `lr=1e-5..1e-1/log9` stands for several values. A `RunSpec` holds everything that decides the numbers a
run produces; the hash of its canonical JSON is the run's id, so the same spec is the same run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any
from unicodedata import category

from lehi_cli.errors import UsageError

Value = None | bool | int | float | str | tuple[Any, ...]

MOST_POINTS = 10_000
_NAMED: dict[str, Value] = {"true": True, "false": False, "none": None}
_RANGE = re.compile(r"(?P<low>[^/]+?)\.\.(?P<high>[^/]+)/(?P<scale>log|lin)(?P<count>\d+)")


def parse_value(text: str) -> Value:
    """Read an int, float, `true`, `false`, `none`, a tuple of those such as `0.9/0.95`, or a string such as a path."""
    if "/" in text:
        parts = tuple(parse_value(part) for part in text.split("/"))
        return text if any(isinstance(part, str) for part in parts) else parts
    if text.lower() in _NAMED:
        return _NAMED[text.lower()]
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if not math.isfinite(value):
            raise UsageError(f"{text!r} is not a finite number")
        return value
    return text


def format_value(value: Value) -> str:
    """Write a value in the form that `parse_value` reads, floats in their shortest form."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "/".join(format_value(part) for part in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def parse_values(text: str) -> tuple[Value, ...]:
    """Read a range such as `1e-5..1e-1/log9` or `0.5..2/lin4` as all its values; anything else is one value."""
    if ".." not in text or "../" in text:
        return (parse_value(text),)
    match = _RANGE.fullmatch(text)
    how = "write low..high/logN or low..high/linN, for example 1e-5..1e-1/log9"
    if match is None:
        raise UsageError(f"malformed range {text!r}", how)
    low, high, count = parse_value(match["low"]), parse_value(match["high"]), int(match["count"])
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise UsageError(f"malformed range {text!r}: its ends must be numbers", how)
    if not low < high:
        raise UsageError(f"range {text!r} is empty or reversed", "the lower end comes first")
    if not 2 <= count <= MOST_POINTS:
        raise UsageError(f"range {text!r} needs at least 2 points, and at most {MOST_POINTS}", how)
    if match["scale"] == "lin":
        return tuple(rounded(low + (high - low) * i / (count - 1)) for i in range(count))
    if low <= 0:
        raise UsageError(f"log range {text!r} must stay above zero", "use lin for ranges that reach zero")
    return tuple(rounded(low * (high / low) ** (i / (count - 1))) for i in range(count))


def rounded(value: float) -> float:
    """Round to five digits: 1e-4 from a log range then equals a typed 1e-4, the same run, and tables are readable."""
    return float(f"{value:.5g}")


@dataclass(frozen=True)
class OptimSpec:
    """An optimizer by name with options; `label` is its display name and does not affect what it does."""

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={format_value(value)}" for key, value in sorted(self.options.items()))])


def parse_optimizers(text: str) -> list[OptimSpec]:
    """Read a comma list of optimizers; a range in an option stands for one optimizer per value.

    Raises:
        UsageError: when an item is malformed, or two items are the same or share a label.
    """
    specs = [spec for item in text.split(",") for spec in _parse_optimizer(item.strip())]
    seen: set[str] = set()
    for spec in specs:
        shown = spec.label or str(spec)
        if shown in seen:
            raise UsageError(f"optimizer {shown!r} is given twice", "add label=... to tell two of them apart")
        seen.add(shown)
    return specs


def _parse_optimizer(text: str) -> Iterator[OptimSpec]:
    name, *parts = text.split(":")
    if not name:
        raise UsageError(f"malformed optimizer {text!r}", "write name:key=value:key=value, for example adam:lr=3e-4")
    choices: dict[str, tuple[Value, ...]] = {}
    label = ""
    for part in parts:
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise UsageError(f"malformed option {part!r} in {text!r}", "write key=value, for example lr=3e-4")
        if key in choices or (key == "label" and label):
            raise UsageError(f"option {key!r} is given twice in {text!r}")
        if key == "label":
            if any(category(character) in ("Cc", "Cs") for character in value):
                raise UsageError(f"label {value!r} has a line break or what is no character", "write it without")
            label = value
        else:
            choices[key] = parse_values(value)
    varied = [key for key, values in choices.items() if len(values) > 1]
    for values in itertools.product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        suffix = ":".join(f"{key}={format_value(options[key])}" for key in varied)
        yield OptimSpec(name, options, f"{label}:{suffix}" if label and suffix else label)


@dataclass(frozen=True)
class Budget:
    """How long a run trains: exactly one of epochs, steps, passes (gradient equivalents) or seconds.

    `epoch_passes` stands for as many passes as this number of epochs takes at one gradient per step; an optimizer that
    needs more per step takes fewer steps.
    """

    kind: str
    amount: float

    KINDS = ("epochs", "steps", "passes", "seconds")  # the kinds that people write
    EPOCH_PASSES = "epoch_passes"

    def __post_init__(self) -> None:
        if self.kind not in (*self.KINDS, self.EPOCH_PASSES):
            raise UsageError(f"unknown budget {self.kind!r}", f"one of {', '.join(self.KINDS)}")
        number = isinstance(self.amount, int | float) and not isinstance(self.amount, bool)
        if not number or not math.isfinite(self.amount) or self.amount <= 0:
            raise UsageError(f"budget of {self.amount!r} {self.kind}: must be above zero")
        if self.kind == "steps" and self.amount != int(self.amount):
            raise UsageError(f"budget of {self.amount} steps: must be a whole number")

    @property
    def is_price(self) -> bool:
        """Whether every optimizer gets the same number of passes from it."""
        return self.kind in ("passes", self.EPOCH_PASSES)

    def at_equal_price(self) -> Budget:
        """This budget in passes at one gradient per step; a budget in seconds stays as it is."""
        kind = {"epochs": self.EPOCH_PASSES, "steps": "passes"}.get(self.kind, self.kind)
        return Budget(kind, self.amount)

    def __str__(self) -> str:
        if self.kind == self.EPOCH_PASSES:
            return f"passes of {self.amount:g} epoch{'' if self.amount == 1 else 's'}"
        singular = {"passes": "pass"}.get(self.kind, self.kind.removesuffix("s"))
        return f"{self.amount:g} {singular if self.amount == 1 else self.kind}"


@dataclass(frozen=True)
class Schedule:
    """Learning-rate factor over the budget: linear warm-up over a fraction of it, then the named decay."""

    kind: str = "constant"
    warmup: float = 0.0

    KINDS = ("constant", "linear", "cosine")

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise UsageError(f"unknown schedule {self.kind!r}", f"one of {', '.join(self.KINDS)}")
        if not isinstance(self.warmup, int | float) or not 0 <= self.warmup < 1:
            raise UsageError(f"schedule warmup={self.warmup!r}: must be a fraction in [0, 1) of the budget")

    def factor(self, progress: float) -> float:
        """Factor on the learning rate once the fraction `progress` of the budget is spent.

        Warm-up is `p/w` for `p < w`; then with `r = (p - w)/(1 - w)` it is 1, `1 - r`, or `(1 + cos(pi r))/2`.
        """
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warmup:
            return progress / self.warmup
        rest = (progress - self.warmup) / (1 - self.warmup)
        if self.kind == "linear":
            return 1 - rest
        return (1 + math.cos(math.pi * rest)) / 2 if self.kind == "cosine" else 1.0


@dataclass(frozen=True)
class TaskSpec:
    """A task with every override applied: what is trained on what, for how long, and how it is judged.

    `code` holds a hash for each piece of code that the task runs (data source, model, loss, training loop), covering
    everything that the piece reaches, so that an edited task is another task. `origin` is the file it was read from;
    like `summary`, `threads`, `target`, `optimizers` and `variants` it decides no number and is not part of the run's
    identity. `loss` is a name or an import string, or a mapping that holds it as `kind` beside its options.
    """

    name: str
    summary: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    loss: str | Mapping[str, Any]
    metrics: tuple[str, ...]
    batch_size: int
    budget: Budget
    schedule: Schedule
    evaluations: int
    code: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    target: Mapping[str, float] = field(default_factory=dict)
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    @property
    def loss_kind(self) -> str:
        """The loss's name or import string."""
        return self.loss if isinstance(self.loss, str) else str(self.loss["kind"])

    @property
    def loss_options(self) -> dict[str, Any]:
        """The loss's options."""
        return {} if isinstance(self.loss, str) else {key: self.loss[key] for key in self.loss if key != "kind"}

    def identity(self) -> dict[str, Any]:
        """The part that decides the numbers, as plain data."""
        keys = ("name", "data", "model", "loss", "metrics", "batch_size", "evaluations", "code")
        content = {key: getattr(self, key) for key in keys}
        budget = {self.budget.kind: self.budget.amount}
        return content | {"budget": budget, "schedule": asdict(self.schedule)}


@dataclass(frozen=True)
class RunSpec:
    """One run: a task, an optimizer with all its options filled in, a seed, and the arithmetic.

    `optimizer_code` is the hash of how the optimizer is built and of the code it reaches; `optimizer_origin` is its
    file if it was named by a path. `peers` are the ids of runs that this one is measured against while it trains, so
    that it ends early if it is hopeless; it is empty for a run that always goes to its end. `data_place` is the
    absolute path at which the file that the task's data names was found. Neither is part of the identity.
    """

    task: TaskSpec
    optimizer: OptimSpec
    seed: int
    precision: str = "fp32"
    optimizer_code: str = ""
    optimizer_origin: str = ""
    peers: tuple[str, ...] = ()
    data_place: str = ""

    PRECISIONS = ("fp32", "bf16")

    @property
    def label(self) -> str:
        """The optimizer's display name in tables and plots."""
        return self.optimizer.label or self.optimizer.name

    def identity(self) -> dict[str, Any]:
        """Everything that decides the run's numbers, as plain data."""
        return {
            "task": self.task.identity(),
            "optimizer": {"name": self.optimizer.name, "options": self.optimizer.options, "code": self.optimizer_code},
            "seed": self.seed,
            "precision": self.precision,
        }

    @cached_property
    def run_id(self) -> str:
        """SHA-256 of the canonical JSON of `identity()`: 16 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        """The state without the id: another machine computes its own, which shows whether it is the same run."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def canonical_json(content: Any) -> str:
    """JSON with sorted keys, without blanks, in ASCII: equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=dict)


ADAPTIVE = "auto"
MOST_BY_DEFAULT = 20
MOST_ALLOWED = 1000
MOST_SEEDS = 100_000
LARGEST_SEED = 2**63 - 1  # the largest number that the column in the metrics holds


def parse_adaptive(text: str) -> int | None:
    """Read `--seeds auto` or `auto:40` as the most seeds to use; None if `text` is not of that form.

    Raises:
        UsageError: when the number is not a whole number from 2 to 1000.
    """
    word, colon, number = text.strip().partition(":")
    if word != ADAPTIVE:
        return None
    most = MOST_BY_DEFAULT if not colon else int(number) if number.isdecimal() else 0
    if not 2 <= most <= MOST_ALLOWED:
        how = f"write auto for up to {MOST_BY_DEFAULT} seeds, or auto:N with N from 2 to {MOST_ALLOWED}"
        raise UsageError(f"seeds {text!r}: malformed", how)
    return most


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read `--seeds`: a count `5` means seeds 0 to 4; a list `3,7,11` means these seeds."""
    if parse_adaptive(text) is not None:
        raise UsageError(f"seeds {text!r} adds seeds until a comparison is settled", "only lehi compare does; give 5")
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"malformed seeds {text!r}", "write a count such as 5, or a list such as 0,1,2") from None
    is_list = "," in text
    low, high = (0, LARGEST_SEED) if is_list else (1, MOST_SEEDS)
    if not numbers or min(numbers) < low or max(numbers) > high:
        allowed = f"a count from 1 to {MOST_SEEDS}, or a list of seeds from 0 to {LARGEST_SEED}"
        raise UsageError(f"seeds {text!r}: must be {allowed}")
    seeds = numbers if is_list else list(range(numbers[0]))
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds {text!r}: a seed is given twice")
    return tuple(seeds)

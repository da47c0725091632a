"""The settings of a sweep: grids of given values, and spaces from which trials are drawn.

A grid axis is written `lr=1e-5..1e-1/log9` or `factor=rademacher,sampled`; a dimension of a space is written
`lr=1e-5..1e-1/log`, `theta=0..1/lin`, `curvature_every=1..20/int` or `hybrid=mix,max`. Either may apply to one
optimizer only, as in `lehi.clip=0.5..2/lin4`; without a name it applies to all.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lehi_cli.errors import UsageError, did_you_mean
from lehi_cli.runs.specs import OptimSpec, Value, format_value, parse_value, parse_values, rounded

SCALES = ("log", "lin", "int")
SAMPLERS = ("sobol", "random", "tpe")
_INTERVAL = re.compile(r"(?P<low>[^/]+?)\.\.(?P<high>[^/]+)/(?P<scale>[a-z]+)")
_HOW = "write low..high/log, low..high/lin, low..high/int, or values with commas"


@dataclass(frozen=True)
class Dimension:
    """One option to be searched: an interval on a scale, or a choice among values."""

    name: str
    low: float = 0.0
    high: float = 0.0
    scale: str = ""
    choices: tuple[Value, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return ",".join(map(format_value, self.choices))
        return f"{format_value(self.low)}..{format_value(self.high)}/{self.scale}"

    def position(self, value: float) -> float:
        """The position of a number between the ends, on the dimension's own scale: 0 at the lower, 1 at the upper."""
        low, high, at = (math.log(x) if self.scale == "log" else x for x in (self.low, self.high, value))
        return (at - low) / (high - low)

    def widened(self, upwards: bool) -> Dimension:
        """The dimension with two more decades at one end, or twice as long if it is linear."""
        if self.scale == "log":
            return replace(self, high=self.high * 100) if upwards else replace(self, low=self.low / 100)
        width = self.high - self.low
        return replace(self, high=self.high + width) if upwards else replace(self, low=self.low - width)


@dataclass(frozen=True)
class Axis:
    """The values of one option on a grid; `only` names the optimizer it applies to, empty for all."""

    name: str
    values: tuple[Value, ...]
    only: str = ""


def parse_axes(texts: Iterable[str]) -> list[Axis]:
    """Read `--over`.

    Raises:
        UsageError: when anything is malformed, an axis is a single value, or an option is given twice.
    """
    axes = []
    for only, name, text in _read(texts, "--over"):
        values = tuple(value for part in text.split(",") for value in parse_values(part))
        if len(set(map(format_value, values))) < len(values):
            raise UsageError(f"--over {name}={text}: a value is given twice")
        if len(values) < 2:
            raise UsageError(f"--over {name}={text} is a single value", f"write it as optimizer:{name}={text}")
        axes.append(Axis(name, values, only))
    return axes


def parse_space(texts: Iterable[str]) -> dict[tuple[str, str], Dimension]:
    """Read `--space`: dimensions by (optimizer or empty, option).

    Raises:
        UsageError: when anything is malformed, or an option is given twice.
    """
    return {(only, name): dimension(name, text) for only, name, text in _read(texts, "--space")}


def dimension(name: str, text: str) -> Dimension:
    """Read one dimension of a space, such as `1e-5..1e-1/log`.

    Raises:
        UsageError: when the range is malformed, empty, reversed, or logarithmic through zero.
    """
    if ".." not in text:
        choices = tuple(parse_value(part) for part in text.split(","))
        if len(choices) < 2:
            raise UsageError(f"space {name}={text} leaves nothing to choose", _HOW)
        return Dimension(name, choices=choices)
    match = _INTERVAL.fullmatch(text)
    if match is None or match["scale"] not in SCALES:
        raise UsageError(f"malformed space {name}={text}", _HOW)
    low, high = parse_value(match["low"]), parse_value(match["high"])
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise UsageError(f"malformed space {name}={text}: its ends must be numbers", _HOW)
    if not low < high:
        raise UsageError(f"space {name}={text} is empty or reversed", "the lower end comes first")
    if match["scale"] == "log" and low <= 0:
        raise UsageError(f"log space {name}={text} must stay above zero", "use lin for ranges that reach zero")
    return Dimension(name, low, high, match["scale"])


def _read(texts: Iterable[str], flag: str) -> Iterator[tuple[str, str, str]]:
    """(optimizer or empty, option, values) of each `[optimizer.]option=values`."""
    seen: set[tuple[str, str]] = set()
    for text in texts:
        target, equals, values = text.partition("=")
        only, _, name = target.rpartition(".")
        if not (name and equals and values):
            raise UsageError(f"malformed {flag} {text!r}", "write option=values, for example lr=1e-5..1e-1/log9")
        if name == "label":
            raise UsageError(f"{flag} {text!r}: a label is a display name", "there is nothing to search in it")
        if (only, name) in seen:
            raise UsageError(f"{flag} {target} is given twice")
        seen.add((only, name))
        yield only, name, values


def check_names(flag: str, named: Iterable[tuple[str, str]], specs: Sequence[OptimSpec]) -> None:
    """Check that each (optimizer or empty, option) applies to an existing optimizer, by name or by label.

    Raises:
        UsageError: with the nearest match and the list.
    """
    known = list(filter(None, dict.fromkeys(name for spec in specs for name in (spec.name, spec.label))))
    for only, option in named:
        if only and only not in known:
            raise UsageError(
                f"{flag} {only}.{option}: no optimizer {only!r} here{did_you_mean(only, known)}",
                f"known: {', '.join(known)}",
            )


def grid(spec: OptimSpec, axes: Sequence[Axis]) -> list[OptimSpec]:
    """Every combination of the axes that apply to `spec`, each as its own optimizer.

    Raises:
        UsageError: when `spec` already fixes one of the options.
    """
    mine = [axis for axis in axes if axis.only in ("", spec.name, spec.label)]
    _refuse_fixed(spec, [axis.name for axis in mine])
    combinations = itertools.product(*(axis.values for axis in mine))
    return [_with(spec, dict(zip([axis.name for axis in mine], values, strict=True))) for values in combinations]


def _refuse_fixed(spec: OptimSpec, names: Iterable[str]) -> None:
    for name in names:
        if name in spec.options:
            raise UsageError(f"{spec} already says what {name} is", f"leave {name} out of one of the two")


def _with(spec: OptimSpec, options: Mapping[str, Value]) -> OptimSpec:
    suffix = ":".join(f"{name}={format_value(value)}" for name, value in options.items())
    label = f"{spec.label}:{suffix}" if spec.label and suffix else spec.label
    return OptimSpec(spec.name, {**spec.options, **options}, label)


class Search:
    """Trials drawn from a space by one of Optuna's samplers; the same seed draws the same trials.

    Args:
        spec: the optimizer; its options are kept in every trial.
        space: the dimensions, without those that are already fixed.
        sampler: `sobol` (scrambled quasi-random), `random`, or `tpe`, which learns from the results it is told.
        seed: seed of the sampler.

    Raises:
        UsageError: for an empty space.
    """

    def __init__(self, spec: OptimSpec, space: Sequence[Dimension], sampler: str, seed: int):
        if not space:
            raise UsageError(f"there is nothing to tune in {spec}", "name a space with --space option=low..high/log")
        import optuna  # here, because nothing else needs its second of import time

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.spec = spec
        self.space = list(space)
        self._distributions = {item.name: _distribution(item) for item in space}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(sampler=_sampler(sampler, seed))
        self._open: dict[str, Any] = {}

    def ask(self) -> OptimSpec:
        """The next trial: the optimizer with the drawn options; a setting drawn before is drawn again."""
        for _ in range(100):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scipy's note that N is not a power of two
                trial = self._study.ask(self._distributions)
            drawn = _with(self.spec, {item.name: _value(item, trial.params[item.name]) for item in self.space})
            if str(drawn) not in self._open:
                self._open[str(drawn)] = trial
                return drawn
            self._study.tell(trial, math.inf)
        raise UsageError(f"the space of {self.spec} has no further point to try", "ask for fewer trials, or widen it")

    def tell(self, drawn: OptimSpec, value: float) -> None:
        """Take the result of a trial; a diverged one counts as infinite."""
        self._study.tell(self._open[str(drawn)], value if math.isfinite(value) else math.inf)


def _value(item: Dimension, drawn: Any) -> Value:
    """Optuna's draw as a value of the option."""
    if item.choices:
        return parse_value(drawn)
    return int(drawn) if item.scale == "int" else rounded(drawn)


def _distribution(item: Dimension) -> Any:
    from optuna import distributions

    if item.choices:
        return distributions.CategoricalDistribution(list(map(format_value, item.choices)))  # Optuna rejects tuples
    if item.scale == "int":
        return distributions.IntDistribution(int(item.low), int(item.high))
    return distributions.FloatDistribution(item.low, item.high, log=item.scale == "log")


def _sampler(name: str, seed: int) -> Any:
    from optuna import samplers

    if name == "sobol":
        return samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
    return samplers.RandomSampler(seed=seed) if name == "random" else samplers.TPESampler(seed=seed)

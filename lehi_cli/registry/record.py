"""What is known about an optimizer without importing it: its record and its options."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lehi_cli.errors import PluginError, UsageError, did_you_mean
from lehi_cli.runs.specs import OptimSpec, Value, canonical_json, format_value, parse_value

from .code import code_hash, first_name

KINDS = ("gradient", "curvature", "closure", "loss", "differentiable", "whole")


@dataclass(frozen=True)
class Option:
    """One option of an optimizer.

    Attributes:
        name: its name in `name:key=value` and in the constructor.
        default: the value if none is given; it fixes the type unless `type` does.
        help: its meaning, in one line.
        choices: the allowed values, if they are few.
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

    def allows(self, number: float) -> bool:
        """Whether a number lies in the allowed interval."""
        return _inside(number, self.within)

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the allowed interval."""
        return _ends(self.within) if self.within else (-math.inf, math.inf)

    @property
    def shown_default(self) -> str:
        """The default as it would be typed."""
        return format_value(self.default)


def _typed(value: Any) -> Value:
    """A value from YAML, where 1e-3 may be text and pairs are lists."""
    return parse_value(value) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ends(interval: str) -> tuple[float, float]:
    low, high = (float(end) for end in interval[1:-1].split(","))
    return low, high


def _inside(value: Any, interval: str) -> bool:
    """Whether a number lies in an interval written as `[0, 1)`; an empty one has no bounds."""
    if not interval:
        return True
    low, high = _ends(interval)
    above = value >= low if interval[0] == "[" else value > low
    return bool(above and (value <= high if interval[-1] == "]" else value < high))


@dataclass(frozen=True)
class OptimizerRecord:
    """What is known about an optimizer without importing it.

    Attributes:
        name: as users write it.
        summary: one line.
        factory: import string of what builds it from a model's parameters, `module:name`.
        options: its options; unknown keys are refused.
        fixed: arguments that define the variant, such as `amsgrad=True`.
        kind: how the training loop drives it, one of `KINDS`.
        takes: what the factory's first argument is, `parameters` or `model`.
        passes: gradient equivalents per step, in words.
        state: state per parameter, in copies of the parameters.
        source: where the method was published.
        formula: the update rule, in a few lines of plain text.
        space: where to look for good options: by name, a range such as `1e-5..1e-1/log` or a comma list of values.
        needs: what it must be given besides its options: only `total_steps`, the number of steps of the run, exists.
        modes: whether it has `train()` and `eval()`, because it evaluates other weights than it trains.
        draws: whether it draws from torch's global random numbers.
        notice: what a user should know before relying on it.
        origin: the file it was read from; empty for none.
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
        """Hash of everything besides its options that decides its numbers: its source, and how it is driven.

        Raises:
            PluginError: when there is no such source.
        """
        driven = [first_name(self.factory), self.fixed, self.kind, self.takes, self.needs, self.modes, self.draws]
        content = canonical_json([code_hash(self.factory, self.origin), *driven])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

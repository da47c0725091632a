"""Whether the options are what the record says: accepted, of that type, and refused where they make no sense."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from lehi_cli.errors import UsageError
from lehi_cli.registry.record import Option
from lehi_cli.runs.specs import Value, format_value

from .candidate import Candidate
from .findings import NotAskedError, in_words, require
from .problems import equal, small

STEPS = 6
_LEVELS = (0.5, 1.0, 2.0, 0.01, 0.0)  # tried where the default does not tell what else is possible
_COUNTS = (1000, 2, 1)


def accepted(candidate: Candidate) -> str:
    """Each option takes values other than its default; the finding says which options change the first steps.

    Of an option without help only the signature is known, which does not say what its values depend on: a `ValueError`
    is then an answer too.
    """
    usual = _trained(candidate, {})
    seen: dict[str, list[str]] = {"changed": [], "unchanged": [], "untried": []}
    refused = []
    for option in candidate.record.options:
        values = list(other_values(option))
        changed = False
        for value in values:
            try:
                changed |= not equal(usual, _trained(candidate, {option.name: value}))
            except Exception as error:  # whatever the constructor or the step raises
                if not option.help and isinstance(error, ValueError):
                    continue
                refused.append(f"{option.name}={format_value(value)}: {in_words(error)}")
        seen["changed" if changed else "unchanged" if values else "untried"].append(option.name)
    require(not refused, "; ".join(refused))
    return _told(seen)


def other_values(option: Option) -> Iterator[Value]:
    """Values that the option allows besides its default: all its choices, or one near the default."""
    if option.choices:
        yield from (value for value in option.choices if value != option.default)
        return
    for value in _candidates(option):
        if value != option.default and _allows(option, value):
            yield value
            return


def refused(candidate: Candidate) -> str:
    """Text for a number, numbers out of bounds and a negative rate are refused, by the record or the constructor."""
    wrong = [(option, value) for option in candidate.record.options for value in _wrong_values(option)]
    if not wrong:
        raise NotAskedError("no option has a value that is clearly wrong")
    for option, value in wrong:
        shown = f"{option.name}={format_value(value)}"
        require(
            not _is_taken(candidate, option, value), f"{shown} is accepted: state the bounds with within='[0, inf)'"
        )
    return f"{len(wrong)} wrong values, such as {wrong[0][0].name}={format_value(wrong[0][1])}"


def _trained(candidate: Candidate, changes: dict[str, Any]) -> list[Tensor]:
    """The weights after a few steps with some options changed."""
    problem = small()
    candidate.train(problem, candidate.on(problem, **changes), STEPS)
    return problem.weights()


def _told(seen: dict[str, list[str]]) -> str:
    words = {
        "changed": f"{{}} changed the first {STEPS} steps",
        "unchanged": "{} made no difference there",
        "untried": "not tried: {}",
    }
    return "; ".join(words[how].format(", ".join(names)) for how, names in seen.items() if names) or "it has none"


def _candidates(option: Option) -> Iterator[Value]:
    default = option.default
    if isinstance(default, bool):
        yield not default
    elif isinstance(default, tuple):
        yield tuple(None if part is None else part * 0.9 for part in default)
    elif isinstance(default, int | float):
        yield from (default / 2, *_LEVELS) if isinstance(default, float) else (default + 1, default - 1)
    elif default is None:
        yield from {"bool": (True, False), "int": _COUNTS, "float": _LEVELS}.get(option.type, ())


def _allows(option: Option, value: Value) -> bool:
    try:
        option.check(value, "")
    except UsageError:
        return False
    return True


def _wrong_values(option: Option) -> Iterator[Value]:
    kind = option.type or type(option.default).__name__
    if option.choices or kind != "str":
        yield "nonsense"
    outside = [-1.0] if option.name == "lr" else []
    if option.within:
        low, high = option.bounds
        outside = [end for end in (low - 1, high + 1) if math.isfinite(end)]
    for value in outside:
        yield (value,) * len(option.default) if isinstance(option.default, tuple) else value


def _is_taken(candidate: Candidate, option: Option, value: Value) -> bool:
    """Whether neither the record nor the constructor nor the first step refuses it."""
    if not _allows(option, value):
        return False
    problem = small()
    try:
        candidate.train(problem, candidate.on(problem, **{option.name: value}), 1)
    except Exception:  # refused, as it should be
        return False
    return True

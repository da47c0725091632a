"""What the functions that train can be told, as keyword arguments, and the application's options made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.experiment.options import RunOptions
from lehi_cli.runs.specs import format_value

Seeds = int | str | Sequence[int]


class Options(TypedDict, total=False):
    """Keyword arguments of `train`, `sweep` and `compare`; `lehi_cli.experiment.options.RunOptions` has their meaning.

    `overrides` is a mapping such as `{"model.hidden": (256, 256)}`, or texts `key=value`.
    """

    overrides: Mapping[str, Any] | Sequence[str]
    epochs: float
    steps: int
    passes: float
    seconds: float
    device: str
    precision: str
    jobs: int
    executor: str
    threads: int
    ray_address: str
    runs: str | PathLike[str]
    data_dir: str | PathLike[str]
    fake_data: bool
    x: str
    smoke: bool
    no_cache: bool


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """The application's options.

    Raises:
        UnknownNameError: on one that there is not.
        UsageError: on one that is not of its type.
    """
    known = [item.name for item in fields(RunOptions)]
    for name in given:
        if name not in known:
            raise UnknownNameError("option", name, known)
    options = dict(given)
    for name in ("runs", "data_dir"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    if "overrides" in options:
        options["overrides"] = _overrides(options["overrides"])
    for name, kinds in _KINDS.items():
        if options.get(name) is not None and (type(options[name]) not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise UsageError(f"{name}={options[name]!r} is not allowed", f"a value of type {wanted}")
    return RunOptions(**options)


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("epochs", "passes", "seconds"), (float, int)),
    **dict.fromkeys(("steps", "jobs", "threads"), (int,)),
    **dict.fromkeys(("device", "precision", "executor", "ray_address", "x"), (str,)),
    **dict.fromkeys(("fake_data", "smoke", "no_cache"), (bool,)),
}


def _overrides(given: Any) -> list[str]:
    """Changes to the task as they are typed."""
    if isinstance(given, Mapping):
        return [f"{key}={format_value(value)}" for key, value in given.items()]
    return texts(given, "overrides")


def texts(given: Any, name: str) -> list[str]:
    """One text or several, as a list.

    Raises:
        UsageError: when it is neither.
    """
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, Iterable) or not all(isinstance(text, str) for text in found):
        raise UsageError(f"{name}={given!r} is not allowed", "a text, or a list of texts")
    return list(found)


def typed_seeds(seeds: Seeds) -> str:
    """Seeds as they are typed: a count, or a list."""
    if isinstance(seeds, str):
        return seeds
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        return str(seeds)
    if isinstance(seeds, Sequence | range) and all(isinstance(seed, int) for seed in seeds):
        return "".join(f"{seed}," for seed in seeds)
    raise UsageError(f"seeds={seeds!r} is not allowed", "a count such as 5, a list such as [3, 7, 11], or 'auto'")

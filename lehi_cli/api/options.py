"""Keyword arguments of the functions that train, checked, and the application's options made of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.experiment.choices import DEFAULT_RUNS
from lehi_cli.experiment.options import RunOptions
from lehi_cli.runs.specs import format_value

Seeds = int | str | Sequence[int]
RUNS_VARIABLE = "LEHI_RUNS"


class Options(TypedDict, total=False):
    """Keyword arguments that `train`, `sweep` and `compare` share; each has the meaning it has on the command line.

    Attributes:
        overrides: changes to the task: a mapping such as `{"model.hidden": (256, 256)}`, or texts `key=value`.
        epochs: budget in passes over the training split.
        steps: budget in optimizer steps.
        passes: budget in gradient equivalents: the same compute for all.
        seconds: budget in seconds of training.
        device: `auto` (the default), `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `fp32` (the default), or `bf16` for the forward pass under autocast.
        jobs: runs at a time, each in a process of its own; 1 by default.
        executor: `auto` (the default), `serial`, `pool`, `ray`, or `mock`: made-up results, to try out a plan.
        threads: torch threads of a large task's run; by default the cores divided by the jobs.
        ray_address: Ray cluster as `host:port`; `auto` for the one here, or a new one.
        runs: folder of the runs; by default that of the environment variable `LEHI_RUNS`, else `runs`.
        data_dir: folder of the data sets; by default that of `LEHI_DATA`, else one in the user's cache folder.
        fake_data: synthetic data of the same shape; marked in all that is shown.
        x: what curves are drawn against: `passes` (the default), `steps` or `seconds`.
        smoke: a few steps, one seed, fake data where the real is not at hand.
        no_cache: train again what the run folder already has.
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


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("epochs", "passes", "seconds"), (float, int)),
    **dict.fromkeys(("steps", "jobs", "threads", "tune", "trials"), (int,)),
    **dict.fromkeys(("device", "precision", "executor", "ray_address", "x"), (str,)),
    **dict.fromkeys(("sampler", "reference", "target"), (str,)),
    **dict.fromkeys(("comparison", "label", "status", "since", "until", "role"), (str,)),
    **dict.fromkeys(("metric", "split", "by", "best_by"), (str,)),
    **dict.fromkeys(("fake_data", "smoke", "no_cache", "prune", "cost", "allow_diverged"), (bool,)),
    "margin": (float, int, str),
}
"""Of which types a value may be; None, where there is a default, is one more."""


def check_kinds(given: Mapping[str, Any]) -> None:
    """Check the types of arguments.

    Raises:
        UsageError: naming the argument, its value, and what it may be.
    """
    for name, value in given.items():
        kinds = _KINDS.get(name, ())
        is_one = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if kinds and value is not None and not is_one:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise UsageError(f"{name}={value!r} is not allowed", f"{name} takes a value of type {wanted}")


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """The application's options; one that is None has its default.

    Raises:
        UnknownNameError: on an unknown name.
        UsageError: on a value of the wrong type.
    """
    known = [item.name for item in fields(RunOptions)]
    for name in given:
        if name not in known:
            raise UnknownNameError("option", name, known)
    check_kinds(given)
    options = {name: value for name, value in given.items() if value is not None}
    options["runs"] = runs_folder(options.get("runs"))
    if "data_dir" in options:
        options["data_dir"] = path_of(options["data_dir"], "data_dir")
    for name in ("epochs", "passes", "seconds"):  # 30 and 30.0 are one budget, and so one run
        if name in options:
            options[name] = float(options[name])
    if "overrides" in options:
        options["overrides"] = _overrides(options["overrides"])
    return RunOptions(**options)


def runs_folder(given: str | PathLike[str] | None) -> Path:
    """The folder of the runs: the one given, that of `LEHI_RUNS`, or `runs`."""
    return path_of(os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS if given is None else given, "runs")


def path_of(given: Any, name: str) -> Path:
    """A path.

    Raises:
        UsageError: when it is neither text nor a path.
    """
    if not isinstance(given, str | PathLike):
        raise UsageError(f"{name}={given!r} is not allowed", f"{name} takes a path")
    return Path(given)


def _overrides(given: Any) -> list[str]:
    """Changes to the task as they are typed."""
    if isinstance(given, Mapping):
        return [f"{key}={_typed(key, value)}" for key, value in given.items()]
    return texts(given, "overrides")


def _typed(key: str, value: Any) -> str:
    """A value as it is typed; a float keeps every digit and stays a float.

    Raises:
        UsageError: when it cannot be typed.
    """
    if isinstance(value, list | tuple) and value:
        return "/".join(_typed(key, part) for part in value)
    if isinstance(value, float):
        return float.__repr__(value)
    if value is None or isinstance(value, bool | int | str):
        return format_value(value)
    how = "a number, a text, true or false, None, or a list of these"
    raise UsageError(f"overrides: {key}={value!r} is not allowed", how)


def texts(given: Any, name: str) -> list[str]:
    """One text or several, as a list.

    Raises:
        UsageError: when it is neither.
    """
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, Iterable) or isinstance(found, bytes | Mapping):
        raise UsageError(f"{name}={given!r} is not allowed", f"{name} takes a text, or a list of texts")
    found = list(found)
    if not all(isinstance(text, str) for text in found):
        raise UsageError(f"{name}={given!r} is not allowed", f"{name} takes a text, or a list of texts")
    return found


def typed_seeds(seeds: Seeds) -> str:
    """Seeds as they are typed: a count, or a list.

    Raises:
        UsageError: when they are of another type.
    """
    if isinstance(seeds, str):
        return seeds
    if isinstance(seeds, int | float) and not isinstance(seeds, bool):
        return str(seeds)
    if isinstance(seeds, Sequence) and seeds and all(type(seed) is int for seed in seeds):
        return ",".join(map(str, seeds)) + ","
    raise UsageError(f"seeds={seeds!r} is not allowed", "a count such as 5, a list such as [3, 7, 11], or 'auto'")

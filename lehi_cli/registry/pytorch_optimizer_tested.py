"""The version of pytorch-optimizer that the rules of `pytorch_optimizer_names` were tested with, and what they gave.

The table `pytorch_optimizer_tested.json` is written by `tools/tested_pytorch_optimizer.py`, which trains with every
optimizer of the installed version that is not refused, and has one entry for each name that the package offers:

    {"version": "4.1.0", "optimizers": {"Yogi": {"kind": "gradient", "takes": "parameters", "modes": false},
                                        "LOMO": {"refused": "updates the weights during the backward pass ..."}}}

The table decides nothing: another version is driven by the same rules, and its user is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.resources import files
from typing import Any

DISTRIBUTION = "pytorch-optimizer"
TABLE = "pytorch_optimizer_tested.json"


@dataclass(frozen=True)
class Tested:
    """The tested version and its optimizers.

    Attributes:
        version: version of the package.
        optimizers: how each is driven, by name, or `{"refused": reason}`.
    """

    version: str
    optimizers: Mapping[str, Mapping[str, Any]]


@cache
def tested() -> Tested:
    """The table that comes with this package."""
    return Tested(**json.loads(files(__package__).joinpath(TABLE).read_text(encoding="utf-8")))


def installed() -> str:
    """The installed version of the package; `of unknown version` if its metadata is missing."""
    try:
        return installed_version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of unknown version"


def notice(name: str, driven: Mapping[str, Any]) -> str:
    """The notice for an optimizer of a version that was not tested; empty for one that was.

    Args:
        name: name without `po.`.
        driven: how the rules say it must be driven.
    """
    found, known = installed(), tested()
    if found == known.version:
        return ""
    then = known.optimizers.get(name)
    compared = (
        f"{name} was not in it"
        if then is None
        else "the rules gave the same for it"
        if then == driven
        else f"the rules gave {_words(then)} for it, and now give {_words(driven)}"
    )
    return f"{DISTRIBUTION} {found} was not tested, {known.version} was: {compared}; try lehi optims check po.{name}"


def _words(driven: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in driven.items())

"""The environment of a run: everything that may explain a difference between two runs of one spec."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from lehi_cli.errors import UsageError
from lehi_cli.version import __version__


def pick_device(name: str) -> str:
    """The device to train on: `auto` takes a GPU if there is one.

    Raises:
        UsageError: when the device is unknown or missing.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", "one of auto, cpu, cuda, cuda:1, mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in count:
        raise UsageError(f"unsupported device {name!r}", "one of auto, cpu, cuda, cuda:1, mps")
    if (device.index or 0) >= count[device.type]:
        found = f"{count[device.type]} of its kind found" if count[device.type] else "none of its kind found"
        raise UsageError(f"device {name!r} is not there: {found}", "try --device auto, or --device cpu")
    return name


def environment(device: str) -> dict[str, Any]:
    """Device, threads and versions, recorded with every run."""
    return {"device": device, "device_name": _device_name(device), "threads": torch.get_num_threads(), **_software()}


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()


@cache
def _software() -> dict[str, str]:
    return {
        "lehi": __version__,
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }

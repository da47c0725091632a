"""Where runs are trained, as plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A device, and the folder that data sets are read from."""

    device: str
    data: Path

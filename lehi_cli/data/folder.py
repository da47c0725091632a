"""Where data sets are on disk."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_VARIABLE = "LEHI_DATA"


def data_folder(given: Path | None = None) -> Path:
    """The folder of downloaded data sets: the given one, or `LEHI_DATA`, or one in the user's cache folder."""
    if given is not None:
        return given
    variable = os.environ.get(DATA_VARIABLE)
    return Path(variable) if variable else Path(platformdirs.user_cache_dir("lehi")) / "data"

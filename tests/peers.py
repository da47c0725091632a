"""Other packages that compute the same, where they are installed: the tests do not need them."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """The module, or a skip that names it; warnings at its import are none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: ModuleType = pytest.importorskip(name, reason=f"{name} is not installed", exc_type=ImportError)
    return module

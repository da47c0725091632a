"""Files that appear all at once or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False, default=dict), encoding="utf-8")


class replacing:  # noqa: N801  (reads as a verb where it is used)
    """A temporary path beside `path` that takes its place if the block succeeds."""

    def __init__(self, path: Path):
        self._path = path
        self._temporary = path.with_name(f".{path.name}-{uuid4().hex}")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)

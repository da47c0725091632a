"""Stores that the real command filled, to be read by many tests, and what its documents say."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Result

from lehi_cli.cli import main

Lehi = Callable[..., Result]


def fill(root: Path, *arguments: str) -> Path:
    """Run a command that trains on the store in `root`, which must go well; returns `root`."""
    torch.set_num_threads(1)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main([*arguments, "--runs", str(root), "--quiet"])
    assert not ended.value.code, said.getvalue()
    return root


def change(root: Path, edit: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Edit the `run.json` of every run, as another version of the program or a crash would leave it."""
    for path in sorted(root.glob("*/run.json")):
        state = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(edit(state) or state), encoding="utf-8")


def document(result: Result) -> dict[str, Any]:
    """The JSON document of a command; NaN and infinity, which are no JSON, fail."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(result.out, parse_constant=refuse)
    return found


def labels(result: Result) -> list[list[str]]:
    """The labels of each section of a JSON document, best first."""
    return [[series["label"] for series in section["series"]] for section in document(result)["sections"]]


def rows(text: str, heading: str = "optimizer") -> list[list[str]]:
    """The cells below the first piped table whose first column is `heading`."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(f"| {heading} "))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found

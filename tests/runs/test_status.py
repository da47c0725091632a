"""How runs end: one list of words, and the groups they fall into."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import lehi_cli
from lehi_cli.runs.status import DONE, ENDED, FAILED, UNFINISHED, Status


def test_every_status_is_in_the_groups_it_belongs_to() -> None:
    assert set(Status) == {Status.PLANNED, Status.RUNNING} | ENDED
    assert DONE | FAILED | {Status.PRUNED} == ENDED
    assert not DONE & FAILED
    assert set(Status) - ENDED < UNFINISHED
    assert Status.OK not in UNFINISHED


def test_in_files_and_in_words_a_status_is_plain_text() -> None:
    assert json.dumps({"status": Status.OOM}, indent=1) == '{\n "status": "oom"\n}'
    assert f"{Status.OK}" == "ok"
    assert Status("killed") is Status.KILLED


def test_nothing_compares_a_status_with_a_literal() -> None:
    for path in Path(lehi_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                texts = {side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)}
                assert not texts & set(Status), f"{path}, line {node.lineno}: use Status"

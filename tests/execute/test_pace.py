"""Rows of a run under way are written often enough to be watched, and seldom enough to cost nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from cases import runs_of

from lehi_cli.execute import pace, worker
from lehi_cli.execute.pace import LEAST, Pace
from lehi_cli.execute.place import Place
from lehi_cli.runs.store import Store


class Clock:
    """A time that is set by hand."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def writes(length: float, apart: float) -> list[float]:
    """When a run writes that asks so often for so long."""
    clock = Clock()
    own = Pace(clock)
    found = []
    for i in range(1, math.floor(length / apart) + 1):
        clock.seconds = 100.0 + i * apart
        if own.due():
            found.append(i * apart)
    return found


def test_a_short_run_writes_at_its_end_alone() -> None:
    assert writes(LEAST - 0.01, 0.01) == []


def test_a_run_writes_every_other_second_at_first_and_seldom_later() -> None:
    assert writes(10, 0.5) == [2, 4, 6, 8, 10]
    assert len(writes(40, 0.25)) == 20
    assert len(writes(3600, 0.5)) < 120
    assert len(writes(7 * 24 * 3600, 60)) < 240


def test_a_run_that_has_nothing_to_write_for_long_writes_when_it_has() -> None:
    assert writes(3000, 600) == [600, 1200, 1800, 2400, 3000]


def test_what_was_written_so_far_is_seen_and_the_same_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = runs_of("adam")
    place, seen = Place("cpu", tmp_path / "data", 1), list[int]()

    def trained(root: Path, pulse: Any) -> list[list[float]]:
        store = Store(root)
        assert worker.execute(run, place, store, lambda: None, pulse) == ("ok", "")
        found = store.find(run.run_id)
        assert found is not None
        return store.metrics(found).columns("val", "loss", ("step", "loss", "accuracy"))

    def look(_: object) -> None:
        store = Store(tmp_path / "often")
        found = store.find(run.run_id)
        assert found is not None
        assert found.status == "running"
        seen.append(len(store.metrics(found).curve("val", "loss")[0]))

    whole = trained(tmp_path / "once", lambda _: None)
    monkeypatch.setattr(pace, "LEAST", 0.0)
    monkeypatch.setattr(pace, "SHARE", 0.0)
    assert trained(tmp_path / "often", look) == whole
    assert max(seen) > 1
    assert len(list(tmp_path.glob("often/*/metrics-*.parquet"))) > 10

"""What `tools/unchanged.py` takes for the same, and what it does not."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("unchanged_texts")


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("unchanged_versions")


def run(store: Path, losses: list[float], **state: object) -> None:
    """One run, with a row per loss."""
    folder = store / "1a2b"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": "ok", "started": "2026-01-01", **state}))
    pq.write_table(pa.table({"loss": losses, "seconds": [0.5] * len(losses)}), folder / "metrics-0000.parquet")


def test_the_time_of_a_run_does_not_count(texts: ModuleType, tmp_path: Path) -> None:
    run(tmp_path / "a" / "store", [0.5, float("nan")], outcome={"seconds": 1.0, "steps": 3})
    run(tmp_path / "b" / "store", [0.5, float("nan")], outcome={"seconds": 2.0, "steps": 3}, started="2026-02-02")
    assert texts.stored(tmp_path / "a" / "store") == texts.stored(tmp_path / "b" / "store")


@pytest.mark.parametrize(
    ("losses", "state", "file"),
    [
        ([0.1 + 0.2], {}, "metrics-0000.parquet"),  # one bit off
        ([0.3, 0.3], {}, "metrics-0000.parquet"),
        ([0.3], {"status": "diverged"}, "run.json"),
        ([0.3], {"finished": "2026-01-01"}, "run.json"),  # that it is there counts
    ],
)
def test_everything_else_of_a_run_counts(
    texts: ModuleType, tmp_path: Path, losses: list[float], state: dict[str, str], file: str
) -> None:
    run(tmp_path / "a" / "store", [0.3])
    run(tmp_path / "b" / "store", losses, **state)
    found = texts.differences(*(texts.stored(tmp_path / side / "store") for side in "ab"))
    assert list(found) == [f"store/1a2b/{file}"]


def test_the_type_of_a_column_counts(texts: ModuleType, tmp_path: Path) -> None:
    for name, kind in (("a", pa.float64()), ("b", pa.float32())):
        pq.write_table(pa.table({"loss": pa.array([0.5], kind)}), tmp_path / f"{name}.parquet")
    assert texts.content(tmp_path / "a.parquet") != texts.content(tmp_path / "b.parquet")


def test_how_many_steps_count_but_for_a_measured_price(texts: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".costs").mkdir()
    for folder in (tmp_path, tmp_path / ".costs"):
        for steps in (1, 2):
            (folder / f"{steps}.json").write_text(json.dumps({"steps": steps}))
    assert texts.content(tmp_path / "1.json") != texts.content(tmp_path / "2.json")
    assert texts.content(tmp_path / ".costs" / "1.json") == texts.content(tmp_path / ".costs" / "2.json")


def test_what_one_side_lacks_differs(texts: ModuleType) -> None:
    found = texts.differences({"both": "x", "old": "was\nhere"}, {"both": "x", "new": "came"})
    assert list(found) == ["old", "new"]
    assert {"-was", "-here", "+not there"} < set(found["old"])
    assert {"-not there", "+came"} < set(found["new"])


def test_a_long_list_of_differences_is_cut(texts: ModuleType) -> None:
    lines = list(texts.excerpt({f"text {i}": ["+" * 1000] * 50 for i in range(40)}))
    assert lines.count("  and 20 more lines") == texts.SHOWN
    assert lines[-2:] == ["text 29: differs too", "and 10 more"]
    assert max(map(len, lines)) == texts.WIDTH + 2


def test_the_table_counts_what_is_equal(texts: ModuleType) -> None:
    _, *rows = texts.table({"run ids": (1049, 0), "reports": (265, 12)}).splitlines()
    assert [row.split() for row in rows] == [["run", "ids", "1049", "1049", "0"], ["reports", "265", "253", "12"]]


def test_folders_and_the_number_of_a_version_do_not_count(
    versions: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = (
        versions.Version(name, tmp_path / name / "package", tmp_path / name / "home") for name in ("old", "new")
    )
    numbers = {old: "0.1.0", new: "0.2.0"}
    monkeypatch.setattr(versions.Version, "where", lambda self: (numbers[self], []))
    said = [
        own.plain({"page": f'read {own.home}/x of {own.package}/y by "{numbers[own]}", 10.1.0, {own.home}s'})
        for own in (old, new)
    ]
    assert said[0]["page"] == f'read HOME/x of PACKAGE/y by "VERSION", 10.1.0, {old.home}s'
    assert said[1]["page"] == f'read HOME/x of PACKAGE/y by "VERSION", 10.1.0, {new.home}s'


def test_a_version_is_imported_from_its_own_folder_whatever_is_installed(versions: ModuleType, tmp_path: Path) -> None:
    version = versions.install("new", versions.ROOT, tmp_path)
    assert version.where()[1] == [tmp_path / "new/package/lehi_cli", tmp_path / "new/package/lehi_cli/tasks"]
    assert "digits" in version.registered("tasks").split(",")

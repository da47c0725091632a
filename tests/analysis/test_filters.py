"""Which of the stored runs a report shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cases import runs_of
from stored import write

from lehi_cli.analysis.filters import Filter, moment, stored_names
from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TASKS = ("digits", "diabetes")
OPTIMIZERS = "lehi,adam:lr=0.001,adamw:label=decayed,sgd:lr=0.5:label=sgd[fast]"


@pytest.fixture
def runs(tmp_path: Path) -> list[StoredRun]:
    """Two tasks, four optimizers, two seeds; the i-th was started at i minutes past ten on New Year's Day."""
    store = Store(tmp_path / "runs")
    specs = [run for task in TASKS for run in runs_of(OPTIMIZERS, task=task, seeds=2)]
    for i, run in enumerate(specs):
        write(store, run, status="diverged" if i == 3 else "error" if i == 5 else "ok")
    return store.runs()


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ({}, 16),
        ({"task": "digits"}, 8),
        ({"task": "d*"}, 16),
        ({"task": "dig*, diabetes"}, 16),
        ({"optims": "adam"}, 4),
        ({"optims": "adam*"}, 8),
        ({"optims": "decayed"}, 4),
        ({"optims": "adamw"}, 4),
        ({"optims": "lehi,decayed"}, 8),
        ({"optims": "sgd[fast]"}, 4),
        ({"optims": "adam:lr=1e-3"}, 4),
        ({"optims": "*:lr=0.5"}, 4),
        ({"optims": "lehi:factor=rademacher:lr=0.001"}, 4),
        ({"label": "adam,sgd*"}, 8),
        ({"label": "a*"}, 4),
        ({"seeds": "1,"}, 8),
        ({"seeds": "2"}, 16),
        ({"seeds": "7,"}, 0),
        ({"status": "diverged"}, 1),
        ({"status": "diverged, error"}, 2),
        ({"task": "diabetes", "optims": "lehi", "seeds": "0,", "status": "ok"}, 1),
        ({"task": "diabetes", "status": "error"}, 0),
        ({"since": "2026-01-01T10:15Z"}, 2),
        ({"until": "2026-01-01T10:02:00+00:00"}, 2),
        ({"since": "2026-01-01T11:03+01:00", "until": "2026-01-01T10:04:30Z"}, 2),
        ({"since": "46w"}, 0),
        ({"since": "47w"}, 16),
    ],
)
def test_filters_keep_what_matches_all_of_them(runs: list[StoredRun], typed: dict[str, str], count: int) -> None:
    chosen = Filter(**typed, now=NOW)
    found = chosen.select(runs)
    assert len(found) == count
    assert found == [run for run in runs if chosen.matches(run)]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"task": "digit"}, "unknown task 'digit'; did you mean 'digits'"),
        ({"task": "digits,cifar*"}, r"unknown task 'cifar\*'"),
        ({"optims": "lehi,adm"}, "unknown optimizer 'adm'; did you mean 'adam'"),
        ({"optims": "lehi:clip=77"}, "unknown optimizer 'lehi:clip=77'; did you mean 'lehi'"),
        ({"optims": "lehi:speed=1"}, "unknown optimizer 'lehi:speed=1'"),
        ({"label": "adamw"}, "unknown label 'adamw'; did you mean 'adam'"),
        ({"optims": "ADAM"}, "unknown optimizer 'ADAM'"),
    ],
)
def test_a_name_that_no_run_has_is_an_error(runs: list[StoredRun], typed: dict[str, str], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        Filter(**typed).select(runs)
    assert caught.value.hint == "stored: digits, diabetes; lehi, adam, decayed, sgd[fast]"


def test_long_lists_of_names_are_cut(runs: list[StoredRun]) -> None:
    many = [StoredRun(**{**vars(runs[0]), "label": f"label {i}"}) for i in range(40)]
    assert stored_names(many).endswith("label 28, label 29 and 10 more")


@pytest.mark.parametrize(
    ("typed", "error", "message"),
    [
        ({"status": "finished"}, UnknownNameError, "unknown status 'finished'"),
        ({"status": "ok,okay"}, UnknownNameError, "unknown status 'okay'; did you mean 'ok'"),
        ({"task": ""}, UsageError, "--task '' names nothing"),
        ({"optims": "adam,adam"}, UsageError, "'adam' is given twice"),
        ({"seeds": "x"}, UsageError, "malformed seeds"),
        ({"since": "yesterday"}, UsageError, "malformed time --since 'yesterday'"),
        ({"since": "2026-13-01"}, UsageError, "malformed time"),
        ({"since": "2m"}, UsageError, "malformed time"),
        ({"until": ""}, UsageError, "malformed time --until ''"),
        ({"since": "99999999999d"}, UsageError, "malformed time"),
        ({"until": "9999-12-31"}, UsageError, "malformed time"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, UsageError, "later than"),
    ],
)
def test_what_is_malformed_is_refused_at_once(typed: dict[str, str], error: type[UsageError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Filter(**typed)
    if "malformed time" in message:
        assert "2026-11-21T10:00" in caught.value.hint


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in Berlin: an hour before UTC, two in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "is_end", "utc"),
    [
        ("2026-11-21", False, "2026-11-20T23:00:00+00:00"),
        ("2026-11-21", True, "2026-11-21T22:59:59.999999+00:00"),
        ("2026-07-01", False, "2026-06-30T22:00:00+00:00"),
        ("2026-10-25", False, "2026-10-24T22:00:00+00:00"),  # a day of 25 hours
        ("2026-10-25", True, "2026-10-25T22:59:59.999999+00:00"),
        ("2026-11-21T10:00", True, "2026-11-21T09:00:00+00:00"),
        ("2026-11-21T10:00Z", False, "2026-11-21T10:00:00+00:00"),
        ("2026-11-21T10:00-05:00", False, "2026-11-21T15:00:00+00:00"),
        ("30min", False, "2026-11-21T11:30:00+00:00"),
        ("1.5 h", False, "2026-11-21T10:30:00+00:00"),
        ("2d", True, "2026-11-19T12:00:00+00:00"),
        ("1w", False, "2026-11-14T12:00:00+00:00"),
    ],
)
def test_times_are_local_or_counted_back(text: str, is_end: bool, utc: str) -> None:
    assert moment(text, "--since", NOW, is_end=is_end) == datetime.fromisoformat(utc)


def test_without_a_word_the_time_is_now() -> None:
    assert abs((Filter().now - datetime.now(UTC)).total_seconds()) < 3600
    assert Filter(task="a") == Filter(task="a")

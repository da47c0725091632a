"""`lehi runs`: single runs listed, shown, compared, tagged and removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cases import runs_of
from commanded import Lehi, document, rows
from stored import write

from lehi_cli.runs.comparisons import ComparisonRecord, Comparisons, Member, now
from lehi_cli.runs.specs import RunSpec
from lehi_cli.runs.store import Store, StoredRun
from lehi_cli.runs.tags import change_tags, read_tags

ROOT = Path("runs")
Python = Callable[..., subprocess.CompletedProcess[str]]


def specs() -> list[RunSpec]:
    return runs_of("adam,sgd:label=größe", seeds=2)


@pytest.fixture
def stored() -> list[StoredRun]:
    """Adam and a label of another script, two seeds each; the last run failed. A comparison has the first two."""
    store = Store(ROOT)
    store.prepare()
    *first, last = specs()
    found = [write(store, run, [2.0, 1.0 + i], train=[3.0]) for i, run in enumerate(first)]
    found.append(write(store, last, status="error"))
    members = [Member(run.run_id, run.label) for run in found[:2]]
    Comparisons(store).save(
        ComparisonRecord("compare", members, command=["compare", "--task", "digits"], created=now())
    )
    return found


def ids(lehi: Lehi, *arguments: str) -> list[str]:
    return [run["run_id"] for run in document(lehi("runs", "list", *arguments, "--json"))["runs"]]


def running(spec: RunSpec, host: str = "") -> Path:
    """A run that this process is at, or one of another machine."""
    recorder = Store(ROOT).claim(spec, {"device": "cpu"})
    assert recorder is not None
    path = ROOT / spec.run_id / "run.json"
    if host:
        path.write_text(json.dumps({**recorder.state, "owner": {"host": host, "pid": 1}}, default=dict))
    return path.parent


# list


def test_runs_are_listed_in_the_order_they_were_started(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    shown = rows(lehi("runs").out, "run")
    assert [row[0] for row in shown] == [run.run_id[:8] for run in stored]
    assert [row[1:5] for row in shown] == [
        ["digits", "adam", "0", "ok"],
        ["digits", "größe", "0", "ok"],
        ["digits", "adam", "1", "ok"],
        ["digits", "größe", "1", "error"],
    ]
    assert lehi("runs", "list").out == lehi("runs").out
    assert lehi("runs", "--task", "digits", "--seeds", "1,").out == lehi("runs", "list", "--seeds", "1,").out
    assert document(lehi("runs", "--json")) == document(lehi("runs", "list", "--json"))
    one = stored[0].run_id
    assert document(lehi("runs", one[:8], "--json")) == document(lehi("runs", "show", one, "--json"))


def test_a_list_is_at_most_80_columns_wide(python: Python, stored: Sequence[StoredRun]) -> None:
    change_tags(ROOT, [run.run_id for run in stored], ["baseline"])
    done = python("-m", "lehi_cli", "runs", COLUMNS="80", FORCE_COLOR="1", TERM="xterm")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run ") == 1  # not in parts


@pytest.mark.parametrize(
    ("filters", "which"),
    [
        (("--optims", "adam"), [0, 2]),
        (("--label", "gr*"), [1, 3]),
        (("--status", "error"), [3]),
        (("--seeds", "1,"), [2, 3]),
        (("--task", "dig*", "--status", "ok"), [0, 1, 2]),
        (("--until", "2026-01-01T10:02+00:00"), [0, 1]),
        (("--tag", "keep"), [0, 3]),
        (("--tag", "k*,other"), [0, 1, 3]),
    ],
)
def test_filters_are_those_of_the_report(
    lehi: Lehi, stored: Sequence[StoredRun], filters: tuple[str, ...], which: list[int]
) -> None:
    change_tags(ROOT, [stored[0].run_id, stored[3].run_id], ["keep"])
    change_tags(ROOT, [stored[1].run_id], ["other"])
    assert ids(lehi, *filters) == [stored[i].run_id for i in which]
    wanted = {stored[i].run_id for i in which}
    sections = document(lehi("report", "--json", "--role", "all", *filters))["sections"]
    assert {run["run_id"] for s in sections for series in s["series"] for run in series["runs"]} == wanted


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (("--tag", "nix"), "unknown tag 'nix'"),
        (("--task", "nix"), "unknown task 'nix'"),
        (("--status", "nix"), "unknown status 'nix'"),
        (("--seeds", "9,"), "no stored run in runs matches"),
        (("--tag", ","), "--tag ',' names nothing"),
    ],
)
def test_filters_that_nothing_matches_are_refused(lehi: Lehi, filters: tuple[str, ...], said: str) -> None:
    result = lehi("runs", "list", *filters)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_an_empty_store_says_so(lehi: Lehi) -> None:
    assert "no runs in runs" in lehi("runs").err
    ROOT.mkdir()
    assert "no runs in runs" in lehi("runs").err
    assert "no run '1a' in runs" in lehi("runs", "show", "1a").err


def test_a_damaged_run_is_named_and_the_others_listed(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    (stored[0].folder / "run.json").write_text("{")
    result = lehi("runs")
    assert result.code == 0
    assert len(rows(result.out, "run")) == 3
    assert f"runs/{stored[0].run_id}/run.json: damaged" in result.err
    shown = lehi("runs", "show", stored[0].run_id)
    assert shown.code == 2
    assert f"run {stored[0].run_id} cannot be read" in shown.err
    assert "damaged" in shown.err


def test_several_folders_are_listed_as_one(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    shutil.move(stored[0].folder, Path("else") / stored[0].run_id)
    change_tags(Path("else"), [stored[0].run_id], ["there"])
    both = ("--runs", "runs", "--runs", "else")
    assert ids(lehi, *both) == [run.run_id for run in stored]
    assert ids(lehi, *both, "--tag", "there") == [stored[0].run_id]
    assert lehi("runs", "show", stored[0].run_id, *both).code == 0


# show


def test_everything_about_a_run_is_shown(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    change_tags(ROOT, [stored[0].run_id], ["b", "a"])
    result = lehi("runs", "show", stored[0].run_id[:7])
    facts = {row[0]: row[1] for heading in ("run", "optimizer", "task", "environment", "outcome", "final value")
             for row in rows(result.out, heading)}  # fmt: skip
    expected = {
        "run": stored[0].run_id, "status": "ok", "tags": "a, b", "options.lr": "0.001", "seed": "0",
        "batch_size": "64", "budget.steps": "25", "device": "cpu", "threads": "1", "passes": "20", "val_loss": "1",
    }  # fmt: skip
    assert expected.items() <= facts.items()
    assert "metrics-0000.parquet" in result.out
    assert "lehi compare --task digits" in result.out
    assert lehi("runs", stored[0].run_id).out == result.out


def test_an_error_is_shown_with_its_traceback(lehi: Lehi) -> None:
    Path("bad.py").write_text(
        "from torch.optim import SGD\n"
        "from lehi_cli.registry.optimizers import OptimizerRecord, Option\n"
        "class Bad(SGD):\n    def step(self, closure=None):\n        raise RuntimeError('größe [red]x[/red]')\n"
        "OPTIMIZERS = [OptimizerRecord('bad', 'bad', ':Bad', options=(Option('lr', 0.1, 'rate'),))]\n"
    )
    assert lehi("train", "--task", "digits", "--optim", "bad.py", "--steps", "3", "--quiet").code == 1
    (run_id,) = ids(lehi)
    out = lehi("runs", "show", run_id).out
    assert "Traceback (most recent call last):" in out
    assert "raise RuntimeError('größe [red]x[/red]')" in out
    assert out.rstrip().endswith("RuntimeError: größe [red]x[/red]")
    assert document(lehi("runs", "show", run_id, "--json"))["error"]["type"] == "RuntimeError"


def test_the_document_of_a_run_is_its_record_and_more(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    found = document(lehi("runs", "show", stored[0].run_id, "--json"))
    record = json.loads((stored[0].folder / "run.json").read_text())
    assert record.items() <= found.items()
    assert found["final"]["val_loss"] == 1.0
    assert [file["name"] for file in found["files"]] == ["metrics-0000.parquet", "run.json"]
    assert len(found["comparisons"]) == 1


def test_names_are_ids_and_how_they_begin(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    twin = replace(stored[0], run_id=stored[0].run_id[:10] + "ffffff")
    shutil.copytree(stored[0].folder, ROOT / twin.run_id)
    several = lehi("runs", "show", stored[0].run_id[:9])
    assert several.code == 2
    assert f"run '{stored[0].run_id[:9]}' is several in runs" in several.err
    assert f"{stored[0].run_id} (digits adam seed 0, ok)" in several.err
    assert lehi("runs", "show", stored[0].run_id).code == 0
    near = lehi("runs", "show", stored[1].run_id[:6] + "x")
    assert f"near: {stored[1].run_id} (digits größe seed 0, ok)" in near.err
    for name in ("", "../runs", "x" * 5000, "\ud800"):
        assert lehi("runs", "show", "--", name).code == 2
    assert lehi("runs", "show", str(stored[1].folder)).code == 0


# diff


def test_what_differs_is_shown(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    result = lehi("runs", "diff", stored[0].run_id, stored[2].run_id)
    assert result.code == 1
    found = {row[0]: row[1:] for row in rows(result.out, "differs")}
    assert found["seed"] == ["0", "1"]
    assert found["final.val_loss"] == ["1", "3"]
    assert not [key for key in found if key.startswith(("optimizer", "task", "environment"))]
    other = {row[0]: row[1:] for row in rows(lehi("runs", "diff", stored[0].run_id, stored[1].run_id).out, "differs")}
    assert other["optimizer.name"] == ["adam", "sgd"]
    assert other["optimizer.options.betas"] == ["0.9/0.999", "-"]


def test_a_run_differs_in_nothing_from_itself_and_from_its_copy(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    shutil.copytree(stored[0].folder, Path("copy") / stored[0].run_id)
    for other in (stored[0].run_id, f"copy/{stored[0].run_id[:6]}"):
        result = lehi("runs", "diff", stored[0].run_id, other)
        assert (result.code, result.out, result.err) == (0, "", "")
    shutil.copy(stored[1].folder / "metrics-0000.parquet", Path("copy") / stored[0].run_id)
    found = document(lehi("runs", "diff", stored[0].run_id, f"copy/{stored[0].run_id}", "--json"))
    assert {"rows", "final.val_loss"} == {item["key"] for item in found["differences"]}


# tags


def test_tags_are_added_and_removed(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    before = [path.read_bytes() for path in sorted(ROOT.glob("[!.]*/*"))]
    first, second = (run.run_id for run in stored[:2])
    result = lehi("runs", "tag", first[:8], second[:8], "--add", "größe", "--add", "with space", "--add", "größe")
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == f"{first} (digits adam seed 0, ok): größe, with space"
    assert lehi("runs", "tag", first, "--remove", "größe").out.endswith(": with space\n")
    assert lehi("runs", "tag", first, "--remove", "with space").out.endswith(": no tags\n")
    assert read_tags(Store(ROOT)) == {second: ["größe", "with space"]}
    assert [path.read_bytes() for path in sorted(ROOT.glob("[!.]*/*"))] == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((), "nothing to add and nothing to remove"),
        (("--remove", "nix"), "none of these runs has the tag 'nix'"),
        (("--add", "a", "--remove", "a"), "tag 'a' is to be added and removed"),
        *(
            (("--add", tag), "malformed tag")
            for tag in ("", " ", "a/b", "a,b", "a\nb", ".a", "a*", "x" * 101, "\ud800")
        ),
    ],
)
def test_tags_that_cannot_be_are_refused(
    lehi: Lehi, stored: Sequence[StoredRun], changes: tuple[str, ...], said: str
) -> None:
    result = lehi("runs", "tag", stored[0].run_id, *changes)
    assert result.code == 2
    assert said in result.err
    assert not read_tags(Store(ROOT))


def test_one_run_that_is_not_there_leaves_all_untagged(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    assert lehi("runs", "tag", stored[0].run_id, "zz", "--add", "a").code == 2
    assert not read_tags(Store(ROOT))


def test_several_at_once_lose_no_tag(stored: Sequence[StoredRun]) -> None:
    tags = [f"tag{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tag: change_tags(ROOT, [run.run_id for run in stored], [tag]), tags))
        list(pool.map(lambda tag: change_tags(ROOT, [stored[0].run_id], remove=[tag]), tags[:20]))
    assert {run_id: len(own) for run_id, own in read_tags(Store(ROOT)).items()} == {
        stored[0].run_id: 20,
        **{run.run_id: 40 for run in stored[1:]},
    }


def test_a_store_that_cannot_be_written_to_is_an_error(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    (ROOT / ".tags").write_text("in the way")
    result = lehi("runs", "tag", stored[0].run_id, "--add", "a")
    assert result.code == 2
    assert "cannot write tags in runs/.tags" in result.err
    assert lehi("runs").code == 0


# rm


def test_runs_are_removed_with_their_tags_and_nothing_else(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    change_tags(ROOT, [run.run_id for run in stored], ["a"])
    Path("runs/notes.txt").write_text("mine")
    result = lehi("runs", "rm", stored[0].run_id[:8], stored[3].run_id, "--yes")
    assert result.code == 0, result.err
    assert f"{stored[0].run_id} (digits adam seed 0, ok)" in result.err
    assert f"comparison {Comparisons(Store(ROOT)).records[0].id} loses 1 of its 2 runs" in result.err
    assert "removed 2 from runs" in result.err
    assert ids(lehi) == [stored[1].run_id, stored[2].run_id]
    assert sorted(read_tags(Store(ROOT))) == sorted([stored[1].run_id, stored[2].run_id])
    kept = {".comparisons", ".tags", "notes.txt", stored[1].run_id, stored[2].run_id}
    assert set(os.listdir(ROOT)) == kept


def test_filters_choose_what_is_removed(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    assert lehi("runs", "rm", "--status", "error", "--yes").code == 0
    assert lehi("runs", "rm", "--label", "größe", "--seeds", "0,", "--yes").code == 0
    assert ids(lehi) == [stored[0].run_id, stored[2].run_id]


@pytest.mark.parametrize(
    "arguments", [(), ("--yes",), ("zz", "--yes"), ("--task", "nix", "--yes")], ids=lambda value: " ".join(value)
)
def test_what_names_no_run_removes_none(lehi: Lehi, stored: Sequence[StoredRun], arguments: tuple[str, ...]) -> None:
    assert lehi("runs", "rm", *arguments).code == 2
    assert lehi("runs", "rm", stored[0].run_id, "--task", "digits", "--yes").code == 2
    assert len(ids(lehi)) == 4


def test_without_anybody_to_ask_nothing_is_removed(python: Python, stored: Sequence[StoredRun]) -> None:
    done = python("-m", "lehi_cli", "runs", "rm", stored[0].run_id)
    assert done.returncode == 2
    assert "error: remove 1 run: nobody is there to be asked\n--yes removes them" in done.stderr
    assert stored[0].folder.is_dir()


@pytest.mark.parametrize(("answer", "code", "is_gone"), [("y", 0, True), ("n", 2, False)])
def test_at_a_terminal_it_asks(stored: Sequence[StoredRun], answer: str, code: int, is_gone: bool) -> None:
    master, slave = os.openpty()
    os.write(master, f"{answer}\n".encode())
    command = [sys.executable, "-m", "lehi_cli", "runs", "rm", stored[0].run_id]
    done = subprocess.run(command, stdin=slave, stdout=slave, stderr=slave, timeout=120)
    os.close(slave)
    assert b"remove 1 run? [y/N]" in os.read(master, 10**5)
    os.close(master)
    assert done.returncode == code
    assert stored[0].folder.is_dir() != is_gone


@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_running_run_stays_and_all_others_with_it(lehi: Lehi, stored: Sequence[StoredRun], host: str) -> None:
    folder = running(runs_of("lion")[0], host)
    assert dict(row[:1] + row[4:5] for row in rows(lehi("runs").out, "run"))[folder.name[:8]] == "running"
    result = lehi("runs", "rm", "--task", "digits", "--yes")
    assert result.code == 2
    assert f"still running: {folder.name}" in result.err
    assert len(ids(lehi)) == 5


def test_a_damaged_run_can_be_removed(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    path = stored[0].folder / "run.json"
    path.write_text("{")
    for changed in (path, path.parent):
        os.utime(changed, (0, 0))
    result = lehi("runs", "rm", stored[0].run_id, "--yes")
    assert result.code == 0, result.err
    assert f"{stored[0].run_id} (cannot be read)" in result.err
    assert not stored[0].folder.exists()


def test_files_of_somebody_else_keep_a_run(lehi: Lehi, stored: Sequence[StoredRun]) -> None:
    (stored[0].folder / "notes.txt").write_text("mine")
    result = lehi("runs", "rm", stored[0].run_id, stored[1].run_id, "--yes")
    assert result.code == 2
    assert "has files that are not the run's own: notes.txt" in result.err
    assert len(ids(lehi)) == 4


def test_of_a_link_only_the_link_goes(lehi: Lehi, stored: Sequence[StoredRun], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(stored[0].folder, elsewhere)
    stored[0].folder.symlink_to(elsewhere)
    assert lehi("runs", "rm", stored[0].run_id, "--yes").code == 0
    assert not stored[0].folder.exists()
    assert sorted(os.listdir(elsewhere)) == ["metrics-0000.parquet", "run.json"]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("arguments", [["runs"], ["runs", "list", "--json"]], ids=" ".join)
def test_listing_imports_no_torch(python: Python, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom lehi_cli.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy.stats', 'optuna', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr

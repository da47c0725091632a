"""Shows that a refactoring changed nothing: a commit's package and this tree's are given the same to do.

    python tools/unchanged.py COMMIT [--ids] [--keep FOLDER]

run ids
    Both plan every registered task with every registered optimizer, and some with overrides, sweeps, tuning and files
    of the user's own. Every run has the same id, and the same specification behind it.
training
    Both train the same plans into empty stores. Every file of the stores is the same: specifications, outcomes, rows
    of metrics to the last bit, records of comparisons.
reports
    Both show a copy of the commit's store in every way and in every format. Output, errors, exit codes and files are
    the same, byte by byte.
again
    Both are given the training commands once more, on a copy of the commit's store. They find the same runs (all but
    those that failed), print the same and leave the same files.

Help texts are not compared, nor the folders and the number of a version (`Version.plain`), nor what depends on the time
(`VOLATILE` in `unchanged_texts.py`). The commands are in `unchanged_commands.py`; both versions run with this Python.
`--ids` compares run ids alone, which takes half a minute; everything takes five minutes on two cores. `--keep` leaves
the stores and whole diffs in a new folder. The exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from unchanged_commands import AGAIN, ENDINGS, EXPORTS, OF_EACH, PLANS, REPORTS, STARTERS, TRAINED
from unchanged_texts import Texts, differences, excerpt, stored, table
from unchanged_versions import ROOT, Version, check_out, install

Part = Callable[[Version], Texts]


def run_ids(version: Version, names: Mapping[str, str]) -> Texts:
    """The id and the specification of every run of every plan."""
    found = {}
    for i, plan in enumerate(PLANS):
        said = version.lehi(f"{plan.format_map(names)} --executor mock --yes --quiet --runs ids{i}")
        if not said.startswith("exit code 0"):
            found[plan] = said
        for path in sorted((version.home / f"ids{i}").glob("*/run.json")):
            state = json.loads(path.read_text(encoding="utf-8"))
            spec = json.dumps(state["spec"], indent=1, sort_keys=True)
            name = (
                f"{state['spec']['task']['name']}, {state['label']}, seed {state['spec']['seed']} of `{plan[:60]}...`"
            )
            found[name] = f"{found.get(name, '')}{state['run_id']}\n{spec}\n"
    return found


def training(version: Version) -> Texts:
    """How every training command ended, and what is stored; not what was printed, which has times in it."""
    codes = {command: version.lehi(f"{command} --runs trained").splitlines()[0] for command in TRAINED}
    return codes | stored(version.home / "trained")


def reports(version: Version, store: Path) -> Texts:
    """Everything that is shown of a copy of a store, and what the copy holds afterwards."""
    copy = shutil.copytree(store, version.home / "shown")
    comparisons = sorted(path.stem for path in (store / ".comparisons").glob("*.json"))
    commands = [f"report --comparison {comparison} {how}" for comparison in comparisons for how in OF_EACH]
    commands += [*REPORTS, *(f"{page} --output page.{ending}" for page in EXPORTS for ending in ENDINGS)]
    return {command: version.lehi(f"{command} --runs shown", may_refuse=True) for command in commands} | stored(copy)


def again(version: Version, store: Path) -> Texts:
    """What the training commands print and leave where everything is trained already."""
    copy = shutil.copytree(store, version.home / "again")
    return {command: version.lehi(f"{command} --runs again") for command in AGAIN} | stored(copy)


def both(part: Part, old: Version, new: Version) -> tuple[Texts, Texts]:
    """The texts of two versions, which work at the same time."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(part, (old, new))
    return old.plain(first), new.plain(second)


def prepared(commit: str, folder: Path) -> tuple[Version, Version]:
    """The two versions, with the same files of the user's own."""
    old, new = install("old", check_out(commit, folder), folder), install("new", ROOT, folder)
    for command in STARTERS:
        old.lehi(command)
    shutil.copytree(old.home, new.home, dirs_exist_ok=True)
    return old, new


def parts(old: Version, ids_only: bool) -> dict[str, Part]:
    """What is compared, in this order: the reports are on what `training` leaves of the old version."""
    names, store = {verb: old.registered(verb) for verb in ("tasks", "optims")}, old.home / "trained"
    found: dict[str, Part] = {"run ids": partial(run_ids, names=names)}
    if not ids_only:
        found["training"] = training
        found["reports"] = partial(reports, store=store)
        found["again"] = partial(again, store=store)
    return found


def is_unchanged(commit: str, folder: Path, ids_only: bool) -> bool:
    """Compare part by part, and print what differs and a table."""
    old, new = prepared(commit, folder)
    counts = {}
    for name, part in parts(old, ids_only).items():
        texts = both(part, old, new)
        found = differences(*texts)
        counts[name] = len({*texts[0], *texts[1]}), len(found)
        whole = "\n".join(line for key, diff in found.items() for line in (f"{key}:", *diff))
        (folder / f"{name}.diff").write_text(whole, encoding="utf-8")
        print("\n".join([f"{name}: {len(found)} of {counts[name][0]} differ", *excerpt(found)]), flush=True)
    print(f"\n{table(counts)}")
    return not any(differ for _, differ in counts.values())


def main() -> None:
    """Read the command line; ends in `SystemExit`."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave stores and whole diffs in a new folder")
    parser.add_argument("--ids", action="store_true", help="compare run ids alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary) / "work").resolve()
        if folder.exists():
            parser.error(f"{folder} already exists")
        folder.mkdir(parents=True)
        sys.exit(0 if is_unchanged(asked.commit, folder, asked.ids) else 1)


if __name__ == "__main__":
    main()

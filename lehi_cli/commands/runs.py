"""`lehi runs`: single runs of a store: listed, shown, compared with each other, tagged and removed."""

from __future__ import annotations

import json as documents
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lehi_cli.analysis.filters import Filter
from lehi_cli.errors import Exit, UsageError
from lehi_cli.experiment.choices import DEFAULT_RUNS
from lehi_cli.experiment.inspected import differences, inspect
from lehi_cli.experiment.stored import wanted
from lehi_cli.render.runs import difference_json, difference_table, run_json, run_parts, runs_json, runs_table
from lehi_cli.render.table import print_table
from lehi_cli.render.terminal import print_parts
from lehi_cli.runs.comparisons import Comparisons
from lehi_cli.runs.named import find_folder, find_run, in_words
from lehi_cli.runs.removal import check_removable, losses, remove
from lehi_cli.runs.store import Store
from lehi_cli.runs.stores import open_stores
from lehi_cli.runs.tags import change_tags, check_tag, read_tags

from .shared.completion import run_ids, stored_tags
from .shared.filter_options import ALL, takes_filter
from .shared.options import DEFAULT_FOLDERS, Json, RunFolders, Runs
from .shared.output import say
from .shared.shorthand import ListGroup

MOST_NAMED = 20

app = typer.Typer(
    cls=ListGroup,
    invoke_without_command=True,
    help="List runs, show one, compare two, tag or remove some; `lehi runs ID` shows one too.",
)

RunName = Annotated[
    str, typer.Argument(help="A run's id, how it begins, or the path of its folder.", autocompletion=run_ids)
]
RunNames = Annotated[list[str], typer.Argument(help="Ids of runs, how they begin, or paths.", autocompletion=run_ids)]
SomeRunNames = Annotated[
    list[str] | None, typer.Argument(help="Ids of runs, how they begin, or paths.", autocompletion=run_ids)
]


@app.callback()
def runs(context: typer.Context) -> None:
    """List runs."""
    if context.invoked_subcommand is None:
        list_runs()


@app.command("list")
@takes_filter
def list_runs(
    chosen: Filter = ALL,
    runs: RunFolders = DEFAULT_FOLDERS,
    json: Json = False,
) -> None:
    """List stored runs, the last one started last."""
    store = open_stores(runs)
    found, tags = wanted(store, chosen), read_tags(store)
    say(Console(stderr=True), store.notices)
    if json:
        _print_json(runs_json(found, tags))
    else:
        print_table(Console(), runs_table(found, tags))


@app.command()
def show(run: RunName, runs: RunFolders = DEFAULT_FOLDERS, json: Json = False) -> None:
    """Show all about a run: what it is, where it ran, what it came to, its error, files and tags."""
    store = open_stores(runs)
    found = inspect(store, find_run(store, run))
    say(Console(stderr=True), store.notices)
    if json:
        _print_json(run_json(found))
    else:
        print_parts(Console(), run_parts(found))


@app.command()
def diff(one: RunName, other: RunName, runs: RunFolders = DEFAULT_FOLDERS, json: Json = False) -> None:
    """Show in what two runs differ; exit code 0 when in nothing, 1 when in something."""
    store = open_stores(runs)
    first, second = find_run(store, one), find_run(store, other)
    found = differences(store, first, second)
    say(Console(stderr=True), store.notices)
    if json:
        _print_json(difference_json(first, second, found))
    elif found:
        print_table(Console(), difference_table(first, second, found))
    raise typer.Exit(1 if found else Exit.OK)


@app.command()
def tag(
    names: RunNames,
    add: Annotated[list[str] | None, typer.Option(help="A tag to add, repeatable.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A tag to remove, repeatable.", autocompletion=stored_tags)
    ] = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Add tags to runs, or remove them."""
    added, removed = ([check_tag(text) for text in texts or ()] for texts in (add, remove))
    if not added and not removed:
        raise UsageError("nothing to add and nothing to remove", "for example --add baseline")
    if both := set(added) & set(removed):
        raise UsageError(f"tag {min(both)!r} is to be added and removed", "give one of the two")
    store = Store(runs)
    found = [find_run(store, name) for name in names]
    before = read_tags(store)
    for text in removed:
        if not any(text in before.get(run.run_id, ()) for run in found):
            raise UsageError(f"none of these runs has the tag {text!r}", "lehi runs list shows the tags of each")
    for run in found:
        change_tags(run.folder.parent, [run.run_id], added, removed)
    for run in found:
        tags = read_tags(Store(run.folder.parent)).get(run.run_id, ())
        typer.echo(f"{in_words(run)}: {', '.join(tags) or 'no tags'}")


@app.command()
@takes_filter
def rm(
    names: SomeRunNames = None,
    chosen: Filter = ALL,
    runs: Runs = DEFAULT_RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False,
) -> None:
    """Remove runs for good: those that are named, or those that match."""
    is_choosing = chosen != ALL
    if bool(names) == is_choosing:
        raise UsageError("rm takes ids of runs, or options that choose some", "for example --status killed")
    store, errors = Store(runs), Console(stderr=True)
    folders = [run.folder for run in wanted(store, chosen)] if is_choosing else _folders(store, names or ())
    homes = {folder.parent: Store(folder.parent) for folder in folders}
    for root, home in homes.items():
        check_removable(home, [folder for folder in folders if folder.parent == root])
    for line in _going(homes, folders):
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
    _confirm(f"remove {len(folders)} {'run' if len(folders) == 1 else 'runs'}", yes)
    for folder in folders:
        remove(homes[folder.parent], folder)
    places = " and ".join(map(str, homes))
    errors.print(f"removed {len(folders)} from {places}", markup=False, highlight=False, soft_wrap=True)


def _folders(store: Store, names: Sequence[str]) -> list[Path]:
    return list(dict.fromkeys(find_folder(store, name) for name in names))


def _going(homes: dict[Path, Store], folders: Sequence[Path]) -> list[str]:
    """What will be gone, and what that takes from which comparisons."""
    lines = []
    for folder in folders[:MOST_NAMED]:
        run = homes[folder.parent].find(folder.name)
        lines.append(in_words(run) if run else f"{folder.name} (cannot be read)")
    if len(folders) > MOST_NAMED:
        lines.append(f"and {len(folders) - MOST_NAMED} more")
    for root, home in homes.items():
        gone = [folder.name for folder in folders if folder.parent == root]
        for record, count in losses(Comparisons(home).shown, gone):
            lines.append(f"comparison {record.id} loses {count} of its {len(record.runs)} runs")
    return lines


def _confirm(what: str, yes: bool) -> None:
    """Ask, once.

    Raises:
        UsageError: when nobody is at a terminal to answer.
        Exit: when the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{what}: nobody is there to be asked", "--yes removes them")
    if not typer.confirm(f"{what}?", err=True):
        raise typer.Exit(Exit.USAGE)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(documents.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))

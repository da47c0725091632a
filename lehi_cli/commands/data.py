"""`lehi data`: the data sets that can be fetched, and where they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal

from lehi_cli.data import catalog
from lehi_cli.data.fetch import fetch
from lehi_cli.data.folder import data_folder
from lehi_cli.errors import UsageError
from lehi_cli.render.document import Column, Table
from lehi_cli.render.table import print_table

from .shared.completion import data_sets
from .shared.options import DataDir

app = typer.Typer(invoke_without_command=True, help="List data sets; `lehi data fetch NAME` downloads one.")

Name = Annotated[str, typer.Argument(help="Name of a data set, from the list.", autocompletion=data_sets)]


@app.callback()
def data(context: typer.Context, data_dir: DataDir = None) -> None:
    """List data sets."""
    verb, source = context.invoked_subcommand, context.get_parameter_source("data_dir")
    if verb is None:
        list_data(data_dir)
    elif source is not None and source.name == "COMMANDLINE":
        raise UsageError(f"--data-dir before {verb!r} would be ignored", f"write it after {verb!r}")


@app.command("list")
def list_data(data_dir: DataDir = None) -> None:
    """List data sets: size, whether they are present, and terms."""
    print_table(Console(), data_table(data_folder(data_dir)))


@app.command("fetch")
def fetch_data(name: Name, data_dir: DataDir = None) -> None:
    """Download a data set, or resume an earlier download."""
    corpus, folder = catalog.find(name), data_folder(data_dir)
    fetched = fetch(corpus, folder, Console(stderr=True))
    done = f"{len(fetched)} of {len(corpus.files)} files fetched" if fetched else "already there"
    typer.echo(f"{name}: {done}, in {folder / corpus.place}", err=True)


@app.command()
def path(
    name: Annotated[
        str | None, typer.Argument(help="Name of a data set; without it, the data folder.", autocompletion=data_sets)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Print the folder of a data set."""
    folder = data_folder(data_dir)
    typer.echo(folder / catalog.find(name).place if name else folder)


def data_table(folder: Path) -> Table:
    """Every data set that can be fetched, and its state in `folder`."""
    columns = [Column("data set", right=False), Column("what", right=False, wraps=True), Column("size")]
    columns += [Column("there", right=False), Column("terms", right=False, wraps=True)]
    rows = [[c.name, c.what, decimal(c.size), c.state(folder), c.terms] for c in catalog.CORPORA.values()]
    return Table(columns, rows, f"there: in {folder}")

"""`lehi tasks`: what there is to train on."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.console import Console

from lehi_cli.registry import tasks as registry
from lehi_cli.render.table import Column, Table, print_table

from .flow import say

app = typer.Typer(invoke_without_command=True, help="List tasks; `lehi tasks show NAME` prints one.")


@app.callback()
def list_tasks(context: typer.Context) -> None:
    """List tasks."""
    if context.invoked_subcommand is not None:
        return
    catalog = registry.load()
    print_table(Console(), tasks_table())
    say(Console(stderr=True), catalog.notices)


def tasks_table() -> Table:
    """Every task with what it trains and for how long."""
    columns = [Column(name, right=False) for name in ("task", "summary", "loss", "model", "budget")]
    rows = []
    for record in registry.load():
        spec = record.spec()
        variants = list(spec.variants.get("model", {}))
        model = ", ".join([record.content["model"]["kind"], *variants])
        rows.append([spec.name, spec.summary, spec.loss, model, str(spec.budget)])
    return Table(columns, rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A task's name or path.")]) -> None:
    """Print a task: everything that `--set` can change, and the file it is in."""
    record = registry.find(registry.load(), name)
    record.spec()
    typer.echo(f"# {record.origin}" if record.origin else "# no file")
    typer.echo(yaml.safe_dump(dict(record.content), sort_keys=False, default_flow_style=None).rstrip())

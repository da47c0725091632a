"""`lehi tasks`: what there is to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from lehi_cli.data.folder import data_folder
from lehi_cli.errors import Exit, UsageError
from lehi_cli.registry import tasks as registry
from lehi_cli.render.content import Column, Table
from lehi_cli.render.table import print_table

from . import starter
from .options import DataDir
from .output import say

app = typer.Typer(invoke_without_command=True, help="List tasks, show one, check one, or start one of your own.")


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
    prose = ("summary", "model")
    names = ("task", "summary", "loss", "model", "budget")
    columns = [Column(name, right=False, wraps=name in prose) for name in names]
    rows = []
    for record in registry.load():
        spec = record.spec()
        variants = list(spec.variants.get("model", {}))
        model = ", ".join([record.content["model"]["kind"], *variants])
        rows.append([spec.name, spec.summary, spec.loss_kind, model, str(spec.budget)])
    return Table(columns, rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A task's name or path.")]) -> None:
    """Print a task: everything that `--set` can change, and the file it is in."""
    record = registry.find(registry.load(), name)
    record.spec()
    typer.echo(f"# {record.origin}" if record.origin else "# no file")
    typer.echo(yaml.safe_dump(dict(record.content), sort_keys=False, default_flow_style=None).rstrip())


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(help="Tasks: names or paths.")],
    data_dir: DataDir = None,
    fake_data: Annotated[bool, typer.Option("--fake-data", help="Synthetic data in place of the real.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Check that a task does what every task must: a minute for a small one. Exit code 1 when it does not."""
    from lehi_cli.conformance import check_task
    from lehi_cli.execute.environment import pick_device

    console, failed = Console(), 0
    place = pick_device(device)
    for name in names:
        registry.find(registry.load(), name).spec()
        console.print(f"{name}{' [FAKE DATA]' if fake_data else ''}", markup=False, highlight=False)
        for finding in check_task(name, place, data_folder(data_dir), fake_data):
            failed += not finding.passed
            mark = "ok  " if finding.passed else "FAIL"
            line = f"  {mark} {finding.check}: {finding.detail}"
            console.print(line, markup=False, highlight=False, soft_wrap=True, style="" if finding.passed else "red")
    if failed:
        raise typer.Exit(Exit.RUN_FAILED)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the task; the file is called after it.")],
    python: Annotated[bool, typer.Option("--python", help="A Python file, for a model or data of your own.")] = False,
) -> None:
    """Write a commented task file that runs, to start from."""
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no name for a task", "letters, digits and underscores, for example my_task")
    path = Path(f"{name}.py" if python else f"{name}.yaml")
    content = (starter.PYTHON if python else starter.YAML).format(name=name, file=path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(f"{path} exists already", "choose another name, or remove it first") from None
    typer.echo(f"wrote {path}; try: lehi tasks check {path}")

"""`lehi tasks`: the tasks."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.console import Console

from lehi_cli.data.folder import data_folder
from lehi_cli.errors import Exit
from lehi_cli.registry import starter
from lehi_cli.registry import tasks as registry
from lehi_cli.render.document import Column, Table
from lehi_cli.render.findings import print_findings
from lehi_cli.render.table import print_table

from .shared.completion import task_names
from .shared.options import DataDir
from .shared.output import say
from .shared.shorthand import ShowGroup

app = typer.Typer(cls=ShowGroup, invoke_without_command=True, help="List, show and check tasks, or start your own.")


@app.callback()
def list_tasks(context: typer.Context) -> None:
    """List tasks."""
    if context.invoked_subcommand is not None:
        return
    catalog = registry.load()
    print_table(Console(), tasks_table())
    say(Console(stderr=True), catalog.notices)


def tasks_table() -> Table:
    """Every task, with what it trains and for how long."""
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
def show(name: Annotated[str, typer.Argument(help="Name or path of a task.", autocompletion=task_names)]) -> None:
    """Print a task: its file, and every key that `--set` can change."""
    record = registry.find(name)
    record.spec()
    typer.echo(f"# {record.origin}" if record.origin else "# no file")
    typer.echo(yaml.safe_dump(dict(record.content), sort_keys=False, default_flow_style=None).rstrip())


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(help="Names or paths of tasks.", autocompletion=task_names)],
    data_dir: DataDir = None,
    fake_data: Annotated[bool, typer.Option("--fake-data", help="Use synthetic data in place of real.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Check that tasks do what every task must.

    Takes a minute for a small task. The exit code is 1 if one fails.
    """
    from lehi_cli.conformance import check_task
    from lehi_cli.execute.environment import pick_device

    console, failed = Console(), 0
    place = pick_device(device)
    for name in names:
        registry.find(name).spec()
        title = f"{name}{' [FAKE DATA]' if fake_data else ''}"
        failed += print_findings(console, title, check_task(name, place, data_folder(data_dir), fake_data))
    if failed:
        raise typer.Exit(Exit.RUN_FAILED)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the task and of its file.")],
    python: Annotated[bool, typer.Option("--python", help="Write a Python file, for your own model or data.")] = False,
) -> None:
    """Write a commented, working file to start from."""
    suffix, content = (".py", starter.PYTHON) if python else (".yaml", starter.YAML)
    path = starter.write(name, suffix, content, "task")
    typer.echo(f"wrote {path}; try: lehi tasks check {path}")

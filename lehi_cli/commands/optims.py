"""`lehi optims`: the optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Annotated

import typer
from rich.console import Console

from lehi_cli.errors import Exit, Notice
from lehi_cli.registry import optimizers, starter
from lehi_cli.registry.optimizers import OptimizerRecord, Option
from lehi_cli.render.document import Column, Table
from lehi_cli.render.findings import print_findings
from lehi_cli.render.table import print_table
from lehi_cli.runs.specs import format_value

from .shared.completion import optimizer_names
from .shared.output import say
from .shared.shorthand import ShowGroup

KIND_WORDS: Mapping[str, str] = {
    "gradient": "one forward and one backward pass",
    "curvature": "one forward and two backward passes, the second of an auxiliary loss",
    "closure": "evaluates the mini-batch as often as it likes",
    "loss": "one forward and one backward pass, and the loss's value",
    "differentiable": "differentiates the gradient once more, for products with the Hessian",
    "whole": "gets the mini-batch, to evaluate in whole or in part as often as it likes",
}
ANY_OTHER = "Any optimizer of the package pytorch-optimizer is available as po.<Name>: try lehi optims po.Yogi"


app = typer.Typer(
    cls=ShowGroup,
    invoke_without_command=True,
    help="List, show and check optimizers, or start your own; `lehi optims NAME` shows one too.",
)


@app.callback()
def list_optimizers(context: typer.Context) -> None:
    """List optimizers."""
    if context.invoked_subcommand is not None:
        return
    catalog = optimizers.load()
    console = Console()
    print_table(console, optimizers_table())
    console.print(ANY_OTHER, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    say(Console(stderr=True), catalog.notices)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="Name of an optimizer, or path of its Python file.", autocompletion=optimizer_names)
    ],
) -> None:
    """Show an optimizer: rule, price, options, tuning space."""
    record = optimizers.find(name)
    console = Console()
    for line in _description(record):
        _print(console, line)
    for i, table in enumerate(options_tables(record)):
        if i:
            console.print()
        print_table(console, table)
    say(Console(stderr=True), [Notice(f"{record.name}: {record.notice}")] if record.notice else [])


@app.command()
def check(
    names: Annotated[
        list[str], typer.Argument(help="Names of optimizers, or paths of Python files.", autocompletion=optimizer_names)
    ],
) -> None:
    """Check that optimizers do what every optimizer must.

    Takes a few seconds for each. The exit code is 1 if one fails.
    """
    from lehi_cli.conformance import check_optimizer

    console = Console()
    records = [record for name in names for record in optimizers.find_all(name)]
    failed = sum(print_findings(console, record.name, check_optimizer(record)) for record in records)
    if failed:
        raise typer.Exit(Exit.RUN_FAILED)


@app.command()
def new(name: Annotated[str, typer.Argument(help="Name of the optimizer and of its file.")]) -> None:
    """Write a commented, working Python file to start from."""
    path = starter.write(name.removesuffix(".py"), ".py", starter.OPTIMIZER, "optimizer")
    typer.echo(f"wrote {path}; try: lehi optims check {path}")


def optimizers_table() -> Table:
    """Every optimizer with its price; remarks in brackets are left to `lehi optims NAME`."""
    prose, second = ("summary", "source"), ("kind", "source")
    names = ("optimizer", "passes", "state", "summary", *second)
    columns = [Column(name, part=int(name in second), right=False, wraps=name in prose) for name in names]
    rows = [[r.name, _short(r.passes), _short(r.state), r.summary, r.kind, r.source] for r in optimizers.load()]
    return Table(columns, rows, "passes in gradients per step, state in copies of the parameters")


def options_tables(record: OptimizerRecord) -> list[Table]:
    """The options of one optimizer, then the tuning space of those that have one."""
    prose = ("meaning", "allowed")
    names = ("option", "default", *prose)
    columns = [Column(name, part=int(name == "allowed"), right=False, wraps=name in prose) for name in names]
    rows = [[option.name, option.shown_default, option.help, _allowed(option)] for option in record.options]
    spaces = [[option.name, record.space[option.name]] for option in record.options if option.name in record.space]
    tuned = Table([Column("option", right=False), Column("tuning space", right=False)], spaces)
    return [Table(columns, rows), tuned] if spaces else [Table(columns, rows)]


def _description(record: OptimizerRecord) -> list[str]:
    """One optimizer in words, line by line."""
    facts = {
        "kind": f"{record.kind}: {KIND_WORDS[record.kind]}",
        "passes per step": record.passes,
        "state per parameter": record.state,
        "source": record.source,
    }
    if record.modes:
        facts["evaluation"] = "has weights of its own to evaluate with"
    lines = [f"{record.name}: {record.summary}", *(f"{key}: {value or 'not stated'}" for key, value in facts.items())]
    formula = [f"  {line}" for line in record.formula.splitlines()]
    return [*lines, "", *formula, ""] if formula else [*lines, ""]


def _print(console: Console, line: str) -> None:
    """Print a line as it is; on a terminal wrapped, with a hanging indent."""
    if console.is_terminal:
        further = " " * (len(line) - len(line.lstrip()) + 4)
        line = fill(line, console.width, subsequent_indent=further, break_on_hyphens=False)
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _short(text: str) -> str:
    """The text without a remark in brackets at its end."""
    return text.partition(" (")[0]


def _allowed(option: Option) -> str:
    if isinstance(option.default, bool) or option.type == "bool":
        return "true, false"
    return ", ".join(map(format_value, option.choices)) or option.within

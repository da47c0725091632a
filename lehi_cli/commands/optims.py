"""`lehi optims`: what there is to train with."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lehi_cli.registry import optimizers
from lehi_cli.registry.optimizers import OptimizerRecord, Option
from lehi_cli.render.table import Column, Table, print_table
from lehi_cli.specs import format_value

from .flow import say


def optims(name: Annotated[str | None, typer.Argument(help="One optimizer: its options and source.")] = None) -> None:
    """List optimizers, or show the options of one."""
    catalog = optimizers.load()
    console = Console()
    if name is None:
        print_table(console, optimizers_table())
        say(Console(stderr=True), catalog.notices)
        return
    record = optimizers.find(catalog, name)
    console.print(f"{record.name}: {record.summary}", markup=False, highlight=False)
    details = {"source": record.source, "passes per step": record.passes, "state per parameter": record.state}
    for key, value in details.items():
        console.print(f"{key}: {value or 'not stated'}", markup=False, highlight=False)
    console.print()
    print_table(console, options_table(record))


def optimizers_table() -> Table:
    """Every optimizer with its price."""
    names = ("optimizer", "summary", "passes per step", "state", "source")
    columns = [Column(name, right=False, wraps=name != "optimizer") for name in names]
    rows = [[r.name, r.summary, r.passes, r.state, r.source] for r in optimizers.load()]
    return Table(columns, rows, "state in copies of the parameters")


def options_table(record: OptimizerRecord) -> Table:
    """The options of one optimizer."""
    prose = ("allowed", "meaning")
    columns = [Column(name, right=False, wraps=name in prose) for name in ("option", "default", "allowed", "meaning")]
    rows = [[option.name, option.shown_default, _allowed(option), option.help] for option in record.options]
    return Table(columns, rows)


def _allowed(option: Option) -> str:
    return ", ".join(map(format_value, option.choices)) or option.within

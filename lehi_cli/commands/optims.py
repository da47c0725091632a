"""`lehi optims`: what there is to train with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from lehi_cli.errors import Notice
from lehi_cli.registry import optimizers
from lehi_cli.registry.optimizers import OptimizerRecord, Option
from lehi_cli.render.content import Column, Table
from lehi_cli.render.table import print_table
from lehi_cli.specs import format_value

from .output import say

KIND_WORDS: Mapping[str, str] = {
    "gradient": "one forward and one backward pass",
    "curvature": "one forward and two backward passes, the second of an auxiliary loss",
    "closure": "evaluates the mini-batch as often as it likes",
    "loss": "one forward and one backward pass, and the loss's value",
    "differentiable": "differentiates the gradient once more, for products with the Hessian",
    "whole": "is handed the mini-batch, to evaluate whole or in part as often as it likes",
}
ANY_OTHER = "Any optimizer of the package pytorch-optimizer is there as po.<Name>, such as po.Yogi: lehi optims po.Yogi"


def optims(
    name: Annotated[str | None, typer.Argument(help="One optimizer: its rule, price, options and source.")] = None,
) -> None:
    """List optimizers, or show one: its update rule, what a step costs, its options and where to look for good ones."""
    catalog = optimizers.load()
    console = Console()
    if name is None:
        print_table(console, optimizers_table())
        _print(console, ANY_OTHER)
        say(Console(stderr=True), catalog.notices)
        return
    record = optimizers.find(catalog, name)
    for line in _description(record):
        _print(console, line)
    print_table(console, options_table(record))
    say(Console(stderr=True), [Notice(f"{record.name}: {record.notice}")] if record.notice else [])


def optimizers_table() -> Table:
    """Every optimizer with its price; what stands in brackets is left to `lehi optims NAME`."""
    prose = ("summary", "source")
    names = ("optimizer", "kind", "passes", "state", *prose)
    columns = [Column(name, part=int(name == "source"), right=False, wraps=name in prose) for name in names]
    rows = [[r.name, r.kind, _short(r.passes), _short(r.state), r.summary, r.source] for r in optimizers.load()]
    return Table(columns, rows, "passes in gradients per step, state in copies of the parameters")


def options_table(record: OptimizerRecord) -> Table:
    """The options of one optimizer."""
    prose = ("allowed", "meaning")
    names = ("option", "default", *prose, "tuning space")
    columns = [Column(name, right=False, wraps=name in prose) for name in names]
    rows = [
        [option.name, option.shown_default, _allowed(option), option.help, record.space.get(option.name, "")]
        for option in record.options
    ]
    return Table(columns, rows)


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
    console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _short(text: str) -> str:
    """Without what stands in brackets at the end."""
    return text.partition(" (")[0]


def _allowed(option: Option) -> str:
    if isinstance(option.default, bool) or option.type == "bool":
        return "true, false"
    return ", ".join(map(format_value, option.choices)) or option.within

"""What references are generated from; a test checks that they are current.

They are written by `cog -r -P -I docs docs/reference.md docs/plugins.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from typer.main import get_command
from typer.testing import CliRunner

from lehi_cli.cli import VERBS, build
from lehi_cli.commands.optims import ANY_OTHER, optimizers_table
from lehi_cli.commands.tasks import tasks_table
from lehi_cli.conformance.optimizers import CHECKS
from lehi_cli.render import json as document
from lehi_cli.render.across import across_content
from lehi_cli.render.arrivals import arrival_content
from lehi_cli.render.document import Column, Table
from lehi_cli.render.gate import gate_data
from lehi_cli.render.prices import price_content
from lehi_cli.render.table import to_markdown

SCHEMA_PARTS = {
    "time_to_target": arrival_content,
    "prices": price_content,
    "across": across_content,
    "assertions": gate_data,
}


def commands() -> Iterator[tuple[str, ...]]:
    """Every verb, each followed by its own commands: `("tasks",)`, `("tasks", "show")`, ..."""
    verbs = get_command(build()).commands  # type: ignore[attr-defined]
    for verb in VERBS:
        yield (verb,)
        yield from ((verb, name) for name in getattr(verbs[verb], "commands", ()))


def print_help() -> None:
    """The help of `lehi` and of every command, as code blocks."""
    for words in [(), *commands()]:
        output = CliRunner().invoke(build(), [*words, "--help"], prog_name="lehi", env={"COLUMNS": "100"}).output
        print(f"\n### `{' '.join(['lehi', *words])}`\n\n```text\n{output.strip()}\n```")


def print_table(table: Table) -> None:
    """A table in Markdown, with its caption."""
    print(f"\n{to_markdown(table)}\n" + (f"\n{table.caption}\n" if table.caption else ""))


def print_tasks() -> None:
    """What `lehi tasks` lists."""
    print_table(tasks_table())


def print_checks() -> None:
    """What `lehi optims check` asks."""
    rows = [[name, inspect.getdoc(check).partition("\n")[0]] for name, check in CHECKS.items()]
    print_table(Table([Column(heading, right=False) for heading in ("check", "what must hold")], rows))


def print_schema() -> None:
    """The JSON document, key by key."""
    about, _, schema = (document.__doc__ or "").partition("Schema 1:")
    print(f"\n{about.strip()}\n\n```text\n{schema.strip()}")
    for name, writer in SCHEMA_PARTS.items():
        print(f"\n{name}: {inspect.getdoc(writer)}")
    print("```\n")


def print_optimizers() -> None:
    """What `lehi optims` lists."""
    print_table(optimizers_table())
    print(f"{ANY_OTHER.replace('po.<Name>', '`po.<Name>`').replace('lehi optims po.Yogi', '`lehi optims po.Yogi`')}.\n")

"""The command line: every verb, and the one place where errors become text and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from lehi_cli.commands.shared.completion import completed_words
from lehi_cli.commands.shared.once import each_option_once
from lehi_cli.commands.shared.options import TYPED
from lehi_cli.commands.shared.streams import checked_output
from lehi_cli.version import __version__

from .errors import LehiError

VERBS = ("train", "sweep", "compare", "report", "runs", "watch", "tasks", "data", "optims", "help")


def build(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command line with these verbs; only their modules are imported."""
    app = typer.Typer(
        name="lehi",
        help="Is this optimizer better than that one, on my task, at the same price, and how sure can I be?",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(root)
    for verb in verbs:
        module = import_module(f"lehi_cli.commands.{verb}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(getattr(module, verb))
    each_option_once(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lehi {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Global options; both are handled elsewhere, `--debug` in `main`."""


def _needed(words: Sequence[str]) -> Sequence[str]:
    """The verbs whose modules have to be imported for what was typed: the one that is named, or else all."""
    verb = next((word for word in words if not word.startswith("-")), "")
    return [verb] if verb in VERBS and verb != "help" else VERBS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments`, by default those of the process; it always ends in `SystemExit`."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    TYPED.set(arguments)
    with checked_output():
        _run(arguments)


def _run(arguments: Sequence[str]) -> None:
    try:
        build(_needed(completed_words() or arguments))(arguments, prog_name="lehi")
    except LehiError as error:
        if "--debug" in arguments:
            raise
        typer.echo(f"error: {error.message}", err=True)
        if error.hint:
            typer.echo(error.hint, err=True)
        sys.exit(error.exit_code)

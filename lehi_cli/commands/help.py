"""`lehi help`: what `--help` prints, for those who type the question first."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lehi_cli.errors import UnknownNameError

from .shared.completion import verb_names

Words = Annotated[
    list[str] | None,
    typer.Argument(help="A command, or several words of it: compare, optims show.", autocompletion=verb_names),
]


def help(context: typer.Context, words: Words = None) -> None:
    """Show the help of a command, or of all."""
    shown: Any = context.find_root()
    for word in words or ():
        known = getattr(shown.command, "commands", {})
        if word not in known:
            raise UnknownNameError("command", word, known)
        shown = known[word].make_context(word, [], parent=shown, resilient_parsing=True)
    typer.echo(shown.get_help())

"""The options that choose among the stored runs, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from lehi_cli.analysis.filters import Filter
from lehi_cli.runs.status import Status

from .completion import some_of, stored_labels, stored_optimizers, stored_tags, stored_tasks
from .spread import spread

OPTIONS: Mapping[str, Any] = {
    "task": typer.Option(
        "--task", help="Only these tasks, a comma list; `*` matches anything.", autocompletion=stored_tasks
    ),
    "optims": typer.Option(
        "--optims", help="Only these optimizers: names or labels.", autocompletion=stored_optimizers
    ),
    "label": typer.Option("--label", help="Only these labels.", autocompletion=stored_labels),
    "seeds": typer.Option("--seeds", help="Only these seeds: a count or a list."),
    "status": typer.Option(
        "--status", help="Only runs with these statuses, a comma list.", autocompletion=some_of(list(Status))
    ),
    "since": typer.Option("--since", help="Only runs started since a day, a time, or 2d, 12h, 30min ago."),
    "until": typer.Option("--until", help="Only runs started until then; a day includes all of it."),
    "tag": typer.Option("--tag", help="Only runs with one of these tags.", autocompletion=stored_tags),
}
"""How each is given on the command line, in the order of the help."""


ALL = Filter()
"""What is chosen when nothing is asked for; the default that marks a parameter's place."""


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a command's parameter `chosen: Filter` into one parameter for each thing to choose by."""
    return spread(command, "chosen", Filter, OPTIONS)

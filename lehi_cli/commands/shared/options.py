"""Options that several verbs share, each declared once."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lehi_cli.analysis import arrivals
from lehi_cli.analysis.margins import Margins, parse_margins
from lehi_cli.data.folder import DATA_VARIABLE
from lehi_cli.errors import UsageError
from lehi_cli.experiment.choices import DEFAULT_RUNS
from lehi_cli.experiment.report import Detail
from lehi_cli.experiment.space import SAMPLERS

from .completion import one_of, optimizer_names

if TYPE_CHECKING:
    from lehi_cli import gate

TYPED: ContextVar[Sequence[str]] = ContextVar("TYPED", default=())
"""The words typed after `lehi`, to show to users who want to go on from there."""

Optims = Annotated[
    str,
    typer.Option(
        help="Comma list such as lehi,adam:lr=3e-4; the first is the reference.", autocompletion=optimizer_names
    ),
]
Seeds = Annotated[str, typer.Option(help="A count N (seeds 0 to N-1) or a list such as 3,7,11.")]
AnySeeds = Annotated[
    str,
    typer.Option(help="A count N, a list such as 3,7,11, or auto[:max]: seed by seed until the verdict is settled."),
]
Sampler = Annotated[
    str, typer.Option(help="How trials are drawn: sobol, random or tpe.", autocompletion=one_of(SAMPLERS))
]
Space = Annotated[
    list[str] | None, typer.Option(help="Change the tuning space: lr=1e-5..1e-1/log, or lehi.clip=0.5..2/lin for one.")
]
Prune = Annotated[bool, typer.Option("--prune", help="End hopeless trials early; they still count as trials.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="LEHI_RUNS", help="Folder of the runs.")]
RunFolders = Annotated[
    list[Path],
    typer.Option(
        "--runs",
        envvar="LEHI_RUNS",
        help="Folder of the runs. Repeatable: several are read as one, and what is written goes to the first.",
    ),
]
DEFAULT_FOLDERS = [DEFAULT_RUNS]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data sets.", envvar=DATA_VARIABLE)]
Reference = Annotated[
    str | None, typer.Option(help="Label of the optimizer to compare with; by default the first one named.")
]
Margin = Annotated[
    str | None,
    typer.Option(help="Share of the reference within which a difference does not matter: 0.02, or accuracy=0.05."),
]
AllowDiverged = Annotated[
    bool, typer.Option("--allow-diverged", help="Let an assertion be true though its better side lost more runs.")
]
Brief = Annotated[bool, typer.Option("--brief", help="Show only the answer, one line per comparison.")]
Full = Annotated[bool, typer.Option("--full", help="Show everything there is to show.")]
Target = Annotated[str | None, typer.Option(help="Use this target, such as val_loss=0.1, instead of the task's.")]
Cost = Annotated[bool, typer.Option("--cost", help="Show the price table: time, memory and passes of a step.")]
Assertions = Annotated[
    list[str] | None,
    typer.Option("--assert", help="Exit 3 if false, 4 if inconclusive: 'lehi < adam @ val_loss'; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables and curves.")]


def parsed_margins(text: str | None) -> Margins:
    """The margins from `--margin`, parsed before anything is trained."""
    return Margins() if text is None else parse_margins(text)


def chosen_detail(brief: bool, full: bool) -> Detail:
    """How much to show.

    Raises:
        UsageError: when both `--brief` and `--full` are given.
    """
    if brief and full:
        raise UsageError("--brief and --full ask for opposite things", "give one of them, or neither")
    return "brief" if brief else "full" if full else "usual"


def parsed_target(text: str | None) -> arrivals.Target | None:
    """The target from `--target`, parsed before anything is trained."""
    return arrivals.parse_target(text) if text is not None else None


def parsed_assertions(texts: Sequence[str] | None) -> list[gate.Assertion]:
    """The assertions from `--assert`, parsed before anything is trained."""
    if not texts:
        return []
    from lehi_cli import gate

    return [gate.parse(text) for text in texts]

"""What a shell offers for a word that is being typed: names of tasks and optimizers, ids of what is stored.

The shell runs `lehi` with the words typed so far in its environment, and reads what is printed. So nothing else may be
printed, and nothing slow imported: names come from the registries and the store, which need no torch.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from lehi_cli.data import catalog
from lehi_cli.registry import optimizers, pytorch_optimizer_names, tasks
from lehi_cli.runs.comparisons import Comparisons
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.runs.tags import read_tags

VARIABLE = "_LEHI_COMPLETE"
BREAKS = (":", "=")  # bash makes words of their own of them
Offer = tuple[str, str]
"""What can be typed, and what it is."""

_BEFORE: ContextVar[str] = ContextVar("BEFORE", default="")
"""The part of the word that bash keeps: of `adam:lr=1e-3,sg` it completes only `1e-3,sg`."""


def completed_words() -> list[str] | None:
    """The words typed after `lehi`; None when no shell asks for completions.

    Of bash's words those that are one to the user are put together, as the other shells have them.
    """
    _BEFORE.set("")
    if VARIABLE not in os.environ:
        return None
    if "COMP_WORDS" not in os.environ:
        return _split(os.environ.get("_TYPER_COMPLETE_ARGS", ""))[1:]
    try:
        place = int(os.environ.get("COMP_CWORD", "0"))
    except ValueError:
        place = 0
    words = _split(os.environ["COMP_WORDS"])
    kept = words[:place]
    current = words[place] if place < len(words) else ""
    before: list[str] = []
    if current in BREAKS:  # the word after it is still empty
        kept, current = [*kept, current], ""
    while len(kept) > 1 and kept[-1] in BREAKS:
        before.insert(0, kept.pop())
        if kept[-1].startswith("-"):
            before = before[1:]
            break
        before.insert(0, kept.pop())
    _BEFORE.set("".join(before))
    os.environ["COMP_WORDS"] = shlex.join([*kept, current]) if current else shlex.join(kept)
    os.environ["COMP_CWORD"] = str(len(kept))
    return [*kept, current][1:]


def task_names(incomplete: str) -> list[Offer]:
    """Tasks, of a comma list its last item."""
    return _offered(incomplete, lambda _: [(record.name, _summary(record.content)) for record in tasks.load()])


def optimizer_names(incomplete: str) -> list[Offer]:
    """Optimizers, of a comma list its last item; after a colon the options of the one before it."""
    return _offered(incomplete, _optimizers)


def data_sets(incomplete: str) -> list[Offer]:
    """Data sets that can be fetched."""
    return _offered(
        incomplete, lambda _: [(name, corpus.what) for name, corpus in catalog.CORPORA.items()], is_list=False
    )


def stored_tasks(context: typer.Context, incomplete: str) -> list[Offer]:
    """Tasks that have runs."""
    return _offered(incomplete, lambda _: [(run.task, "") for run in _runs(context)])


def stored_optimizers(context: typer.Context, incomplete: str) -> list[Offer]:
    """Optimizers that have runs, by name and by label."""
    return _offered(incomplete, lambda _: [(name, "") for run in _runs(context) for name in (run.optimizer, run.label)])


def stored_labels(context: typer.Context, incomplete: str) -> list[Offer]:
    """Labels of the stored runs."""
    return _offered(incomplete, lambda _: [(run.label, "") for run in _runs(context)])


def stored_tags(context: typer.Context, incomplete: str) -> list[Offer]:
    """Tags of the stored runs."""

    def known(_: str) -> list[Offer]:
        return [(tag, "") for store in _stores(context) for tags in read_tags(store).values() for tag in tags]

    return _offered(incomplete, known)


def comparison_ids(context: typer.Context, incomplete: str) -> list[Offer]:
    """Stored comparisons, the newest first."""

    def known(_: str) -> Iterator[Offer]:
        for store in _stores(context):
            for record in reversed(Comparisons(store).shown):
                yield record.id, shlex.join(["lehi", *record.command])

    return _offered(incomplete, known, is_list=False)


def run_ids(context: typer.Context, incomplete: str) -> list[Offer]:
    """Stored runs, the newest first."""

    def known(_: str) -> Iterator[Offer]:
        for run in reversed(_runs(context)):
            yield run.run_id, f"{run.task} {run.label} seed {run.seed}, {run.status}"

    return _offered(incomplete, known, is_list=False)


def verb_names(context: typer.Context, incomplete: str) -> list[Offer]:
    """Commands, or those of a group whose name was typed before."""

    def known(_: str) -> Iterator[Offer]:
        command: Any = context.find_root().command
        for word in context.params.get("words") or ():
            command = command.commands[word]
        yield from ((name, own.get_short_help_str()) for name, own in getattr(command, "commands", {}).items())

    return _offered(incomplete, known, is_list=False)


def one_of(allowed: Sequence[str]) -> Callable[[str], list[Offer]]:
    """What completes an option that takes one of a few words."""

    def offered(incomplete: str) -> list[Offer]:
        return _offered(incomplete, lambda _: [(word, "") for word in allowed], is_list=False)

    return offered


def some_of(allowed: Sequence[str]) -> Callable[[str], list[Offer]]:
    """What completes an option that takes a comma list of a few words."""

    def offered(incomplete: str) -> list[Offer]:
        return _offered(incomplete, lambda _: [(word, "") for word in allowed])

    return offered


def _offered(incomplete: str, known: Callable[[str], Iterable[Offer]], *, is_list: bool = True) -> list[Offer]:
    """What the word can become.

    Args:
        incomplete: the word as far as the shell completes it.
        known: from what is being typed, all that could stand there.
        is_list: whether the word is a comma list, of which the last item is completed.
    """
    before = _BEFORE.get()
    first, comma, last = f"{before}{incomplete}".rpartition(",") if is_list else ("", "", f"{before}{incomplete}")
    given = set(first.split(","))
    found = dict[str, str]()
    for name, what in _quietly(lambda: list(known(last))):
        if name.startswith(last) and name not in given:
            found.setdefault(f"{first}{comma}{name}".removeprefix(before), escape(what))
    return list(found.items())


def _quietly(known: Callable[[], list[Offer]]) -> list[Offer]:
    """Nothing where it fails: somebody is in the middle of a word, and plug-ins may print and raise what they like."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(Exception):
        return known()
    return []


def _optimizers(typed: str) -> Iterator[Offer]:
    known = optimizers.load()
    name, *options = typed.split(":")
    if not options:
        yield from ((record.name, record.summary) for record in known)
        if typed.startswith(pytorch_optimizer_names.PREFIX[:2]):
            yield from ((f"{pytorch_optimizer_names.PREFIX}{own}", "") for own in pytorch_optimizer_names.names())
        return
    start = ":".join([name, *options[:-1]])
    taken = {option.partition("=")[0] for option in options[:-1]}
    for option in optimizers.find(name).options:
        if option.name not in taken:
            yield f"{start}:{option.name}=", option.help
    yield f"{start}:label=", "a display name"


def _summary(content: object) -> str:
    return str(content.get("summary", "")) if isinstance(content, dict) else ""


def _runs(context: typer.Context) -> list[StoredRun]:
    return [run for store in _stores(context) for run in store.runs()]


def _stores(context: typer.Context) -> list[Store]:
    """The stores named so far by `--runs`, or those it stands for."""
    named = context.params.get("runs")
    return [Store(Path(root)) for root in (named if isinstance(named, list | tuple) else [named]) if root is not None]


def _split(text: str) -> list[str]:
    """Words as a shell reads them, the last of which may lack its closing quote."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = []
    try:
        for word in lexer:
            words.append(word)
    except ValueError:
        words.append(lexer.token)
    return words

"""Options that hold one value are given once, whatever the verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commanded import Lehi
from typer.main import get_command

from lehi_cli.cli import build


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below the root, with the words that call it."""
    if words:
        yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*words, name))


def options(multiple: bool) -> list[tuple[tuple[str, ...], str]]:
    """Every option of every command that takes a value: those that take one, or those that take several."""
    return [
        (words, name)
        for words, command in commands(get_command(build()))
        for option in command.params
        if option.param_type_name == "option" and not option.is_flag and option.multiple == multiple
        for name in option.opts
        if name.startswith("--")
    ]


NUMBERS = ("--tune", "--steps", "--jobs", "--threads", "--margin", "--epochs", "--passes", "--seconds", "--trials")
REQUIRED = {"train": ("--task", "digits"), "sweep": ("--task", "digits"), "compare": ("--task", "digits")}
ARGUMENTS = {
    "diff": ("a", "b"),
    "tag": ("a",),
    "rm": ("a",),
    "fetch": ("digits",),
    "path": ("digits",),
    "show": ("digits",),
    "check": ("digits",),
    "new": ("mine",),
}


def typed(words: tuple[str, ...], name: str) -> list[str]:
    """A command with an option given twice."""
    value = "1" if name in NUMBERS else "x"
    needed = () if name == "--task" else REQUIRED.get(words[0], ())
    arguments = ARGUMENTS.get(words[-1], ()) if len(words) > 1 else ()
    return [*words, *needed, *arguments, name, value, f"{name}={value}"]


SINGLE = options(multiple=False)


def test_there_are_options_to_look_at() -> None:
    assert {words[0] for words, _ in SINGLE} >= {"train", "sweep", "compare", "report", "data"}
    assert (("compare",), "--runs") in SINGLE
    assert (("compare",), "--set") in options(multiple=True)


@pytest.mark.parametrize(("words", "name"), SINGLE, ids=[" ".join([*words, name]) for words, name in SINGLE])
def test_an_option_given_twice_is_refused(lehi: Lehi, words: tuple[str, ...], name: str) -> None:
    result = lehi(*typed(words, name))
    assert result.code == 2
    assert f"{name} takes one value, but is given 2 times" in result.err
    assert not Path("runs").exists()


def test_repeatable_options_and_flags_may_be_repeated(lehi: Lehi) -> None:
    changes = ("--set", "batch_size=32", "--set", "evaluations=1", "--quiet", "--quiet")
    result = lehi("train", "--task", "digits", "--optim", "adam", "--steps", "3", *changes)
    assert result.code == 0, result.err


def test_help_is_help_whatever_else_is_typed(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "a", "--task", "b", "--help")
    assert result.code == 0
    assert "Usage: lehi compare" in result.out

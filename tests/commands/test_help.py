"""`lehi help`: the same as `--help`."""

from __future__ import annotations

import pytest
from commanded import Lehi

from lehi_cli.cli import VERBS


@pytest.mark.parametrize(
    "words", [(), *((verb,) for verb in VERBS), ("optims", "show"), ("data", "fetch")], ids=" ".join
)
def test_help_is_what_the_option_prints(lehi: Lehi, words: tuple[str, ...]) -> None:
    result = lehi("help", *words)
    assert result.code == 0
    assert result.out == lehi(*words, "--help").out
    assert result.out.startswith(f"Usage: {' '.join(['lehi', *words])} ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compar",), "unknown command 'compar'; did you mean 'compare'?"),
        (("optims", "shwo"), "unknown command 'shwo'; did you mean 'show'?"),
        (("compare", "show"), "unknown command 'show'"),
    ],
)
def test_help_on_what_is_not_there_is_refused(lehi: Lehi, words: tuple[str, ...], said: str) -> None:
    result = lehi("help", *words)
    assert result.code == 2
    assert said in result.err


def test_every_verb_is_listed(lehi: Lehi) -> None:
    listed = [line.split()[0] for line in lehi("help").out.partition("Commands:\n")[2].splitlines()]
    assert sorted(listed) == sorted(VERBS)

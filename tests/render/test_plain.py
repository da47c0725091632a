"""Terminals that lack characters."""

from __future__ import annotations

import pytest

from lehi_cli.render.plain import PLAIN, register


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("ascii", "0.136±0.006 · ┤●░▲│ é ü 数", "0.136+-0.006 . +0:^| e u ?"),
        ("latin-1", "0.136±0.006 · ┤é", "0.136\xb10.006 \xb7 +\xe9"),
        ("cp1252", "0.1±0.2 …●", "0.1\xb10.2 \x850"),
    ],
)
def test_what_an_encoding_lacks_is_replaced(encoding: str, text: str, written: str) -> None:
    assert text.encode(encoding, register()) == written.encode("latin-1")


def test_pictures_keep_their_columns() -> None:
    assert {len(plain) for character, plain in PLAIN.items() if character != "±"} == {1}

"""The grammar of an assertion.

    assertion = side ("<" | "<=" | ">" | ">=") side ["@" column]
    side      = ["-"] product {("+" | "-") product}
    product   = factor {"*" factor}
    factor    = number | optimizer | optimizer "." column

A side has at most one optimizer, and at least one side has one: a side is factor * value + offset. An optimizer is
named by its label or its name as it stands: `adam:lr=1e-3` and `po.Yogi` are one word each. So a minus inside a word
belongs to it, and one that subtracts needs a space before it; `+`, `*`, `<`, `>` and `@` end a word. Which part of a
word is the column is decided once the optimizers are known, see `lehi_cli.gate.binding`. Unusual labels are quoted:
`'my label'.val_loss`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from lehi_cli.errors import UsageError

Operator = Literal["<", "<=", ">", ">="]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<quoted>(?P<quote>['"])(?P<label>.+?)(?P=quote)(?:\.(?P<column>\w+))?)
  | (?P<word>(?:\w|\.\d)(?:[\w.:=/%-]|(?<=\d[eE])\+(?=\d))*)
  | (?P<operator><=|>=|<|>)
  | (?P<sign>[-+])
  | (?P<times>\*)
  | (?P<at>@)
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_EXAMPLE = "for example 'lehi < adam @ val_loss' or 'lehi.ms_per_step <= 1.8*adam'"


@dataclass(frozen=True)
class Reference:
    """An optimizer as written.

    Attributes:
        text: a label or name; unless it was quoted, perhaps with `.column` at its end.
        is_quoted: whether `text` is a label as a whole.
        column: the column after the quotes; empty for none.
    """

    text: str
    is_quoted: bool = False
    column: str = ""


@dataclass(frozen=True)
class Side:
    """factor * value of the reference + offset; a plain number if there is no reference."""

    reference: Reference | None
    factor: float
    offset: float

    def of(self, value: float) -> float:
        """The side's value where its reference has `value`."""
        return self.factor * value + self.offset


@dataclass(frozen=True)
class Assertion:
    """A parsed assertion.

    Attributes:
        text: the assertion as written, for people to recognise.
        left: left side.
        operator: the operator between the sides.
        right: right side.
        column: the column that `@` gives to each optimizer without its own; empty for none.
    """

    text: str
    left: Side
    operator: Operator
    right: Side
    column: str = ""

    @property
    def is_below(self) -> bool:
        """Whether it says that the left side is the lower one."""
        return self.operator in ("<", "<=")

    @property
    def allows_equal(self) -> bool:
        """Whether equal sides satisfy it."""
        return self.operator in ("<=", ">=")


def parse(text: str) -> Assertion:
    """Parse an assertion; whether its optimizers and columns exist is checked later.

    Raises:
        UsageError: for a malformed assertion, showing the place.
    """
    return _Reader(re.sub(r"\s", " ", text.strip())).assertion()


@dataclass(frozen=True)
class _Token:
    kind: str
    match: re.Match[str]

    @property
    def text(self) -> str:
        return self.match.group()


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str):
        self._text = text
        self._tokens = list(self._split())
        self._next = 0

    def assertion(self) -> Assertion:
        left = self._side()
        operator = self._take("operator")
        if operator is None:
            raise self._error("expected <, <=, > or >=")
        right = self._side()
        column = self._column()
        if self._peek() is not None:
            raise self._error("expected nothing more")
        if left.reference is None and right.reference is None:
            raise UsageError(f"{self._text!r} names no optimizer", _EXAMPLE)
        return Assertion(self._text, left, cast(Operator, operator.text), right, column)

    def _split(self) -> Iterator[_Token]:
        place = 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None:
                is_quote = self._text[place] in "'\""
                raise self._error_at(
                    place, "this quote is not closed" if is_quote else "this character has no meaning here"
                )
            place = match.end()
            kind = next(kind for kind in _KINDS if match[kind] is not None)
            if kind != "space":
                yield _Token("number" if _NUMBER.fullmatch(match.group()) else kind, match)

    def _side(self) -> Side:
        reference, factor, offset = None, 0.0, 0.0
        sign = self._take("sign")
        while True:
            start = self._place()
            found, value = self._product(-1.0 if sign is not None and sign.text == "-" else 1.0)
            if found is None:
                offset += value
            elif reference is not None:
                raise self._error_at(start, "a side has at most one optimizer")
            elif not value:
                raise self._error_at(start, "0 times an optimizer is 0")
            else:
                reference, factor = found, value
            sign = self._take("sign")
            if sign is None:
                return Side(reference, factor, offset)

    def _product(self, value: float) -> tuple[Reference | None, float]:
        """A product, times `value`: the optimizer in it, if any, and its factor."""
        reference = None
        while True:
            start = self._place()
            found = self._factor()
            if isinstance(found, float):
                value *= found
            elif reference is not None:
                raise self._error_at(start, "a side has at most one optimizer")
            else:
                reference = found
            if self._take("times") is None:
                return reference, value

    def _factor(self) -> float | Reference:
        sign = self._take("sign")
        number = self._take("number")
        if number is not None:
            value = float(number.text)
            if not math.isfinite(value):
                raise self._error_at(number.match.start(), "this number is too large")
            return -value if sign is not None and sign.text == "-" else value
        if sign is None:
            quoted = self._take("quoted")
            if quoted is not None:
                return Reference(quoted.match["label"], True, quoted.match["column"] or "")
            word = self._take("word")
            if word is not None:
                return Reference(word.text)
        raise self._error("expected a number" + (" or an optimizer" if sign is None else ""))

    def _column(self) -> str:
        if self._take("at") is None:
            return ""
        word = self._take("word")
        if word is None:
            raise self._error("expected a column, such as val_loss")
        return word.text

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, kind: str) -> _Token | None:
        token = self._peek()
        if token is None or token.kind != kind:
            return None
        self._next += 1
        return token

    def _place(self) -> int:
        token = self._peek()
        return len(self._text) if token is None else token.match.start()

    def _error(self, why: str) -> UsageError:
        return self._error_at(self._place(), why)

    def _error_at(self, place: int, why: str) -> UsageError:
        return UsageError(f"malformed assertion: {why}\n  {self._text}\n  {' ' * place}^", _EXAMPLE)


_KINDS = ("space", "quoted", "word", "operator", "sign", "times", "at")

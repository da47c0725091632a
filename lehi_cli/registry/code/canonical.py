"""Code as text that changes only when the code may do something else.

The text follows the syntax tree, so it contains no line breaks, blanks or comments. Docstrings and other statements
that are mere constants are left out, and so are `pass` and the annotations of arguments, results and variables; those
of a class's fields stay, because a dataclass is made of them. Empty fields of the tree are left out too, and strings
are written in ASCII, so that a newer Python, with more fields and more characters, writes the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_LEFT_OUT = {"annotation", "ctx", "kind", "returns", "type_comment", "type_params"}
_STATEMENTS = {"body", "orelse", "finalbody"}


def canonical(node: ast.AST) -> str:
    """The text of a statement or an expression."""
    return "".join(_parts(node, False))


def _parts(node: ast.AST, in_class: bool) -> Iterator[str]:
    """The pieces of the text of `node`; `in_class` says whether it is directly in the body of a class."""
    if isinstance(node, ast.Constant):
        yield ascii(node.value)
        return
    if isinstance(node, ast.AnnAssign) and in_class:
        yield "(Field "
        yield from _parts(node.annotation, False)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign([node.target], node.value)
        yield "(Assign"
    else:
        yield f"({type(node).__name__}"
    for name, value in _fields(node):
        yield f" {name}="
        yield from _value(value, isinstance(node, ast.ClassDef) and name == "body")
    yield ")"


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The fields that are not empty and matter for what the code does."""
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(node, ast.JoinedStr) and name == "values":
            value = _merged(value or [])
        elif name in _STATEMENTS and isinstance(value, list):
            value = [one for one in value if not does_nothing(one, isinstance(node, ast.ClassDef))]
        if name not in _LEFT_OUT and value is not None and value != []:
            yield name, value


def _value(value: object, in_class: bool) -> Iterator[str]:
    if isinstance(value, list):
        yield "["
        for item in value:
            yield from _value(item, in_class)
            yield ","
        yield "]"
    elif isinstance(value, ast.AST):
        yield from _parts(value, in_class)
    else:
        yield ascii(value)


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """The pieces of an f-string with adjacent texts joined: Python versions differ in where they split them."""
    merged: list[ast.expr] = []
    for piece in values:
        last = merged[-1] if merged else None
        if isinstance(piece, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(str(last.value) + str(piece.value))
        elif not (isinstance(piece, ast.Constant) and piece.value == ""):
            merged.append(piece)
    return merged


def does_nothing(statement: ast.AST, in_class: bool = False) -> bool:
    """Whether a statement is `pass`, a docstring or other mere constant, or declares a variable without a value."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.AnnAssign):
        return statement.value is None and not in_class
    return isinstance(statement, ast.Pass)

"""What a module defines, and what each definition uses: all that is needed from its source, as plain data.

A definition is a statement at the top of the module that binds names: a function, a class, an assignment, or an `if`
or `try` around these. Any other statement acts when the module is imported and is kept as a definition with `acts`.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from .canonical import canonical, does_nothing
from .names import Import, Names, imports_of, names_of

_FILE_NAME = re.compile(r"[\w.\-]+(/[\w.\-]+)*\.\w+")  # relative, with a suffix, no blanks
_DIGITS = 16


@dataclass(frozen=True)
class Definition:
    """A statement at the top of a module.

    Attributes:
        names: the names it binds.
        digest: hash of its text, and of the imports behind the names it uses.
        uses: names of the module that it uses, with their attributes.
        imports: what it imports inside.
        calls: those of `uses` that are called while the module is imported: decorators, and calls in assigned values.
        files: strings that may be names of files.
        acts: whether it does something when the module is imported, besides binding its names.
        mutates: whether it may change something that the module holds.
        variable: whether it is an assignment.
    """

    names: tuple[str, ...]
    digest: str
    uses: tuple[str, ...]
    imports: tuple[Import, ...] = ()
    calls: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    acts: bool = False
    mutates: bool = False
    variable: bool = False


@dataclass(frozen=True)
class Outline:
    """A module: its definitions in order, and the names it imports."""

    definitions: tuple[Definition, ...]
    imports: tuple[Import, ...]

    @cached_property
    def defining(self) -> Mapping[str, list[int]]:
        """For each name, the numbers of the definitions that bind it."""
        found: dict[str, list[int]] = {}
        for number, definition in enumerate(self.definitions):
            for name in definition.names:
                found.setdefault(name, []).append(number)
        return found

    @cached_property
    def importing(self) -> Mapping[str, list[Import]]:
        """For each name, the imports that bind it; under `*` the star imports."""
        found: dict[str, list[Import]] = {}
        for one in self.imports:
            found.setdefault(one[0], []).append(one)
        return found

    @cached_property
    def unused(self) -> list[Import]:
        """The imports whose name no definition uses."""
        used = {chain.partition(".")[0] for definition in self.definitions for chain in definition.uses}
        return [one for one in self.imports if one[0] not in used]


def outline(source: bytes) -> Outline:
    """The outline of a module with this source.

    Raises:
        SyntaxError: when it is not Python.
        ValueError: when it holds null bytes.
    """
    statements = list(_statements(ast.parse(source).body))
    imports: list[Import] = []
    for statement in statements:
        for node in _outside_functions(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.extend(imports_of(node))
    bound = tuple(dict.fromkeys(imports))
    definitions = (_definition(one, bound) for one in statements if not isinstance(one, ast.Import | ast.ImportFrom))
    return Outline(tuple(definitions), bound)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run on import, leaving out those for type checkers and for `python FILE`."""
    for statement in body:
        if isinstance(statement, ast.If) and _is_aside(statement.test):
            yield from _statements(statement.orelse)
        elif not does_nothing(statement):
            yield statement


def _is_aside(test: ast.expr) -> bool:
    text = ast.unparse(test)
    return text in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")


def _definition(statement: ast.stmt, imports: tuple[Import, ...]) -> Definition:
    found = names_of(statement)
    calls = tuple(sorted(names_of(*_called(statement)).chains))
    files = tuple(sorted(text for text in found.texts if len(text) < 256 and _FILE_NAME.fullmatch(text)))
    return Definition(
        names=tuple(dict.fromkeys(_bound(statement))),
        digest=_digest(statement, found, imports),
        uses=tuple(sorted(found.chains)),
        imports=tuple(sorted(found.imports)),
        calls=calls,
        files=files,
        acts=not _is_plain(statement),
        mutates=found.mutates,
        variable=isinstance(statement, ast.Assign | ast.AnnAssign),
    )


def _digest(statement: ast.stmt, found: Names, imports: tuple[Import, ...]) -> str:
    """Hash of a definition; one that reads the same but imports a name from elsewhere is a different one."""
    heads = {chain.partition(".")[0] for chain in found.chains}
    lines = sorted(f"{name}={module}:{inner}" for name, module, inner in imports if name in heads)
    return hashlib.sha256("\n".join([canonical(statement), *lines]).encode()).hexdigest()[:_DIGITS]


def _called(statement: ast.stmt) -> Iterator[ast.AST]:
    """The functions called when a statement runs, if it is a function, a class or an assignment."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from statement.decorator_list
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        yield from (node.func for node in ast.walk(statement.value) if isinstance(node, ast.Call))


def _is_plain(statement: ast.stmt) -> bool:
    """Whether a statement only binds names, as far as can be seen."""
    if isinstance(statement, ast.If | ast.Try):
        return all(_is_plain(one) for one in _inner(statement))
    if isinstance(statement, ast.Assign):
        return all(_is_name(target) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return _is_name(statement.target)
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Raise)
    return isinstance(statement, kinds) or does_nothing(statement)


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(_is_name(part) for part in target.elts)
    return isinstance(target, ast.Name) or (isinstance(target, ast.Starred) and _is_name(target.value))


def _inner(statement: ast.If | ast.Try) -> Iterator[ast.stmt]:
    yield from statement.body
    yield from statement.orelse
    if isinstance(statement, ast.Try):
        yield from statement.finalbody
        for handler in statement.handlers:
            yield from handler.body


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names of the module that a statement binds."""
    for node in _outside_functions(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name for name, _, _ in imports_of(node))


def _outside_functions(statement: ast.AST) -> Iterator[ast.AST]:
    """A statement and those of its nodes that are not inside a function, a class or a comprehension."""
    yield statement
    closed = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    if isinstance(statement, closed | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return
    for node in ast.iter_child_nodes(statement):
        yield from _outside_functions(node)

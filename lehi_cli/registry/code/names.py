"""The names that a piece of code takes from the module it is in.

Arguments and whatever a function binds are its own and do not count, even where functions are nested. A class's own
names do count: its methods do not see them, and counting one too many only makes a run's identity narrower. Annotations
of arguments, results and variables are ignored, those of a class's fields are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Import = tuple[str, str, str]
"""The bound name, the module as written, with its dots, and the name in it; empty for the module itself."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_MUTATORS = {"add", "append", "appendleft", "extend", "insert", "register", "setdefault", "update"}


@dataclass
class Names:
    """What a piece of code uses.

    Attributes:
        chains: names of the module, with the attributes that follow: `functional.relu`.
        imports: what it imports inside.
        texts: the strings in it.
        mutates: whether it may change something that the module holds.
    """

    chains: set[str] = field(default_factory=set)
    imports: set[Import] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    mutates: bool = False


def names_of(*nodes: ast.AST) -> Names:
    """What `nodes` at the top of a module use."""
    visitor = _Visitor()
    for node in nodes:
        visitor.visit(node)
    return visitor.found


def imports_of(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """What an import statement binds; a star import binds `*`."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, "." * node.level + (node.module or ""), alias.name
        elif alias.asname:
            yield alias.asname, alias.name, ""
        else:
            top = alias.name.partition(".")[0]
            yield top, top, ""


class _Visitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = Names()
        self._own: list[set[str]] = []
        self._in_class = False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all(node.decorator_list)
        self._function(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: _Function, body: Iterable[ast.AST]) -> None:
        self._all(default for default in (*node.args.defaults, *node.args.kw_defaults) if default)
        with_class, self._in_class = self._in_class, False
        self._own.append(_bound(node))
        self._all(body)
        self._own.pop()
        self._in_class = with_class

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        with_class, self._in_class = self._in_class, True
        self._all(node.body)
        self._in_class = with_class

    def _comprehension(self, node: _Comprehension) -> None:
        self.visit(node.generators[0].iter)  # evaluated outside the comprehension
        self._own.append({name for part in node.generators for name in _stored(part.target)})
        for number, part in enumerate(node.generators):
            self._all([part.target, *part.ifs, *([part.iter] if number else [])])
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._own.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._all(part for part in (node.target, node.value, self._in_class and node.annotation) if part)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._use(node.target.id)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        self._stored_into(node)
        if chain is None:
            self.visit(node.value)
        else:
            self._use(chain if isinstance(node.ctx, ast.Load) else chain.rpartition(".")[0])

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._stored_into(node)
        self.generic_visit(node)

    def _stored_into(self, node: ast.Attribute | ast.Subscript) -> None:
        root = _root(node)
        if root is not None and not isinstance(node.ctx, ast.Load):
            self.found.mutates |= root == "cls" or not self._is_own(root)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS:
            root = _root(node.func)
            self.found.mutates |= root == "cls" or (root is not None and not self._is_own(root))
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.found.mutates = True
        self.found.chains.update(node.names)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.texts.add(node.value)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.found.imports.update(imports_of(node))
        if isinstance(node, ast.Import):  # import a.b.c binds only a, and loads the others
            self.found.chains.update(alias.name for alias in node.names if not alias.asname and "." in alias.name)

    visit_ImportFrom = visit_Import  # noqa: N815

    def _use(self, chain: str) -> None:
        if not self._is_own(chain.partition(".")[0]):
            self.found.chains.add(chain)

    def _is_own(self, name: str) -> bool:
        return any(name in scope for scope in self._own)

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _chain(node: ast.expr) -> str | None:
    """`a.b.c` as text; None for an attribute of anything but a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _root(node: ast.expr) -> str | None:
    """The name from which attributes and subscripts start."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _bound(node: _Function) -> set[str]:
    """A function's own names: its arguments, and what it binds by anything but an import."""
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = {argument.arg for argument in listed if argument}
    outside: set[str] = set()
    pending: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Global | ast.Nonlocal):
            outside.update(part.names)
        found.update(_binds(part))
        pending.extend(_within(part))
    return found - outside


def _binds(part: ast.AST) -> Iterator[str]:
    """The names that a single node of a function's body binds."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield part.name
    elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
        yield part.id
    elif isinstance(part, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and part.name:
        yield part.name
    elif isinstance(part, ast.MatchMapping) and part.rest:
        yield part.rest


def _within(part: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that belong to the same function; for a comprehension, what `:=` binds."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(part, _Comprehension):
        yield from (below.target for below in ast.walk(part) if isinstance(below, ast.NamedExpr))
        return
    yield from ast.iter_child_nodes(part)


def _stored(target: ast.AST) -> Iterator[str]:
    return (part.id for part in ast.walk(target) if isinstance(part, ast.Name))

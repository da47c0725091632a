"""The definitions that a piece of code reaches, whatever modules they are in.

The search starts from what a reference names and goes from each definition to those it uses, through imports of every
form. So `lehi_cli.optim:LEHI` reaches the functions that LEHI computes with and not SFN, though both are imported in
one place. What runs because a module is imported counts as soon as anything in the module does.

Where reading the source cannot tell, all of a module counts: when it is passed on as a value, when code looks into
`globals()`, and when the module creates names on demand. What is not seen: methods of objects that come from elsewhere
(they are reached from where the object is made), and modules that are imported under a computed name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .outline import Definition, Outline
from .sources import Sources

HOME = "lehi_cli"

PLATFORM = frozenset(
    {
        *("PIL", "jax", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "torch", "torchaudio", "torchvision", "yaml"),
        *("datasets", "matplotlib", "optuna", "platformdirs", "ray", "rich", "tokenizers", "tqdm", "typer"),
    }
)
"""Packages that are never followed: the foundation of all code, and helpers that decide no number.

A list, not a rule: whether a package brings compiled code depends on the machine, and a run's id must not.
"""

ASIDE = (
    "lehi_cli.curvature.resolve",  # finds a loss by its name, which every run has
    "lehi_cli.data.catalog",  # finds files, whose contents the data's checksum tells
    "lehi_cli.errors",
    "lehi_cli.runs.records",
    "lehi_cli.runs.status",
    "lehi_cli.registry",  # finds what a run names, which counts by itself
)
"""Modules that are not followed, because they decide no number."""

_LOOKS_ROUND = {"globals", "eval", "exec", "sys.modules"}

Node = tuple[str, int]
"""A definition: its module, and its number in it."""


class Closure:
    """What some code reaches.

    Args:
        sources: where modules are.
        module: the module to start from.
        home: the packages that are followed into what they import; by default those of the tool and of `module`.
        with_acts: whether what a module does when it is imported counts.

    Attributes:
        reached: the definitions, by module and number.
    """

    def __init__(
        self, sources: Sources, module: str, home: frozenset[str] = frozenset(), with_acts: bool = True
    ) -> None:
        self._sources = sources
        self._home = home or frozenset({HOME, module.partition(".")[0]})
        self._with_acts = with_acts
        self._pending: list[Node] = []
        self._looked_up: dict[tuple[str, str], bool] = {}
        self._touched: set[str] = set()
        self._whole: set[str] = set()
        self.reached: set[Node] = set()

    @property
    def definitions(self) -> Iterator[tuple[str, Definition]]:
        """The definitions reached, each with its module."""
        return ((module, self._outline(module).definitions[number]) for module, number in sorted(self.reached))

    @property
    def modules(self) -> set[str]:
        """The modules that were searched on the way, and the packages above them."""
        names = {module for module, _ in self._looked_up} | self._whole | self._touched
        parts = {name: name.split(".") for name in names}
        return {".".join(of[:depth]) for of in parts.values() for depth in range(1, len(of) + 1)}

    @property
    def files(self) -> set[Path]:
        """The data files that reached definitions read: files beside their module whose names they contain."""
        beside: set[Path] = set()
        for module, definition in self.definitions:
            path = self._sources.path(module)
            found = (path.parent / name for name in definition.files if path is not None)
            beside.update(file for file in found if file.suffix != ".py" and file.is_file())
        return beside

    def follow(self, module: str, chain: str) -> bool:
        """Reach what a name with its attributes means in a module, and all it uses; False if there is no such name."""
        found = self._look_up(module, chain)
        self._go_through()
        return found

    def _go_through(self) -> None:
        while self._pending:
            self._go_on(*self._pending.pop())

    def _outline(self, module: str) -> Outline:
        return self._sources.outline(module)

    def _go_on(self, module: str, number: int) -> None:
        """Go from a definition to what it uses."""
        definition = self._outline(module).definitions[number]
        heads = {chain.partition(".")[0] for chain in definition.uses}
        for bound, target, name in definition.imports:
            if bound not in heads:
                self._touch_imported(module, target, name)
        for chain in definition.uses:
            head, _, rest = chain.partition(".")
            for bound, target, name in definition.imports:
                if bound == head:
                    self._import(module, target, name, rest)
            if not self._look_up(module, chain) and {head, ".".join(chain.split(".")[:2])} & _LOOKS_ROUND:
                self._take_all(module)

    def _look_up(self, module: str, chain: str) -> bool:
        """Reach what a chain of names means in a module."""
        if (module, chain) not in self._looked_up:
            self._looked_up[module, chain] = False  # until it is found: star imports may be circular
            self._looked_up[module, chain] = self._bound(module, chain)
        return self._looked_up[module, chain]

    def _bound(self, module: str, chain: str) -> bool:
        head, _, rest = chain.partition(".")
        outline = self._outline(module)
        numbers, imports = outline.defining.get(head, ()), outline.importing.get(head, ())
        for number in numbers:
            self._reach(module, number)
        for _, target, name in imports:
            self._import(module, target, name, rest)
        if numbers or imports:
            return True
        if self._sources.is_package(module) and self._sources.path(f"{module}.{head}") is not None:
            self._module(f"{module}.{head}", rest)
            return True
        return self._bound_elsewhere(module, chain)

    def _bound_elsewhere(self, module: str, chain: str) -> bool:
        """Look up a name that is not written in the module: star imports and a module's `__getattr__`."""
        outline = self._outline(module)
        for _, star, _ in outline.importing.get("*", ()):
            target = self._absolute(module, star)
            if self._is_followed(module, target) and self._look_up(target, chain):
                self._touch(module)
                return True
        if "__getattr__" in outline.defining:
            self._take_all(module)
            return True
        return False

    def _import(self, module: str, target: str, name: str, rest: str) -> None:
        """Reach what `module` imports: `name` from `target`, or `target` itself, with the attributes `rest`."""
        target = self._absolute(module, target)
        chain = ".".join(filter(None, [name.removeprefix("*"), rest]))
        if self._is_followed(module, target):
            self._module(target, chain)
        elif chain:  # a folder without __init__.py contains only its modules
            head, _, rest = chain.partition(".")
            if self._is_followed(module, f"{target}.{head}"):
                self._module(f"{target}.{head}", rest)

    def _module(self, module: str, chain: str) -> None:
        if chain:
            self._look_up(module, chain)
        else:
            self._take_all(module)

    def follow_all(self, module: str) -> None:
        """Reach everything in a module, and all it uses."""
        self._take_all(module)
        self._go_through()

    def _take_all(self, module: str) -> None:
        """Reach everything that a module defines and imports."""
        if module in self._whole:
            return
        self._whole.add(module)
        outline = self._outline(module)
        for number in range(len(outline.definitions)):
            self._reach(module, number)
        for _, target, name in outline.imports:
            self._import(module, target, name, "")

    def _reach(self, module: str, number: int) -> None:
        if (module, number) not in self.reached:
            self.reached.add((module, number))
            self._pending.append((module, number))
            self._touch(module)

    def _touch(self, module: str) -> None:
        """Reach what acts when a module is imported, and the packages above it with it."""
        if module in self._touched or not self._with_acts:
            return
        self._touched.add(module)
        above = module.rpartition(".")[0]
        if above and self._sources.path(above) is not None:
            self._touch(above)
        outline = self._outline(module)
        for number, definition in enumerate(outline.definitions):
            if definition.acts or self._registers(module, definition):
                self._reach(module, number)
        for _, target, name in outline.unused:
            self._touch_imported(module, target, name)

    def _touch_imported(self, module: str, target: str, name: str) -> None:
        """Touch a module that is imported but not used: it is imported for what it does."""
        absolute = self._absolute(module, target)
        imported = f"{absolute}.{name}" if name else absolute
        if self._is_followed(module, imported):
            self._touch(imported)

    def _registers(self, module: str, definition: Definition) -> bool:
        """Whether a function that is called to make a definition may register it somewhere."""
        known = self._sources.registering
        for chain in definition.calls:
            key = (self._home, module, chain, definition.variable)
            if key not in known:
                known[key] = self._enters(module, chain, definition.variable)
            if known[key]:
                return True
        return False

    def _enters(self, module: str, chain: str, in_value: bool) -> bool:
        """Whether a function changes what a module holds; a decorator also if it is a method of a module's variable."""
        head, dot, _ = chain.partition(".")
        outline = self._outline(module)
        if dot and not in_value and any(outline.definitions[n].variable for n in outline.defining.get(head, ())):
            return True
        called = Closure(self._sources, module, self._home, with_acts=False)
        called.follow(module, chain)
        return any(definition.mutates for _, definition in called.definitions)

    def _absolute(self, module: str, target: str) -> str:
        """The full name of a module as written in an import."""
        name = target.lstrip(".")
        level = len(target) - len(name)
        if not level:
            return target
        package = module.split(".")[: None if self._sources.is_package(module) else -1]
        return ".".join(filter(None, [*package[: len(package) - level + 1], name]))

    def _is_followed(self, module: str, target: str) -> bool:
        """Whether a module that `module` imports counts.

        Code of the tool and of the user is followed into what it imports, except Python's own library and the platform;
        code of another package is followed within that package.
        """
        top, own = target.partition(".")[0], module.partition(".")[0]
        if not top or top in PLATFORM or top in sys.stdlib_module_names or _is_aside(target):
            return False
        if top != own and top not in self._home and not (own in self._home or self._sources.is_own(module)):
            return False
        return self._sources.path(target) is not None


def _is_aside(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in ASIDE)

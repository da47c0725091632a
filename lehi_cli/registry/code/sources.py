"""Where modules are, and what they contain: read once per process, and parsed once per content of a file.

Parsing takes milliseconds per file and reading an earlier result a tenth of one, so outlines are kept in the user's
cache folder, one file per module. Each names the content it outlines: it may be old or damaged, and is then made again,
but it is never wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from lehi_cli.errors import PluginError
from lehi_cli.registry.plugins import module_spec

from . import canonical, names
from . import outline as outlines
from .outline import Definition, Outline

CACHE_VARIABLE = "LEHI_CACHE"


class Sources:
    """The modules that can be imported, and those beside a user's own file.

    Args:
        origin: the user's file, whose module has the empty name; empty for none.

    Attributes:
        registering: what is known about functions that run on import, see `closure`.
    """

    def __init__(self, origin: str = "") -> None:
        self.origin = Path(origin) if origin else None
        self._paths: dict[str, Path | None] = {}
        self._outlines: dict[str, Outline] = {}
        self.registering: dict[Hashable, bool] = {}

    def path(self, module: str) -> Path | None:
        """The Python file of a module; None if there is no such module, or it has none."""
        if not module:
            return self.origin
        if module not in self._paths:
            spec = module_spec(module)
            if spec is None and self.origin is not None:
                spec = module_spec(module, [str(self.origin.parent)])
            location = spec.origin if spec is not None and spec.has_location else None
            self._paths[module] = Path(location) if location and location.endswith(".py") else None
        return self._paths[module]

    def is_package(self, module: str) -> bool:
        """Whether a module may have modules below it."""
        path = self.path(module)
        return path is not None and path.name == "__init__.py"

    def is_own(self, module: str) -> bool:
        """Whether a module is the user's file, or is beside or below it."""
        if self.origin is None:
            return False
        path = self.path(module.partition(".")[0])
        return path == self.origin or path in _beside(self.origin.parent, module.partition(".")[0])

    def read(self, path: Path) -> bytes:
        """The content of a file.

        Raises:
            PluginError: when it cannot be read.
        """
        try:
            return path.read_bytes()
        except OSError as error:
            raise PluginError(f"{path} cannot be read: {error.strerror}") from error

    def outline(self, module: str) -> Outline:
        """What a module that has a file defines.

        Raises:
            PluginError: when the file cannot be read or is not Python.
        """
        if module not in self._outlines:
            path = self.path(module)
            if path is None:
                raise PluginError(f"module {module!r} has no source to tell its versions by")
            self._outlines[module] = _outline(path, self.read(path))
        return self._outlines[module]


def _beside(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.py", folder / name / "__init__.py"


def _outline(path: Path, source: bytes) -> Outline:
    digest = hashlib.sha256(source).hexdigest()
    kept = _kept(path, digest)
    if kept is None:
        try:
            kept = outlines.outline(source)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            raise PluginError(f"{path}{line}: {getattr(error, 'msg', None) or error}") from error
        _keep(path, digest, kept)
    return kept


def _kept(path: Path, digest: str) -> Outline | None:
    """The cached outline of this content; None if there is none, or none that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = json.loads(_place(path).read_bytes())
        if (found["reader"], found["content"]) == (_reader(), digest):
            definitions = tuple(Definition(**{**one, **_tuples(one)}) for one in found["definitions"])
            return Outline(definitions, tuple(map(tuple, found["imports"])))
    return None


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """The lists of JSON as the tuples they were."""
    return {
        key: tuple(tuple(item) if isinstance(item, list) else item for item in value)
        for key, value in content.items()
        if isinstance(value, list)
    }


def _keep(path: Path, digest: str, found: Outline) -> None:
    """Cache an outline for the next process; with a full or read-only disk that only loses its head start."""
    place = _place(path)
    content = json.dumps({"reader": _reader(), "content": digest, **asdict(found)}, separators=(",", ":"))
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=place.parent, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(content)
            os.replace(part, place)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


def _place(path: Path) -> Path:
    folder = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("lehi")) / "code"
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"


@cache
def _reader() -> str:
    """Hash of the code that makes outlines: what another version left in the cache is of no use."""
    files = (canonical.__file__, names.__file__, outlines.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16]

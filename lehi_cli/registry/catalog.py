"""A catalog of named records, filled from built-ins, installed distributions and plug-in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lehi_cli.errors import LehiError, Notice, UnknownNameError

from . import plugins

T = TypeVar("T")


@dataclass
class Catalog(Generic[T]):
    """Records by name, in the order they were added, and the plug-ins that could not be loaded.

    Attributes:
        kind: what messages call a record, in the singular.
        records: the records by name.
        sources: where each record came from, by name.
        notices: one for each plug-in that failed.
    """

    kind: str
    records: dict[str, T] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def add(self, name: str, record: T, source: str) -> None:
        """Register `record`; a name that is taken is refused."""
        if name in self.records:
            taken = self.sources[name]
            raise LehiError(f"{self.kind} {name!r} from {source} is already registered by {taken}")
        self.records[name] = record
        self.sources[name] = source

    def get(self, name: str) -> T:
        """The record called `name`.

        Raises:
            UnknownNameError: with the nearest match, the list, and any plug-in that failed to load.
        """
        if name in self.records:
            return self.records[name]
        known = ", ".join(sorted(self.records))
        failed = "".join(f"\nnot loaded: {notice.message}" for notice in self.notices)
        raise UnknownNameError(self.kind, name, self.records, f"known: {known}{failed}")

    def __iter__(self) -> Iterator[T]:
        return iter(self.records.values())

    def add_plugins(self, group: str, read: Callable[[plugins.Plugin], Iterator[tuple[str, T]]]) -> None:
        """Add what installed distributions (entry-point `group`) and the folders in `LEHI_PLUGINS` offer.

        A plug-in may run any code when it is loaded, so any exception is caught, named, and kept as a notice.
        """
        for plugin in plugins.discover(group):
            try:
                for name, record in read(plugin):
                    self.add(name, record, plugin.source)
            except Exception as error:
                self.notices.append(plugins.failure(plugin, error))

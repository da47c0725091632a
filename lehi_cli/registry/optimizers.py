"""Every optimizer the tool knows, as frozen records with import strings.

A record says what the optimizer is called, what it can be told, how the training loop has to drive it (`kind`, see
`lehi_cli.training.steps`), and what it costs. The training side builds it: `factory` is only a string here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from lehi_cli.errors import PluginError

from . import from_class, plugins, pytorch_optimizer_names
from .built_in import BUILT_IN
from .catalog import Catalog
from .record import KINDS, OptimizerRecord, Option

__all__ = ["BUILT_IN", "GROUP", "KINDS", "OptimizerRecord", "Option", "find", "find_all", "load"]

GROUP = "lehi.optimizers"


@cache
def load() -> Catalog[OptimizerRecord]:
    """All optimizers: built in, from installed distributions, and from plug-in folders."""
    catalog: Catalog[OptimizerRecord] = Catalog("optimizer")
    for record in BUILT_IN:
        catalog.add(record.name, record, "lehi")
    catalog.add_plugins(GROUP, _read)
    return catalog


def find(name: str, origin: str = "") -> OptimizerRecord:
    """The optimizer that somebody named; the one way from a name to a record.

    Args:
        name: a registered name, `po.<Name>`, the path of a Python file that defines one optimizer, or a class as
            `package.module.Class` or `path.py:Class`.
        origin: the file that the optimizer was read from when a run was planned; `name` is then one of that file's.

    Raises:
        UnknownNameError: when nothing is called so.
        PluginError: when a file or a module has no such optimizer.
        UsageError: when it cannot be trained with.
    """
    if origin:
        return _in_file(name, Path(origin))
    if name.startswith(pytorch_optimizer_names.PREFIX):
        return pytorch_optimizer_names.find(name)
    path, _, own = name.rpartition(":")
    if path.endswith(".py"):
        return _in_file(own, Path(path))
    if name.endswith(".py"):
        return _only(name, list(_records_in(Path(name))))
    if "." in name and name not in load().records:
        return from_class.find_class(name)
    return load().get(name)


def find_all(name: str) -> list[OptimizerRecord]:
    """All optimizers in the Python file of that path; one for any other name.

    Raises:
        PluginError: when the file lists none, or two of one name.
    """
    if not name.endswith(".py"):
        return [find(name)]
    records = list(_records_in(Path(name)))
    if not records:
        raise PluginError(f"{name} defines no optimizers", "list their records in OPTIMIZERS: see lehi optims new")
    names = [record.name for record in records]
    for own in names:
        if names.count(own) > 1:
            raise PluginError(f"{name} defines optimizer {own!r} twice", "give each a name of its own")
    return records


def _only(name: str, records: Sequence[OptimizerRecord]) -> OptimizerRecord:
    if len(records) != 1:
        raise PluginError(
            f"{name} defines {len(records)} optimizers: a path must name exactly one",
            f"put its folder into {plugins.PLUGIN_FOLDERS} and use their names",
        )
    return records[0]


def _in_file(name: str, path: Path) -> OptimizerRecord:
    """The optimizer of that name in a file: one that it lists, or a class."""
    listed = (record for record in _records_in(path) if record.name == name)
    return next(listed, None) or from_class.in_file(plugins.load_file(path.absolute()), name, str(path))


def _read(plugin: plugins.Plugin) -> Iterator[tuple[str, OptimizerRecord]]:
    loaded = plugin.load()
    if isinstance(loaded, Path):
        records = _records_in(loaded) if loaded.suffix == ".py" else iter(())
    else:
        records = iter([loaded] if isinstance(loaded, OptimizerRecord) else loaded)
    for record in records:
        if not isinstance(record, OptimizerRecord):
            raise PluginError(f"offers {type(record).__name__}, not an OptimizerRecord")
        yield record.name, record


def _records_in(path: Path) -> Iterator[OptimizerRecord]:
    """The records in the list `OPTIMIZERS` of a Python file; their factories may be written `:name`."""
    path = path.absolute()
    listed = getattr(plugins.load_file(path), "OPTIMIZERS", ())
    if not isinstance(listed, list | tuple):
        raise PluginError(f"{path}: OPTIMIZERS is of type {type(listed).__name__}, not a list")
    for record in listed:
        if not isinstance(record, OptimizerRecord):
            raise PluginError(f"{path}: OPTIMIZERS holds {type(record).__name__}, not OptimizerRecord")
        yield replace(record, origin=str(path))

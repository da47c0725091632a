"""Every optimizer the tool knows, as frozen records with import strings.

A record says what the optimizer is called, what it can be told, how the training loop has to drive it (`kind`, see
`lehi_cli.training.steps`), and what it costs. The training side builds it: `factory` is only a string here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from lehi_cli.errors import PluginError

from . import plugins, pytorch_optimizer_names
from .built_in import BUILT_IN
from .catalog import Catalog
from .record import KINDS, OptimizerRecord, Option

__all__ = ["BUILT_IN", "GROUP", "KINDS", "OptimizerRecord", "Option", "find", "find_all", "load", "planned"]

GROUP = "lehi.optimizers"


@cache
def load() -> Catalog[OptimizerRecord]:
    """All optimizers: built in, from installed distributions, and from plug-in folders."""
    catalog: Catalog[OptimizerRecord] = Catalog("optimizer")
    for record in BUILT_IN:
        catalog.add(record.name, record, "lehi")
    catalog.add_plugins(GROUP, _read)
    return catalog


def find(catalog: Catalog[OptimizerRecord], name: str) -> OptimizerRecord:
    """The record called `name`, the one in the Python file of that path, or that of `po.<Name>`."""
    if name.startswith(pytorch_optimizer_names.PREFIX):
        return pytorch_optimizer_names.find(name)
    if not name.endswith(".py"):
        return catalog.get(name)
    records = list(_records_in(Path(name)))
    if len(records) != 1:
        raise PluginError(
            f"{name} defines {len(records)} optimizers: a path must name exactly one",
            f"put its folder into {plugins.PLUGIN_FOLDERS} and use their names",
        )
    return records[0]


def find_all(catalog: Catalog[OptimizerRecord], name: str) -> list[OptimizerRecord]:
    """All records in the Python file of that path; one for any other name.

    Raises:
        PluginError: when the file lists none, or two of one name.
    """
    if not name.endswith(".py"):
        return [find(catalog, name)]
    records = list(_records_in(Path(name)))
    if not records:
        raise PluginError(f"{name} defines no optimizers", "list their records in OPTIMIZERS: see lehi optims new")
    names = [record.name for record in records]
    for own in names:
        if names.count(own) > 1:
            raise PluginError(f"{name} defines optimizer {own!r} twice", "give each a name of its own")
    return records


def planned(name: str, origin: str) -> OptimizerRecord:
    """The record that a run was planned with: the one called `name` in the file `origin`, or in the catalog without.

    Raises:
        PluginError: when the file has it no more.
    """
    if not origin:
        return find(load(), name)
    for record in _records_in(Path(origin)):
        if record.name == name:
            return record
    raise PluginError(f"{origin} has no optimizer {name!r}")


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

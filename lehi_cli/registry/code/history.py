"""What code was called, and how it read, before it was moved or rewritten: runs keep their ids through both.

A run's id rests on the code that computes its numbers, by the names of its modules too. Where a change of the code
changes no number, and that is known, it is entered here, and stored runs are found as before.
"""

from __future__ import annotations

from collections.abc import Mapping

MOVED: Mapping[str, str] = {
    "lehi_cli.registry.adapters": "lehi_cli.adapters",
    "lehi_cli.runs.specs": "lehi_cli.specs",
    "lehi_cli.training.loop": "lehi_cli.train",
}
"""By module, the name that it has in identities: the one it had first."""

REWRITTEN: Mapping[str, str] = {
    "485c819419ffef49": "3afc20a0e0f0f8fb",  # the training loop
    "426b6d9d3950e76f": "3a1096a092ccc7ee",  # Schedule
    "1c1bff51d0709f6d": "80cdfb3e4387c100",  # TaskSpec
    "fc4a353e808d7db4": "10b9f3e23e6d2eb6",  # tables of numbers; text in a table was refused before
}
"""By hash, the hash of code that computed the very same numbers. An entry holds for that exact code alone."""

_PLACES = {first: now for now, first in MOVED.items()}


def first_name(reference: str) -> str:
    """`module:name` as identities have it."""
    module, _, name = reference.rpartition(":")
    return f"{MOVED.get(module, module)}:{name}"


def place(reference: str) -> str:
    """Where the code is now that identities call `module:name`."""
    module, _, name = reference.rpartition(":")
    return f"{_PLACES.get(module, module)}:{name}"

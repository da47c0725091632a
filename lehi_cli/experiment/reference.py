"""The choice of the optimizer that the others are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.registry import optimizers
from lehi_cli.runs.specs import OptimSpec


def led_by(reference: str, specs: Sequence[OptimSpec]) -> list[OptimSpec]:
    """The optimizers with the reference in front: the others are compared with the first.

    Raises:
        UnknownNameError: when `reference` is not one of them.
        UsageError: when it matches several.
    """
    labels = [spec.label or str(spec) for spec in specs]
    named = [i for i, label in enumerate(labels) if label == reference]
    named = named or [i for i, spec in enumerate(specs) if reference in (spec.name, optimizers.find(spec.name).name)]
    if not named:
        raise UnknownNameError("reference", reference, labels)
    if len(named) > 1:
        raise UsageError(f"--reference {reference!r} matches several", f"one of {', '.join(labels[i] for i in named)}")
    return [specs[named[0]], *(spec for i, spec in enumerate(specs) if i != named[0])]

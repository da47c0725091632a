"""Quality columns such as `val_loss` and `test_accuracy`: which of them are shown, and how their names are read."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.metrics import LOSS

from .results import Section

SPLITS = ("train", "val", "test")
SHOWN = ("val", "test")


@dataclass(frozen=True)
class Columns:
    """The columns that were asked for.

    Attributes:
        metrics: in the order typed; empty for the loss and the task's metrics.
        splits: in the order typed; empty for validation and test.
    """

    metrics: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


def parse_columns(metric: str | None, split: str | None) -> Columns:
    """Read `--metric loss,accuracy` and `--split val,test`.

    Raises:
        UnknownNameError: on a split other than train, val, test.
        UsageError: on an empty list, and on a name given twice.
    """
    splits = names(split, "--split") if split is not None else ()
    for name in splits:
        if name not in SPLITS:
            raise UnknownNameError("split", name, SPLITS)
    return Columns(names(metric, "--metric") if metric is not None else (), splits)


def parse_column(text: str) -> tuple[str, str]:
    """Read the name of one column, such as `val_loss`, as (split, metric).

    Raises:
        UsageError: when it has no metric, or a split other than train, val, test.
    """
    split, _, metric = text.strip().partition("_")
    if split not in SPLITS or not metric:
        raise UsageError(f"malformed column {text!r}", f"write split_metric, for example val_loss; splits: {_SPLITS}")
    return split, metric


_SPLITS = ", ".join(SPLITS)


def names(text: str, what: str) -> tuple[str, ...]:
    """Read a comma-separated list of names.

    Raises:
        UsageError: when it is empty or names something twice; the message starts with `what`.
    """
    found = [name for name in (part.strip() for part in text.split(",")) if name]
    if not found:
        raise UsageError(f"{what} {text!r} names nothing", "write a comma-separated list")
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{what} {text!r}: {twice!r} is given twice")
    return tuple(found)


def restrict(sections: Sequence[Section], columns: Columns) -> list[Section]:
    """The sections with the requested columns; a section without a metric has no column for it.

    Without splits, what an optimizer reports about itself is shown where it is logged: in training.

    Raises:
        UnknownNameError: on a metric that no section has; the hint lists those that exist.
        UsageError: on a split or a metric that leaves no column, because no section measures these metrics there.
    """
    check_metrics(sections, columns.metrics)
    if columns == Columns():
        return list(sections)
    shown = [_columns(section, columns) for section in sections]
    _refuse_unmeasured(sections, columns, {column for own in shown for column in own})
    return [section.restricted(own) for section, own in zip(sections, shown, strict=True)]


def _refuse_unmeasured(sections: Sequence[Section], columns: Columns, shown: AbstractSet[tuple[str, str]]) -> None:
    splits, metrics = {split for split, _ in shown}, {name for _, name in shown}
    wanted: list[tuple[Sequence[str], Sequence[str]]] = [
        *(([split], columns.metrics) for split in columns.splits if split not in splits),
        *((columns.splits, [name]) for name in columns.metrics if name not in metrics),
    ]
    if wanted:
        asked, lacking = wanted[0]
        known = [column for name in lacking for column in measured(sections, name)]
        where, what = ",".join(asked), " and no ".join(lacking)
        raise UsageError(f"--split {where} has no {what}", f"known: {', '.join(known)}")


def measured(sections: Sequence[Section], name: str) -> list[str]:
    """The columns of a metric that some section has: `val_accuracy`, `test_accuracy`."""
    return [f"{split}_{name}" for split in SPLITS if any(is_measured(section, split, name) for section in sections)]


def is_measured(section: Section, split: str, name: str) -> bool:
    """Whether a split has a metric: all have the loss, evaluations the task's metrics, training the optimizer's own."""
    return name == LOSS or (name in section.logged and (split in SHOWN) == (name in section.metric_names))


def check_metrics(sections: Sequence[Section], metrics: Sequence[str]) -> None:
    """Check that each of `metrics` was logged in some section.

    Raises:
        UnknownNameError: naming the first that was not; the hint lists those that exist.
    """
    known = {LOSS}.union(*(section.logged for section in sections))
    for name in metrics:
        if name not in known:
            raise UnknownNameError("metric", name, known)


def _columns(section: Section, columns: Columns) -> list[tuple[str, str]]:
    usual = (LOSS, *section.metric_names)
    found = [
        (split, name)
        for split in columns.splits or SPLITS
        for name in columns.metrics or usual
        if is_measured(section, split, name)
    ]
    return found if columns.splits else [(split, name) for split, name in found if split in SHOWN or name not in usual]

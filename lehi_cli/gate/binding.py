"""What an assertion refers to in the sections at hand.

A reference is a word such as `adam:lr=0.01.val_loss`. A word that as a whole is a label or name refers to that
optimizer; any other is cut at its last dot, into an optimizer and a column. A reference without a column takes the one
that `@` gives, else that of the other side, else the loss on the split that decides: the validation split, or the test
split where the validation split has chosen settings.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lehi_cli.analysis.arrivals import Target
from lehi_cli.analysis.comparison import named
from lehi_cli.analysis.results import Section, Series
from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.specs import RunSpec

from .expression import Assertion, Reference, Side
from .quantity import columns, columns_with, refuse_without_target

DEFAULT_COLUMN = "val_loss"


@dataclass(frozen=True)
class Operand:
    """A side, with its optimizer and its column; both are empty for a plain number."""

    side: Side
    optimizer: str = ""
    column: str = ""


@dataclass(frozen=True)
class Bound:
    """An assertion that is known to make sense.

    Attributes:
        assertion: what was asserted.
        left: its left side.
        right: its right side.
        fitting: which of the sections, counted from 0, have its optimizers and columns; at least one.
    """

    assertion: Assertion
    left: Operand
    right: Operand
    fitting: Sequence[int]

    @property
    def operands(self) -> list[Operand]:
        """The sides that have an optimizer."""
        return _referring(self.left, self.right)


def bind(assertion: Assertion, sections: Sequence[Section], column: str = DEFAULT_COLUMN) -> Bound:
    """Tell optimizers and columns apart, and find the sections that have them.

    Raises:
        UsageError: when no section has all of them, and when `@` gives a column that no optimizer needs.
        UnknownNameError: an optimizer or a column that no section has.
    """
    known = {name for section in sections for series in section.series for name in _names(series)}
    asked = dict.fromkeys(c for section in sections for c in columns(section))
    left, right = _operands(assertion, known, asked, column)
    referring = _referring(left, right)
    fitting = [
        i
        for i, section in enumerate(sections)
        if all(named(section, one.optimizer) and one.column in columns(section) for one in referring)
    ]
    if not fitting:  # what is never checked must not pass
        raise _fits_nothing(assertion, referring)
    return Bound(assertion, left, right, fitting)


def check_names(assertions: Sequence[Assertion], runs: Sequence[RunSpec], target: Target | None = None) -> None:
    """Check that a plan will have what the assertions are about, before any of it is trained.

    Args:
        assertions: as returned by `parse`.
        runs: the plan.
        target: what runs are to reach; None for each task's own target.

    Raises:
        UsageError: for whatever `bind`, `the_series` and `read` would refuse after training.
        UnknownNameError: an optimizer or a column that no run will have.
    """
    known = {name for run in runs for name in (run.label, run.optimizer.name)}
    asked = dict.fromkeys(column for run in runs for column in columns_with(run.task.metrics))
    by_task: dict[str, list[RunSpec]] = {}
    for run in runs:
        by_task.setdefault(run.task.name, []).append(run)
    for assertion in assertions:
        referring = _referring(*_operands(assertion, known, asked))
        fitting = [own for own in by_task.values() if all(_is_planned(one, own) for one in referring)]
        if not fitting:
            raise _fits_nothing(assertion, referring)
        for own in fitting:
            for operand in referring:
                _refuse_several(operand.optimizer, own[0].task.name, _planned(operand.optimizer, own))
                refuse_without_target(operand.column, own[0].task.name, bool(target or own[0].task.target))


def _planned(optimizer: str, runs: Sequence[RunSpec]) -> list[str]:
    """The labels to which a label or name refers."""
    labels = dict.fromkeys(run.label for run in runs)
    if optimizer in labels:
        return [optimizer]
    return list(dict.fromkeys(run.label for run in runs if run.optimizer.name == optimizer))


def _is_planned(operand: Operand, runs: Sequence[RunSpec]) -> bool:
    return bool(_planned(operand.optimizer, runs)) and operand.column in columns_with(runs[0].task.metrics)


def _fits_nothing(assertion: Assertion, referring: Sequence[Operand]) -> UsageError:
    wanted = " and ".join(f"{operand.optimizer}.{operand.column}" for operand in referring)
    return UsageError(f"{assertion.text!r}: no task has {wanted}", "compare optimizers that ran on the same task")


def _refuse_several(optimizer: str, task: str, labels: Sequence[str]) -> None:
    if len(labels) > 1:
        raise UsageError(f"{optimizer!r} means several optimizers of {task}", f"name one of {', '.join(labels)}")


def the_series(section: Section, optimizer: str) -> Series:
    """The series of a label or name that the section has.

    Raises:
        UsageError: when there are several.
    """
    found = named(section, optimizer)
    _refuse_several(optimizer, section.task, [series.label for series in found])
    return found[0]


def _referring(*operands: Operand) -> list[Operand]:
    return [operand for operand in operands if operand.optimizer]


def _operands(
    assertion: Assertion, known: AbstractSet[str], asked: Collection[str], default: str = DEFAULT_COLUMN
) -> tuple[Operand, Operand]:
    """Both sides, each with its own column or the shared one."""
    left, right = (_split(side.reference, known, asked) for side in (assertion.left, assertion.right))
    own = [column for optimizer, column in (left, right) if optimizer]
    if assertion.column and all(own):
        raise UsageError(
            f"{assertion.text!r}: every optimizer has a column of its own", f"leave out @ {assertion.column}"
        )
    shared = assertion.column or next(filter(None, own), default)
    operands = _operand(assertion.left, *left, shared), _operand(assertion.right, *right, shared)
    for operand in _referring(*operands):
        if operand.column not in asked:
            raise UnknownNameError("column", operand.column, asked)
    return operands


def _operand(side: Side, optimizer: str, column: str, shared: str) -> Operand:
    return Operand(side, optimizer, column or shared) if optimizer else Operand(side)


def _names(series: Series) -> tuple[str, ...]:
    """What an optimizer answers to: its label, the label it is stored under, and its name."""
    return series.label, series.runs[0].label, series.runs[0].optimizer


def _split(reference: Reference | None, known: AbstractSet[str], asked: Collection[str]) -> tuple[str, str]:
    """Optimizer and column of a reference, each empty where there is none.

    Raises:
        UnknownNameError: an optimizer that no section has.
    """
    if reference is None:
        return "", ""
    name, column = reference.text, reference.column
    if not reference.is_quoted and name not in known:
        name, column = _cut(name, known, asked)
    if name not in known:
        raise UnknownNameError("optimizer", name, known, f"known: {', '.join(sorted(known))}{_meant(name)}")
    return name, column


def _meant(word: str) -> str:
    """A hint at what may have been meant by a word that names nothing."""
    if word[0].isdigit() or word[0] == ".":
        return "; a number has no unit: 0.9, not 90%"
    if "/" in word and ":" not in word:
        return "; there is no division: write 0.5*lehi for lehi/2"
    return "; a minus that subtracts needs a space before it" if "-" in word else ""


def _cut(text: str, known: AbstractSet[str], asked: Collection[str]) -> tuple[str, str]:
    """A word cut at its last dot, if the part after it is a known column or the part before it a known optimizer."""
    name, _, column = text.rpartition(".")
    is_cut = column in asked or (name in known and column.isidentifier())
    return (name, column) if is_cut else (text, "")

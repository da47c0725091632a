"""Many settings of an optimizer reduced to the best of them: one per optimizer, or one per value of some options.

The best is chosen by the mean of a column over the seeds, on the very runs that are shown. Its value is therefore
better than that setting would reach again, the more so the more settings there were to choose from: a series remembers
their number, and `chosen_notes` reports it.

An optimizer whose code changed counts as a different one: an older version is not a setting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.metrics import metric_named
from lehi_cli.runs.specs import format_value

from .columns import check_metrics, is_measured, measured, names, parse_column
from .labels import SHOWN_DIGITS, numbered
from .results import Section, Series

DEFAULT = "val_loss"


def best_by(section: Section, column: str = DEFAULT) -> Section:
    """Only the best setting of each optimizer, in the order of the optimizers.

    Settings with a lost run rank last. A section that does not measure `column` is judged by `val_loss`.

    Raises:
        UsageError: on a malformed column.
    """
    column = _measured(section, column)
    kept = [_best(group, column) for group in _grouped(section.series, lambda series: ()).values()]
    return replace(section, series=kept)


def by(section: Section, keys: Sequence[str], column: str = DEFAULT) -> Section:
    """One series per optimizer and values of the options `keys`: the best setting by `column` where there are several.

    A series is labelled `lehi:factor=rademacher:clip=1`. An optimizer without an option is grouped by those it has.
    Optimizers keep their order; their groups are sorted by the options' values, numbers ascending, then text.

    Raises:
        UsageError: on a malformed column.
    """
    column = _measured(section, column)
    groups = _grouped(section.series, lambda series: _values(series, keys))
    order = list(dict.fromkeys(series.runs[0].optimizer for series in section.series))
    chosen = [_best(group, column) for group in groups.values()]
    chosen.sort(key=lambda series: (order.index(series.runs[0].optimizer), _place(series, keys)))
    return replace(section, series=_relabelled(chosen, keys), grouped_by=tuple(keys))


def best_of_sections(sections: Sequence[Section], column: str = DEFAULT) -> list[Section]:
    """`best_by` on each section.

    Raises:
        UsageError: on a malformed column.
        UnknownNameError: on a metric that no section has.
    """
    check_column(sections, column)
    return [best_by(section, column) for section in sections]


def group_sections(sections: Sequence[Section], keys: str, column: str = DEFAULT) -> list[Section]:
    """`by` on each section, with `keys` as typed: `factor,clip`.

    Raises:
        UsageError: on an empty list, an option given twice, a malformed column.
        UnknownNameError: on an option that no optimizer has, and on a metric that no section has.
    """
    check_column(sections, column)
    options = names(keys, "--by")
    known = {key for section in sections for series in section.series for key in series.runs[0].options}
    for option in options:
        if option not in known:
            raise UnknownNameError("option", option, known)
    return [by(section, options, column) for section in sections]


def check_column(sections: Sequence[Section], column: str) -> None:
    """Check that some section has a column.

    Raises:
        UsageError: on a malformed column, and on a metric that is measured only on other splits.
        UnknownNameError: on a metric that no section has, and on one whose direction is unknown.
    """
    split, metric = parse_column(column)
    check_metrics(sections, [metric])
    metric_named(metric)
    if not any(is_measured(section, split, metric) for section in sections):
        raise UsageError(f"no column {column}", f"known: {', '.join(measured(sections, metric))}")


def chosen_notes(section: Section) -> list[str]:
    """Notes on series chosen from several settings: from how many, by what, and what that does; similar ones joined."""
    chosen: dict[tuple[int, str], list[str]] = {}
    for series in section.ranked():
        if series.chosen_from > 1:
            chosen.setdefault((series.chosen_from, series.chosen_by), []).append(series.label)
    return [
        f"{'each' if len(labels) == len(section.series) > 1 else ', '.join(labels)}: best of {count} settings by "
        f"{column}, on the runs shown: this favours whoever tried more"
        for (count, column), labels in chosen.items()
    ]


def _measured(section: Section, column: str) -> str:
    return column if is_measured(section, *parse_column(column)) else DEFAULT


def _grouped(series: Iterable[Series], key: Any) -> dict[Hashable, list[Series]]:
    groups: dict[Hashable, list[Series]] = {}
    for one in series:
        run = one.runs[0]
        groups.setdefault((run.optimizer, run.spec.optimizer_code, key(one)), []).append(one)
    return groups


def _best(group: Sequence[Series], column: str) -> Series:
    """The best of a group; the first if several are equally good."""
    split, metric = parse_column(column)
    sign = metric_named(metric).sign

    def place(series: Series) -> tuple[bool, float]:
        value = series.final(split, metric)
        is_whole = series.is_complete and value.n == len(series.runs)
        return not is_whole, sign * value.mean if math.isfinite(value.mean) else math.inf

    count = sum(series.chosen_from for series in group)
    return replace(min(group, key=place), chosen_from=count, chosen_by=column if count > 1 else "")


def _values(series: Series, keys: Sequence[str]) -> tuple[str, ...]:
    options = series.runs[0].options
    return tuple(f"{key}={format_value(options[key])}" for key in keys if key in options)


def _relabelled(series: Sequence[Series], keys: Sequence[str]) -> list[Series]:
    labels = [":".join([one.runs[0].optimizer, *_values(one, keys)]) for one in series]
    count = Counter(labels)  # two with the same label differ only in their code
    codes = [one.runs[0].spec.optimizer_code[:SHOWN_DIGITS] for one in series]
    texts = [
        f"{label} (code {code})" if count[label] > 1 and code else label
        for label, code in zip(labels, codes, strict=True)
    ]
    return [replace(one, label=text) for one, text in zip(series, numbered(texts), strict=True)]


def _place(series: Series, keys: Sequence[str]) -> tuple[tuple[int, float, str], ...]:
    """Sorts by each option's value: those that are neither number nor text first, then numbers ascending, then text."""
    options = series.runs[0].options
    return tuple(_order(options.get(key)) for key in keys)


def _order(value: Any) -> tuple[int, float, str]:
    if value is None or isinstance(value, bool):
        return 0, 0.0, format_value(value)
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, format_value(value)

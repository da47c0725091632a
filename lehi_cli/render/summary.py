"""The result of a comparison: the table of quality and price, and notes on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lehi_cli.analysis.results import Section, Series
from lehi_cli.runs.metrics import METRICS
from lehi_cli.runs.status import Status
from lehi_cli.stats import Estimate

from .document import Block, Column, Lines, Table
from .numbers import compact, mean_as_shown, with_spread

PRICE = 1  # the price columns, which stay together after those of quality


def summary_blocks(section: Section, shown: int | None = None, full: bool = False) -> list[Block]:
    """Table and notes of one section: the best `shown` rows of a long table; checksums of the pairing if `full`."""
    tables = [summary_table(section), *own_units(section)]
    if shown is not None and len(section.series) > shown:
        which = "best" if section.is_ranked else "first"
        left = f"the {which} {shown} of {len(section.series)} settings; --full shows all"
        tables = [Table(table.columns, table.rows[:shown], f"{left}. {table.caption}") for table in tables]
    return [*tables, Lines(notes(section, full)[:shown])]


def subtitle(section: Section) -> str:
    """Budget, batch size, seeds and device, for the heading."""
    run = section.runs[0]
    seeds = section.seeds
    shown = (
        f"seed {seeds[0]}"
        if len(seeds) == 1
        else f"{len(seeds)} seeds ({', '.join(map(str, seeds[:6]))}{', …' if len(seeds) > 6 else ''})"
    )
    return f"{run.budget} · batch {run.spec.batch_size} · {shown} · {run.environment.get('device', '?')}"


def summary_table(section: Section) -> Table:
    """One row per optimizer, best first: quality, then price."""
    quality = section.columns
    best = {column: section.best(*column, mean_as_shown) for column in quality}
    headings = [Column("optimizer", right=False), Column("n")]
    headings += [Column(f"{split} {name}") for split, name in quality]
    headings += [
        Column("lr", PRICE),
        Column("steps", PRICE),
        Column("passes", PRICE),
        Column("seconds", PRICE),
        Column("status", PRICE),
    ]
    rows = []
    for series in section.ranked():
        cells = [_cell(series, column, series.label in best[column]) for column in quality]
        lr = series.runs[0].options.get("lr")
        spent = [compact(lr) if isinstance(lr, float) else "-"]
        spent += [
            compact(series.spent("steps").mean),
            _tenth(series.spent("passes")),
            _seconds(series.spent("seconds")),
        ]
        rows.append([series.label, _count(series), *cells, *spent, _statuses(series)])
    spread = "mean±standard deviation over n seeds, " if len(section.seeds) > 1 else ""
    marked = "* best, " if any(best.values()) else ""
    return Table(headings, rows, f"{spread}{marked}passes in gradients (forward + backward), seconds of training")


def own_units(section: Section) -> list[Table]:
    """The errors in the target's own units, such as money, if the scale that the task applies is known."""
    columns = [(split, name) for split, name in section.columns if name in METRICS and METRICS[name].in_target_units]
    if section.target is None or not columns:
        return []
    name, scale = section.target
    headings = [Column("optimizer", right=False), *(Column(f"{split} {metric}") for split, metric in columns)]
    rows = [
        [series.label, *(with_spread(_times(scale, series.final(*column))) for column in columns)]
        for series in section.ranked()
    ]
    caption = (
        f"the same errors in the target's own units ({name}): 1 in the table above is {compact(scale)} in this one"
    )
    return [Table(headings, rows, caption)]


def _times(scale: float, value: Estimate) -> Estimate:
    return Estimate(scale * value.mean, scale * value.sd, value.n)


def _cell(series: Series, column: tuple[str, str], is_best: bool) -> str:
    """Mean and spread, and over how many runs if not all that reached the end have a value."""
    value = series.final(*column)
    some = f" (n={value.n})" if 0 < value.n < len({run.seed for run in series.runs if run.status == Status.OK}) else ""
    return with_spread(value) + some + ("*" if is_best else "")


def _count(series: Series) -> str:
    ok, total = len(series.ok), len(series.runs)
    return str(total) if ok == total else f"{ok}/{total}"


def _tenth(value: Estimate) -> str:
    return f"{value.mean:.1f}".removesuffix(".0") if value.n else "-"


def _seconds(value: Estimate) -> str:
    return f"{value.mean:.2f}" if value.n else "-"


def _statuses(series: Series) -> str:
    statuses = series.statuses
    return Status.OK if series.is_complete else ", ".join(f"{count} {status}" for status, count in statuses.items())


def notes(section: Section, full: bool = True) -> list[str]:
    """Notes that the table lacks: failures with their reasons, the floor of the loss, how data was read, pairing."""
    lines = []
    for series in section.ranked():
        for run in series.runs:
            if run.error:
                lines.append(f"{series.label}, seed {run.seed}: {run.status}: {_first_line(run.error)}")
            elif run.status == Status.DIVERGED:
                lines.append(f"{series.label}, seed {run.seed}: diverged at step {run.outcome.get('steps', '?')}")
            for reason, count in run.outcome.get("fallbacks", {}).items():
                lines.append(f"{series.label}, seed {run.seed}: {reason} at {count} of {run.outcome['steps']} steps")
    if section.floor is not None:
        lines.append(f"lowest expected validation loss: {compact(section.floor)}")
    return [*lines, *section.data_notes, *_pairing(section, full)]


def _first_line(error: Mapping[str, str]) -> str:
    first, *_ = [*error.get("message", "").splitlines(), ""]
    return f"{error.get('type', 'error')}: {first}"


def _pairing(section: Section, full: bool) -> Sequence[str]:
    if len(section.series) < 2:
        return []
    checksums, broken = section.pairing()
    if broken:
        where = ", ".join(map(str, broken))
        return [f"NOT PAIRED at seed {where}: initial weights or data order differ between optimizers"]
    if not full:
        return []
    shown = ", ".join(f"{seed}: {init[:6]}/{order[:6]}" for seed, (init, order) in list(checksums.items())[:3])
    more = ", …" if len(checksums) > 3 else ""
    return [f"paired: same initial weights/data order at each seed ({shown}{more})"] if checksums else []

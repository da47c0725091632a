"""What a reader of a report needs to get the same numbers: command, data, budgets, seeds, devices, versions."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from lehi_cli.runs.stored_run import StoredRun

from .results import Section

VERSIONS = ("lehi", "torch", "numpy", "python", "platform")
MOST_SEEDS_LISTED = 20


def provenance(sections: Sequence[Section], command: Sequence[str]) -> list[tuple[str, str]]:
    """Names and values, without those about which nothing is known.

    `data` names each task with the checksum of its data and says where it is fake; `device` includes the number of
    threads; where runs differ in a version or a device, all are listed. Times are UTC.

    Args:
        sections: the sections shown.
        command: the arguments as typed, without the program's name; empty where nothing was typed.
    """
    runs = [run for section in sections for run in section.runs]
    pairs = [
        ("command", shlex.join(["lehi", *command]) if command else ""),
        ("data", _listed(map(_data, sections), "; ")),
        ("budget", _listed((run.budget for run in runs), "; ")),
        ("seeds", _seeds({run.seed for run in runs})),
        ("runs", _statuses(runs)),
        ("started", _span(run.started for run in runs)),
        ("device", _listed(map(_device, runs), "; ")),
        *((name, _listed(str(run.environment.get(name, "")) for run in runs)) for name in VERSIONS),
    ]
    return [(name, value) for name, value in pairs if value]


def _listed(values: Iterable[str], separator: str = ", ") -> str:
    """Each value once, in order of appearance."""
    return separator.join(dict.fromkeys(filter(None, values)))


def _data(section: Section) -> str:
    """`digits b809ad354e0086f3`, with `FAKE DATA` where the data is not the task's own or nothing was trained."""
    mark = "FAKE DATA" if section.is_fake else ""
    return " ".join(filter(None, (section.task, section.data_checksum, mark)))


def _seeds(seeds: Iterable[int]) -> str:
    """`0, 1, 2`; many as `0 to 99`, or if there are gaps the first of them."""
    ordered = sorted(seeds)
    if len(ordered) <= MOST_SEEDS_LISTED:
        return ", ".join(map(str, ordered))
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return f"{', '.join(map(str, ordered[:MOST_SEEDS_LISTED]))}, … ({len(ordered)} in all)"


def _statuses(runs: Sequence[StoredRun]) -> str:
    """`9: 8 ok, 1 diverged`."""
    counts = Counter(run.status for run in runs)
    return f"{len(runs)}: {', '.join(f'{count} {status}' for status, count in counts.most_common())}" if runs else ""


def _span(times: Iterable[str]) -> str:
    """The first and the last time, to the second; one where they are the same."""
    ordered = sorted(time.partition(".")[0].replace("T", " ") for time in times)
    return " to ".join(dict.fromkeys([ordered[0], ordered[-1]])) + " UTC" if ordered else ""


def _device(run: StoredRun) -> str:
    """`cuda:0 (NVIDIA H100, 8 threads)`."""
    environment = run.environment
    if "device" not in environment:
        return ""
    threads = environment.get("threads")
    counted = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    about = ", ".join(filter(None, (str(environment.get("device_name", "")), counted)))
    return f"{environment['device']} ({about})" if about else str(environment["device"])

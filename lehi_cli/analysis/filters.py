"""Which of the stored runs are shown: by task, optimizer, seed, how they ended and when they were started.

Names may contain shell wildcards: `adam*`, `cifar?`. A name that no stored run has is an error, not an empty selection:
with two optimizers, a typo would otherwise silently drop one. When all names are known but no run matches all of them
at once, the selection is empty, which is for the caller to report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property

from lehi_cli.errors import UnknownNameError, UsageError
from lehi_cli.runs.specs import format_value, parse_seeds, parse_value
from lehi_cli.runs.status import Status
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.runs.tags import Tags

from .columns import names

_DURATION = re.compile(r"(?P<count>\d+(\.\d+)?)\s*(?P<unit>min|h|d|w)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HINT = "write a day such as 2026-11-21, a moment such as 2026-11-21T10:00, or how long ago: 30min, 12h, 2d, 1w"
MOST_LISTED = 30
NO_TAGS: Tags = {}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What was typed to select runs; None for no restriction. Whatever is malformed is refused here.

    Attributes:
        task: comma-separated list of tasks.
        optims: comma-separated list of optimizers, each a registered name or a label, with options if it has any:
            `lehi:factor=rademacher`.
        label: comma-separated list of labels.
        seeds: a count or a list, as for `--seeds` of the other commands.
        status: comma-separated list of statuses.
        since: earliest start of a run, see `moment`.
        until: latest start of a run; a day means the whole day.
        tag: comma-separated list of tags, of which a run has to have one.
        now: the moment from which durations are counted back.

    Raises:
        UsageError: on an empty list, a name given twice, malformed seeds, a malformed or reversed time.
        UnknownNameError: on an unknown status.
    """

    task: str | None = None
    optims: str | None = None
    label: str | None = None
    seeds: str | None = None
    status: str | None = None
    since: str | None = None
    until: str | None = None
    tag: str | None = None
    now: datetime = field(default_factory=_now, compare=False, repr=False)

    def __post_init__(self) -> None:
        _ = self._tasks, self._optims, self._labels, self._seeds, self._tags
        for status in self._statuses:
            if status not in list(Status):
                raise UnknownNameError("status", status, [known.value for known in Status])
        low, high = self._window
        if low is not None and high is not None and low > high:
            raise UsageError(f"--since {self.since!r} is later than --until {self.until!r}")

    def select(self, runs: Sequence[StoredRun], tags: Tags = NO_TAGS) -> list[StoredRun]:
        """The matching runs, in order; none when no run matches the whole filter.

        Args:
            runs: the stored runs.
            tags: their tags.

        Raises:
            UnknownNameError: on a task, optimizer, label or tag that no run has; the hint lists what is stored.
        """
        for kind, patterns, is_named in (
            ("task", self._tasks, _is_task),
            ("optimizer", self._optims, _is_optimizer),
            ("label", self._labels, _is_label),
        ):
            _refuse_unknown(kind, patterns, is_named, runs)
        known = sorted({tag for run in runs for tag in tags.get(run.run_id, ())})
        for pattern in self._tags:
            if not any(_fits(tag, pattern) for tag in known):
                raise UnknownNameError("tag", pattern, known, "" if known else "lehi runs tag RUN --add NAME gives one")
        return [run for run in runs if self.matches(run, tags.get(run.run_id, ()))]

    def order(self, runs: Sequence[StoredRun]) -> list[str]:
        """What optimizers are called, in the order of `optims`: each name, then the labels it stands for."""
        named = ((name, *(run.label for run in runs if _is_optimizer(run, name))) for name in self._optims)
        return list(dict.fromkeys(label for names in named for label in names))

    def matches(self, run: StoredRun, tags: Sequence[str] = ()) -> bool:
        """Whether a run with these tags matches."""
        return (
            _any(self._tasks, _is_task, run)
            and _any(self._optims, _is_optimizer, run)
            and _any(self._labels, _is_label, run)
            and (self._seeds is None or run.seed in self._seeds)
            and (not self._statuses or run.status in self._statuses)
            and (not self._tags or any(_fits(tag, pattern) for tag in tags for pattern in self._tags))
            and self._is_in_time(run)
        )

    def _is_in_time(self, run: StoredRun) -> bool:
        low, high = self._window
        if low is None and high is None:
            return True
        started = datetime.fromisoformat(run.started)
        return (low is None or started >= low) and (high is None or started <= high)

    @cached_property
    def _tasks(self) -> tuple[str, ...]:
        return names(self.task, "--task") if self.task is not None else ()

    @cached_property
    def _optims(self) -> tuple[str, ...]:
        return names(self.optims, "--optims") if self.optims is not None else ()

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return names(self.label, "--label") if self.label is not None else ()

    @cached_property
    def _statuses(self) -> tuple[str, ...]:
        return names(self.status, "--status") if self.status is not None else ()

    @cached_property
    def _tags(self) -> tuple[str, ...]:
        return names(self.tag, "--tag") if self.tag is not None else ()

    @cached_property
    def _seeds(self) -> frozenset[int] | None:
        return frozenset(parse_seeds(self.seeds)) if self.seeds is not None else None

    @cached_property
    def _window(self) -> tuple[datetime | None, datetime | None]:
        low = moment(self.since, "--since", self.now) if self.since is not None else None
        high = moment(self.until, "--until", self.now, is_end=True) if self.until is not None else None
        return low, high


def moment(text: str, option: str, now: datetime, *, is_end: bool = False) -> datetime:
    """Read a point in time.

    Args:
        text: ISO 8601 such as `2026-11-21` or `2026-11-21T10:00`, in local time unless it names a zone; or how long
            before `now`: `30min`, `12h`, `2d`, `1w`.
        option: the option for which it was typed.
        now: a time with a time zone.
        is_end: whether a day is read as its last microsecond, not its first.

    Raises:
        UsageError: when it is neither, or outside the calendar.
    """
    try:
        found = _DURATION.fullmatch(text.strip())
        if found:
            return now - timedelta(**{_UNITS[found["unit"]]: float(found["count"])})
        return _iso(text.strip(), is_end)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"malformed time {option} {text!r}", _HINT) from None


def _iso(text: str, is_end: bool) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text).astimezone()
    midnight = datetime.combine(day, datetime.min.time())
    # The day is added before the time zone is applied: when clocks change, a day has 23 or 25 hours.
    return (midnight + timedelta(days=1)).astimezone() - timedelta(microseconds=1) if is_end else midnight.astimezone()


def stored_names(runs: Sequence[StoredRun]) -> str:
    """The stored tasks and labels, in words."""
    return f"stored: {_listed(run.task for run in runs)}; {_listed(run.label for run in runs)}"


def stored_facts(runs: Sequence[StoredRun]) -> str:
    """Everything a filter can go by, in words, for when it leaves nothing to see."""
    seeds = _listed(map(str, sorted({run.seed for run in runs})))
    days = _listed(sorted({datetime.fromisoformat(run.started).astimezone().date().isoformat() for run in runs}))
    return f"{stored_names(runs)}; seeds {seeds}; {_listed(run.status for run in runs)}; started {days}"


def _listed(words: Iterable[str]) -> str:
    different = list(dict.fromkeys(words))
    more = len(different) - MOST_LISTED
    return ", ".join(different[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


_Named = Callable[[StoredRun, str], bool]


def _any(patterns: Sequence[str], is_named: _Named, run: StoredRun) -> bool:
    return not patterns or any(is_named(run, pattern) for pattern in patterns)


def _refuse_unknown(kind: str, patterns: Sequence[str], is_named: _Named, runs: Sequence[StoredRun]) -> None:
    for pattern in patterns:
        if not any(is_named(run, pattern) for run in runs):
            known = {"task": {run.task for run in runs}, "label": {run.label for run in runs}}
            known["optimizer"] = known["label"] | {run.optimizer for run in runs}
            raise UnknownNameError(kind, pattern, known[kind], stored_names(runs))


def _is_task(run: StoredRun, pattern: str) -> bool:
    return _fits(run.task, pattern)


def _is_label(run: StoredRun, pattern: str) -> bool:
    return _fits(run.label, pattern)


def _is_optimizer(run: StoredRun, pattern: str) -> bool:
    """Whether a run has that label or name, or the name before the first colon and the options after it."""
    if _fits(run.label, pattern) or _fits(run.optimizer, pattern):
        return True
    name, *options = pattern.split(":")
    return bool(options) and _is_optimizer(run, name) and all(_has_option(run, option) for option in options)


def _has_option(run: StoredRun, text: str) -> bool:
    """Whether a run has an option `key=value`; values are compared, not texts: `1e-3` is a stored 0.001."""
    key, _, value = text.partition("=")
    return key in run.options and format_value(run.options[key]) == format_value(parse_value(value))


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)

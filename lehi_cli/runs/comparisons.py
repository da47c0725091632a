"""Comparisons on disk: what was typed, which runs it is about and what part each of them plays, and what was looked at.

    runs/.comparisons/<id>.json

A record is written once, when its page is shown, and never changed; no run is ever changed for it. The same runs in the
same parts, asked the same of, are the same comparison: it has one record, and is shown again as it was the first time.

A run is `final` where it decides, or `trial` where settings were chosen by it. That is a matter of the comparison: the
final runs of one may be the trials of another. What was looked at is kept pair by pair, see `lehi_cli.analysis.looks`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lehi_cli.errors import Notice, StoreError, UsageError

from .files import write_json
from .specs import canonical_json
from .store import Store
from .stored_run import StoredRun

SCHEMA = 1
FOLDER = ".comparisons"
DIGITS = 8
TUNING_SEED = 100_000
"""Seed of tuning runs: apart from those of a comparison, which count from 0."""

Role = Literal["final", "trial"]
Kind = Literal["compare", "sweep", "train", "report"]
KINDS: tuple[Kind, ...] = ("compare", "sweep", "train", "report")


class Look(NamedTuple):
    """One look at a pair.

    Attributes:
        seeds: the seeds, in the order in which they were looked at.
        adaptive: whether the pair was looked at after each of them.
        family: number of comparisons that it was one of: whoever picks one out of many has looked at all of them.
    """

    seeds: Sequence[int]
    adaptive: bool = False
    family: int = 0


@dataclass(frozen=True)
class Member:
    """A run of a comparison.

    Attributes:
        run_id: which.
        label: what its optimizer was called.
        role: `final` or `trial`.
    """

    run_id: str
    label: str
    role: Role = "final"


@dataclass(frozen=True)
class ComparisonRecord:
    """A comparison that was shown.

    Attributes:
        kind: the verb; `report` for a page on runs that no comparison asked for together, kept for its looks alone.
        runs: in the order of the plan, trials first.
        view: what was asked of them, as plain data.
        adaptive: whether seeds were added until it was settled.
        left_out: runs that were asked for but had been trials before, and where.
        tuning: what the trials were drawn from, as plain data; None where nothing was tuned.
        pairs: what was looked at: the seeds, per pair of optimizers.
        family: comparisons that a page judged together, at the most.
        looked: what had been looked at when it was made: each look, per pair.
        command: what was typed after `lehi`.
        created: when, ISO 8601.
    """

    kind: Kind
    runs: Sequence[Member]
    view: Mapping[str, Any] = field(default_factory=dict)
    adaptive: bool = False
    left_out: Sequence[str] = ()
    tuning: Mapping[str, Any] | None = None
    pairs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    family: int = 0
    looked: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    command: Sequence[str] = ()
    created: str = ""

    @property
    def id(self) -> str:
        """Hash of what makes it this comparison: verb, runs and their parts, what was asked of them."""
        content = [self.kind, [asdict(run) for run in self.runs], self.view, self.adaptive]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:DIGITS]

    def of_role(self, role: Role) -> list[Member]:
        """The runs that play a part."""
        return [run for run in self.runs if run.role == role]


class Comparisons:
    """The comparisons of a store, oldest first."""

    def __init__(self, store: Store):
        self._store = store
        self._found: list[ComparisonRecord] | None = None

    @property
    def records(self) -> list[ComparisonRecord]:
        """All that can be read, each once; what cannot is named in the store's notices."""
        first: dict[str, ComparisonRecord] = {}
        for record in self._all():
            first.setdefault(record.id, record)
        return list(first.values())

    def _all(self) -> list[ComparisonRecord]:
        """Those of every folder: of one comparison there may be a record in each, with looks of its own."""
        if self._found is None:
            paths = [path for root in self._store.roots for path in sorted((root / FOLDER).glob("*.json"))]
            found = [record for record in (_read(path, self._store.notices) for path in paths) if record]
            self._found = sorted(found, key=lambda record: record.created)
        return self._found

    @property
    def shown(self) -> list[ComparisonRecord]:
        """Those that somebody asked for by name of a verb that trains."""
        return [record for record in self.records if record.kind != "report"]

    def find(self, comparison: str) -> ComparisonRecord:
        """The comparison whose id begins so.

        Raises:
            UsageError: when there is none, or several.
        """
        found = [record for record in self.records if comparison and record.id.startswith(comparison)]
        if len(found) == 1:
            return found[0]
        what = "is several" if found else "is not there"
        known = ", ".join(record.id for record in (found or self.shown)) or "none"
        raise UsageError(f"comparison {comparison!r} {what}", f"in {self._store.name}: {known}")

    def known(self, record: ComparisonRecord) -> ComparisonRecord | None:
        """The record of the same comparison, when it was made before."""
        return next((other for other in self.records if other.id == record.id), None)

    def looked(self) -> dict[str, list[Look]]:
        """Every look there was, per pair, in their order."""
        looks: dict[str, list[Look]] = {}
        for record in self._all():
            for pair, seeds in record.pairs.items():
                looks.setdefault(pair, []).append(Look(list(seeds), record.adaptive, record.family))
        return looks

    def chosen_by(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Which of some runs a setting may have been chosen by, and in which comparison.

        They are trials of an optimizer that was tried in several settings on that task.
        """
        wanted = set(run_ids)
        found: dict[str, str] = {}
        for record in self.records:
            trials = {run.run_id for run in record.of_role("trial")}
            if trials & wanted:
                choosing = _of_several_settings(self._store, trials)
                found |= {run_id: record.id for run_id in choosing & wanted if run_id not in found}
        return found

    def roles(self, runs: Iterable[StoredRun]) -> dict[str, Role]:
        """The part that each run plays, by id.

        It is `final` where any comparison had it so; by its seed in a store without comparisons.
        """
        known: dict[str, Role] = {}
        for record in self.records:
            for member in record.runs:
                known[member.run_id] = "final" if "final" in (member.role, known.get(member.run_id)) else "trial"
        by_seed: dict[bool, Role] = {True: "trial", False: "final"}
        return {run.run_id: known.get(run.run_id, by_seed[run.seed == TUNING_SEED]) for run in runs}

    def notice(self, notice: Notice) -> None:
        """Say something about this store."""
        self._store.notices.append(notice)

    def save(self, record: ComparisonRecord) -> None:
        """Keep a comparison; one that is there stays as it is.

        Raises:
            StoreError: when it cannot be written.
        """
        path = self._store.root / FOLDER / f"{record.id}.json"
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"schema": SCHEMA, "id": record.id, **asdict(record)})
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        self._found = None
        if len(self._store.roots) > 1:
            self.notice(Notice(f"this look is remembered in {self._store.root}, the first of the folders"))


def now() -> str:
    """The moment, as records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _of_several_settings(store: Store, run_ids: Iterable[str]) -> set[str]:
    """Those of some runs whose optimizer has others with other options on the same task."""
    settings: dict[str, dict[str, set[str]]] = {}
    for run in filter(None, map(store.find, sorted(run_ids))):
        of_optimizer = settings.setdefault(canonical_json([run.spec.task, run.optimizer]), {})
        of_optimizer.setdefault(canonical_json(run.options), set()).add(run.run_id)
    return {run_id for options in settings.values() if len(options) > 1 for own in options.values() for run_id in own}


def _read(path: Path, notices: list[Notice]) -> ComparisonRecord | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ValueError("of another version")
        name = content.pop("id")
        runs = [Member(**run) for run in content.pop("runs")]
        looked = {pair: [Look(*look) for look in looks] for pair, looks in content.pop("looked").items()}
        record = ComparisonRecord(runs=runs, looked=looked, **content)
        _check(record, name, path)
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        notice = Notice(f"skipped {path}: damaged ({type(error).__name__}: {error})", "delete it")
        if notice not in notices:
            notices.append(notice)
        return None


def _check(record: ComparisonRecord, name: str, path: Path) -> None:
    """Check that a record is what its name says.

    Raises:
        ValueError, TypeError, AttributeError: when it is not.
    """
    if record.kind not in KINDS or any(run.role not in ("final", "trial") for run in record.runs):
        raise ValueError("unknown kind or role")
    if record.id != name or path.stem != name:
        raise ValueError("its content does not belong to its id")
    datetime.fromisoformat(record.created)
    for name_of, texts in (("left_out", record.left_out), ("command", record.command)):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{name_of} is not a list of texts")
    looks = [look for looks in record.looked.values() for look in looks]
    if not all(isinstance(family, int) for family in (record.family, *(look.family for look in looks))):
        raise TypeError("a family is not a number")
    for seeds in [*record.pairs.values(), *(look.seeds for look in looks)]:
        if not all(isinstance(seed, int) for seed in seeds):
            raise TypeError("a seed is not a number")

"""Comparisons on disk: the command, its runs and their roles, and what was looked at.

    runs/.comparisons/<id>.json

A record is written once, when its page is shown, and never changed; no run is ever changed for it. The same runs in the
same roles with the same question are the same comparison: it has one record, and is shown again as it was first shown.

A run is `final` if it decides, or a `trial` if settings were chosen from it. The role belongs to the comparison: the
final runs of one may be the trials of another. Looks are kept pair by pair, see `lehi_cli.analysis.looks`.
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
ID_DIGITS = 8
TUNING_SEED = 100_000
"""Seed of tuning runs, distinct from those of a comparison, which count from 0."""

Role = Literal["final", "trial"]
Kind = Literal["compare", "sweep", "train", "report"]
KINDS: tuple[Kind, ...] = ("compare", "sweep", "train", "report")


class Look(NamedTuple):
    """One look at a pair.

    Attributes:
        seeds: the seeds, in the order in which they were looked at.
        adaptive: whether the pair was looked at after each of them.
        family: number of comparisons that were looked at together: picking one out of many means looking at all.
    """

    seeds: Sequence[int]
    adaptive: bool = False
    family: int = 0


@dataclass(frozen=True)
class Member:
    """A run of a comparison.

    Attributes:
        run_id: id of the run.
        label: label of its optimizer.
        role: `final` or `trial`.
    """

    run_id: str
    label: str
    role: Role = "final"


@dataclass(frozen=True)
class ComparisonRecord:
    """A comparison that was shown.

    Attributes:
        kind: the verb; `report` for a page on runs that no comparison asked for together, kept only for its looks.
        runs: the runs in the order of the plan, trials first.
        view: what was asked of them, as plain data.
        adaptive: whether seeds were added until the verdicts were settled.
        left_out: runs that were asked for but had been trials before, and where.
        tuning: what the trials were drawn from, as plain data; None if nothing was tuned.
        pairs: the seeds that were looked at, per pair of optimizers.
        family: largest number of comparisons that a page judged together.
        looked: the looks before this comparison was made, per pair.
        command: the words typed after `lehi`.
        created: when it was made, in ISO 8601.
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
        """Hash of what identifies the comparison: verb, runs and their roles, and what was asked of them."""
        content = [self.kind, [asdict(run) for run in self.runs], self.view, self.adaptive]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:ID_DIGITS]

    def of_role(self, role: Role) -> list[Member]:
        """The runs in a role."""
        return [run for run in self.runs if run.role == role]


class Comparisons:
    """The comparisons of a store, oldest first."""

    def __init__(self, store: Store):
        self._store = store
        self._found: list[ComparisonRecord] | None = None

    @property
    def records(self) -> list[ComparisonRecord]:
        """All readable records, each once; the others are named in the store's notices."""
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
        """The comparisons that a verb that trains made."""
        return [record for record in self.records if record.kind != "report"]

    def find(self, comparison: str) -> ComparisonRecord:
        """The comparison whose id begins with `comparison`.

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
        """The record of the same comparison, if it was made before."""
        return next((other for other in self.records if other.id == record.id), None)

    def looked(self) -> dict[str, list[Look]]:
        """All looks so far, per pair, in order."""
        looks: dict[str, list[Look]] = {}
        for record in self._all():
            for pair, seeds in record.pairs.items():
                looks.setdefault(pair, []).append(Look(list(seeds), record.adaptive, record.family))
        return looks

    def chosen_by(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Those of the runs from which a setting may have been chosen, with the comparison that may have done so.

        They are trials of an optimizer that was tried with several settings on that task.
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
        """The role of each run, by id.

        It is `final` if any comparison has it as such; in a store without comparisons the seed decides.
        """
        known: dict[str, Role] = {}
        for record in self.records:
            for member in record.runs:
                known[member.run_id] = "final" if "final" in (member.role, known.get(member.run_id)) else "trial"
        by_seed: dict[bool, Role] = {True: "trial", False: "final"}
        return {run.run_id: known.get(run.run_id, by_seed[run.seed == TUNING_SEED]) for run in runs}

    def notice(self, notice: Notice) -> None:
        """Add a notice to the store's."""
        self._store.notices.append(notice)

    def save(self, record: ComparisonRecord) -> None:
        """Store a comparison; an existing record stays as it is.

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
    """The current time, in the format of the records."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _of_several_settings(store: Store, run_ids: Iterable[str]) -> set[str]:
    """Those of the runs whose optimizer also has runs with other options on the same task."""
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
    """Check that a record is well-formed and belongs to its name.

    Raises:
        ValueError, TypeError, AttributeError: when it is not, or does not.
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

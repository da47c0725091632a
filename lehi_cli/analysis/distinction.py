"""Names that tell sections of one task apart.

Results of one task that differ in budget, model, data, code or anything else that decides numbers are kept in separate
sections. Here each section gets a title that says in what it differs, and the reader gets a line that says so too.

What decides the numbers is nested settings; they are treated as one flat mapping from keys such as `model.hidden` to
values. Hashes of code and data tell a reader little, so a title shows them only where nothing else differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lehi_cli.runs.specs import format_value

from .labels import SHOWN_DIGITS, differing, numbered
from .results import Section

Facts = Mapping[str, Any]

FAKE = "data.fake"
RESULTS = "results"
RESPECTS = {
    FAKE: "real or fake data", RESULTS: "trained or made-up results", "checksum": "data", "data.fingerprint": "data",
}  # fmt: skip
"""Keys that readers know by another name."""
LONGEST = 32


def facts(section: Section) -> dict[str, Any]:
    """What decides the numbers of a section, flat: `budget`, `batch_size`, `model.hidden`, `code.<file>`, ..."""
    data = {key: value for key, value in section.spec.data.items() if key != "checksum"}
    rest = {key: value for key, value in section.spec.task.items() if key not in ("budget", "data")}
    found: dict[str, Any] = {"budget": str(section.spec.budget), **dict(_flat({**rest, "data": data}))}
    found["precision"] = section.spec.precision
    found["checksum"] = section.data_checksum
    if any(run.is_mock for run in section.runs):  # mock runs carry the same mark as fake data
        found[RESULTS] = "made up for fake data" if found.pop(FAKE, None) else "made up"
    return {key: value for key, value in found.items() if value is not None and value != ""}


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def distinctions(found: Sequence[Facts]) -> list[str]:
    """For each, a text with the values in which it differs from the others, such as `budget 100 steps`.

    The texts are all different, except where fake data makes the difference, which has its own mark.
    """
    keys = [key for key in differing(found) if key != FAKE]
    texts = _texts(found, [key for key in keys if not _is_hash(key)])
    alike: dict[tuple[str, bool], list[int]] = {}
    for i, facts in enumerate(found):
        alike.setdefault((texts[i], bool(facts.get(FAKE))), []).append(i)
    for (text, _), where in alike.items():
        if len(where) > 1:
            longer = [", ".join(filter(None, [text, own])) for own in _hashes([found[i] for i in where])]
            for i, unique in zip(where, numbered(longer), strict=True):
                texts[i] = unique
    return texts


def _is_hash(key: str) -> bool:
    return _respect(key) in ("code", "data")


def _respect(key: str) -> str:
    """A key as a reader knows it: `code.lehi_cli.models.mlp:mlp` is code."""
    return "code" if key.startswith("code.") else RESPECTS.get(key, key)


def _texts(found: Sequence[Facts], keys: Sequence[str]) -> list[str]:
    shown = {key: short([facts.get(key) for facts in found]) for key in keys}
    return [", ".join(f"{key} {shown[key][i]}" for key in keys if key in facts) for i, facts in enumerate(found)]


def _hashes(found: Sequence[Facts]) -> list[str]:
    """The first digits of the hashes that differ: `code 1a2b3c`."""
    keys = [key for key in differing(found) if _is_hash(key)]
    texts = []
    for facts in found:
        digits: dict[str, list[str]] = {}
        for key in keys:
            digits.setdefault(_respect(key), []).append(str(facts.get(key, "none"))[:SHOWN_DIGITS])
        texts.append(", ".join(f"{what} {'/'.join(of)}" for what, of in digits.items()))
    return texts


def short(values: Sequence[Any]) -> list[str]:
    """Values as text: import strings without their module, and all cut to length, if that leaves them different."""
    texts = [format_value(value) for value in values]
    texts = _where_different(texts, [text.rpartition(":")[2] for text in texts])
    return _where_different(texts, [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in texts])


def _where_different(texts: list[str], shorter: list[str]) -> list[str]:
    return shorter if len(set(shorter)) == len(set(texts)) else texts


def name_apart(sections: Sequence[Section]) -> None:
    """Give the sections of a task the distinctions that make their titles unique."""
    for alike in _of_one_task(sections):
        if len(alike) > 1:
            for section, text in zip(alike, distinctions([facts(section) for section in alike]), strict=True):
                section.distinction = text


def mixed_notes(sections: Sequence[Section]) -> list[str]:
    """A line for each task with several sections, and one for each optimizer with several versions in a section."""
    notes = []
    for alike in _of_one_task(sections):
        if len(alike) > 1:
            what = _listed(_respects([facts(section) for section in alike]))
            notes.append(
                f"{alike[0].task}: {len(alike)} sections that cannot be compared with each other: they differ in {what}"
            )
    return notes + [note for section in sections for note in _versions(section)]


def _respects(found: Sequence[Facts]) -> list[str]:
    words = list(dict.fromkeys(map(_respect, differing(found))))
    if RESPECTS[FAKE] in words and "data" in words:  # the same thing twice
        words.remove("data")
    return words


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _versions(section: Section) -> list[str]:
    versions: dict[str, dict[str, None]] = {}
    for series in section.series:
        run = series.runs[0]
        versions.setdefault(run.optimizer, {}).setdefault(run.spec.optimizer_code[:SHOWN_DIGITS] or "unknown")
    return [
        f"{section.title}: {name} ran in {len(codes)} versions of its code, kept apart: {_listed(codes)}"
        for name, codes in versions.items()
        if len(codes) > 1
    ]


def _of_one_task(sections: Sequence[Section]) -> list[list[Section]]:
    grouped: dict[str, list[Section]] = {}
    for section in sections:
        grouped.setdefault(section.task, []).append(section)
    return list(grouped.values())

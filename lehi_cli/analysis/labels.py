"""Labels that tell optimizers apart: those with the same label, and versions of one optimizer's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lehi_cli.runs.specs import canonical_json, format_value
from lehi_cli.runs.stored_run import StoredRun

SHOWN_DIGITS = 6  # number of a hash's digits that are shown


def distinct_labels(runs: Sequence[StoredRun], labels: Sequence[str]) -> list[str]:
    """Labels of optimizers; those that occur more than once get what tells them apart.

    `sgd:lr=0.1` by an option, `tuned (adam)` by the optimizer, `lehi (code 1a2b3c)` by the version of its code.

    Args:
        runs: one run of each optimizer.
        labels: the label of each optimizer.
    """
    texts = list(labels)
    alike: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        alike.setdefault(label, []).append(i)
    for label, where in alike.items():
        if len(where) > 1:
            for i, text in zip(where, _told_apart(label, [runs[i] for i in where]), strict=True):
                texts[i] = text
    return numbered(texts)


def _told_apart(label: str, runs: Sequence[StoredRun]) -> list[str]:
    names = Counter(run.optimizer for run in runs)
    by_name = {name: [run for run in runs if run.optimizer == name] for name in names}
    keys = {name: set(differing([run.options for run in same])) for name, same in by_name.items()}
    has_versions = {name: len({run.spec.optimizer_code for run in same}) > 1 for name, same in by_name.items()}
    texts = []
    for run in runs:
        options = [f"{key}={format_value(run.options[key])}" for key in run.options if key in keys[run.optimizer]]
        version = run.spec.optimizer_code if has_versions[run.optimizer] else ""
        aside = [run.optimizer] if len(names) > 1 else []
        aside += [f"code {version[:SHOWN_DIGITS]}"] if version else []
        texts.append(":".join([label, *options]) + (f" ({', '.join(aside)})" if aside else ""))
    return texts


def differing(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not all the same, in order of appearance; a missing key differs."""
    keys = dict.fromkeys(key for facts in found for key in facts)
    return [key for key in keys if len({canonical_json(facts.get(key)) for facts in found}) > 1]


def numbered(texts: Sequence[str]) -> list[str]:
    """The texts, with a number from the second of equal ones on: the last resort to tell them apart."""
    unique: list[str] = []
    taken: set[str] = set()
    for text in texts:
        chosen, count = text, 1
        while chosen in taken:
            count += 1
            chosen = f"{text} #{count}".strip()
        taken.add(chosen)
        unique.append(chosen)
    return unique

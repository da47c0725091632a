"""Tags that people give to runs, beside them: no run is rewritten for it.

    runs/.tags/<run id>.<tag>

A tag is an empty file, so that any number of processes can add and remove tags at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from lehi_cli.errors import StoreError, UsageError

from .store import Store

FOLDER = ".tags"
MOST_BYTES = 100
SPECIAL = "/\\,*?[]"  # of paths, of lists and of patterns

Tags = Mapping[str, Sequence[str]]
"""Tags by run id, in alphabetical order."""


def read_tags(store: Store) -> Tags:
    """Every tag of a store's runs."""
    found: dict[str, set[str]] = {}
    for root in store.roots:
        try:
            names = [path.name for path in (root / FOLDER).iterdir()]
        except OSError:  # none were given, or nobody may see them
            continue
        for run_id, dot, tag in (name.partition(".") for name in names):
            if run_id and dot and tag:
                found.setdefault(run_id, set()).add(tag)
    return {run_id: sorted(tags) for run_id, tags in found.items()}


def check_tag(text: str) -> str:
    """A tag as it is kept.

    Raises:
        UsageError: when it is empty, too long, or has characters that mean something elsewhere.
    """
    tag = unicodedata.normalize("NFC", text.strip())
    fits = 0 < len(tag.encode("utf-8", "surrogatepass")) <= MOST_BYTES
    if not fits or not tag.isprintable() or tag.startswith((".", "-")) or any(c in SPECIAL for c in tag):
        how = f"up to {MOST_BYTES} bytes, not starting with . or -, without line breaks and {' '.join(SPECIAL)}"
        raise UsageError(f"malformed tag {text!r}", how)
    return tag


def change_tags(root: Path, run_ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Add tags to runs and remove others; a tag that is there, or not there, stays so.

    Raises:
        StoreError: when they cannot be written.
    """
    folder = root / FOLDER
    try:
        if add:
            folder.mkdir(parents=True, exist_ok=True)
        for run_id in run_ids:
            for tag in add:
                (folder / f"{run_id}.{tag}").touch()
            for tag in remove:
                (folder / f"{run_id}.{tag}").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write tags in {folder}: {error.strerror}") from error

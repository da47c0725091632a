"""Identity of a user's own files, so that results on a changed file are not mistaken for results on the original."""

from __future__ import annotations

import hashlib
from pathlib import Path


def fingerprint(path: Path) -> str:
    """SHA-256 (16 digits) of a file's bytes; of a folder's file names, sizes and times; empty when there is nothing.

    A folder may hold millions of images, and reading them all would take longer than most comparisons.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    digest = hashlib.sha256()
    for member in sorted(path.rglob("*")):
        if member.is_file():  # not a link that leads nowhere
            status = member.stat()
            digest.update(f"{member.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16] if path.is_dir() else ""

"""Downloads into the data folder: resumed where they were cut off, checked by md5, put in place whole or not at all.

A file grows under a name ending in `.part` and takes its own name only when its md5 is right, so any file
under its own name was once complete.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from lehi_cli.data.catalog import Corpus, File, md5
from lehi_cli.errors import DataError

PIECE = 1 << 16  # bytes
TIMEOUT = 30  # seconds without an answer
_ANOTHER_FOLDER = "give a folder of your own with --data-dir or LEHI_DATA"


def fetch(corpus: Corpus, folder: Path, console: Console) -> list[File]:
    """Bring `corpus` into `folder`, showing progress on `console`; returns the files that had to be downloaded.

    Files that are present and undamaged stay; damaged ones are replaced.

    Raises:
        DataError: when a file cannot be downloaded, has the wrong content, or cannot be written.
    """
    if corpus.state(folder) == "yes":
        return []
    wanted = [file for file in corpus.files if file.state(folder) != "yes"]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    # no bar in a pipe, which would keep its last frame
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for file in wanted:
            target, bar = folder / file.path, progress.add_task(file.path, total=file.size)
            try:
                _download(file, target, partial(progress.update, bar))
            except _ConnectionLostError as error:
                raise DataError(
                    f"{file.url} cannot be fetched: {error}",
                    f"try again, which goes on where it stopped; or copy it by hand to {target}; "
                    "--fake-data gives a smoke run without it",
                ) from error
            except OSError as error:
                raise DataError(f"{target} cannot be written: {error.strerror}", _ANOTHER_FOLDER) from error
    if corpus.unpack:
        _unpack(corpus, folder)
    return wanted


def _download(file: File, target: Path, report: Callable[..., None]) -> None:
    """Download one file, check it, and put it in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _fill(part, file, report)
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()  # an empty file is not a start
    size, found = part.stat().st_size, md5(part)
    if found != file.md5:
        part.unlink()
        raise DataError(
            f"{file.url} gave {size:,} bytes with md5 {found}, expected {file.size:,} bytes with {file.md5}",
            f"nothing was kept; try again, or copy a good file to {target}",
        )
    os.replace(part, target)


def _fill(part: Path, file: File, report: Callable[..., None]) -> None:
    """Fill `part` to the size of `file`, over as many connections as it takes, as long as each one brings data."""
    part.touch()
    with part.open("r+b") as sink:
        while (start := sink.seek(0, os.SEEK_END)) < file.size:
            lost = f"the connection ended after {start:,} of {file.size:,} bytes"
            try:
                for position, piece in _pieces(file.url, start):
                    sink.seek(position)
                    sink.truncate()
                    sink.write(piece)
                    report(completed=sink.tell())
            except _ConnectionLostError as error:
                lost = str(error)
            if sink.tell() <= start:
                raise _ConnectionLostError(lost)


def _pieces(url: str, start: int) -> Iterator[tuple[int, bytes]]:
    """The content of `url` from byte `start` on, or from 0 where the server cannot resume: pieces with their positions.

    Raises:
        _ConnectionLostError: when the connection fails or is refused; one that merely ends early raises nothing.
    """
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 (from the catalog)
    try:
        with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            position = start if response.status == HTTPStatus.PARTIAL_CONTENT else 0
            while piece := response.read(PIECE):
                yield position, piece
                position += len(piece)
    except HTTPError as error:
        error.close()  # the error is an open response too
        raise _ConnectionLostError(str(error)) from None
    except (OSError, HTTPException) as error:
        raise _ConnectionLostError(str(getattr(error, "reason", error)) or type(error).__name__) from error


class _ConnectionLostError(Exception):
    """A failed connection, with the reason."""


def _unpack(corpus: Corpus, folder: Path) -> None:
    """Let torchvision unpack its archives; it knows them by their md5 and does not use the network."""
    reader = getattr(importlib.import_module("torchvision.datasets"), corpus.unpack)
    try:
        reader(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{corpus.name} is in {folder} but could not be unpacked there: {error}",
            _ANOTHER_FOLDER,
        ) from error

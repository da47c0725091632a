"""Output that cannot be written: the reader of a pipe has gone, or the disk is full."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lehi_cli.errors import Exit
from lehi_cli.render import plain


class Output(io.TextIOWrapper):
    """A standard stream that keeps the error at which writing to it failed; rich and typer make an exit of some.

    What the terminal's encoding lacks is written in poorer characters: ± as +-, not as a traceback.
    """

    trouble: OSError | None = None

    def __init__(self, stream: io.TextIOWrapper):
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors=plain.register(),
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        """Write text, as any stream does."""
        with self._heeded():
            return super().write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._heeded():
            super().flush()

    @contextmanager
    def _heeded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = error
            raise


@contextmanager
def checked_output() -> Iterator[None]:
    """End quietly when the reader of the output has gone, as `head` does; with an error when it cannot be written.

    What is buffered is written here: when the process ends it is too late for an exit code.

    Raises:
        SystemExit: with 141, as of a process that SIGPIPE ends, or with 2.
    """
    before = sys.stdout, sys.stderr
    streams = [Output(stream) for stream in before if isinstance(stream, io.TextIOWrapper)]
    if len(streams) < len(before):  # closed, or another program's
        yield
        return
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.flush()
        sys.stdout, sys.stderr = before
        if trouble := next((stream.trouble for stream in streams if stream.trouble), None):
            _end(trouble, streams)
        for stream in streams:
            stream.detach()  # it would close the stream below when it is thrown away


def _end(trouble: OSError, streams: list[Output]) -> None:
    if not isinstance(trouble, BrokenPipeError):
        with contextlib.suppress(OSError):  # stderr may be what cannot be written
            streams[1].write(f"error: cannot write the output: {trouble.strerror}\n")
    for stream in streams:
        _discard(stream)
    sys.exit(Exit.PIPE_CLOSED if isinstance(trouble, BrokenPipeError) else Exit.USAGE)


def _discard(stream: TextIO) -> None:
    """Send what is still buffered nowhere: Python would try again at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

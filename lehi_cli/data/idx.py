"""Arrays in idx files, the format MNIST was published in.

Two zero bytes, a type code, the number of axes, the length of each axis as four bytes (most significant first), then
the elements. Only unsigned bytes (type 8) occur here.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from lehi_cli.errors import DataError

UNSIGNED_BYTE = 8


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in `path`, which is gzipped when its name ends in `.gz`.

    Raises:
        DataError: when the file cannot be unpacked, is not an idx file of bytes, or is shorter or longer than it says.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} cannot be unpacked: {error}", "copy or fetch it again") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise DataError(f"{path} is no idx file of bytes: it starts with {content[:4].hex(' ')}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path} ends within its header", "copy or fetch it again")
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) - start != math.prod(shape):
        size = " x ".join(map(str, shape))
        raise DataError(f"{path} says it holds {size} bytes, but {len(content) - start} follow its header")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()  # frombuffer returns a read-only array

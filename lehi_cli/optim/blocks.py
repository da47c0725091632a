"""Sorting parameters into blocks by their names."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

LAYER = "layer"


def check_blocks(blocks: str | Sequence[str]) -> str | tuple[str, ...]:
    """`"layer"`, or the patterns in a list or in a `/`-separated string.

    Raises:
        ValueError: for anything else.
    """
    if blocks == LAYER:
        return LAYER
    patterns = tuple(blocks.split("/") if isinstance(blocks, str) else blocks)
    if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ValueError(f"blocks must be {LAYER!r} or patterns of parameter names, got {blocks!r}")
    return patterns


def partition(names: Sequence[str], blocks: str | Sequence[str]) -> list[list[int]]:
    """The positions of `names`, grouped into blocks.

    `"layer"` groups what one module owns: `encoder.0.weight` and `encoder.0.bias`, or all the weights of one LSTM.
    Otherwise each pattern (with file-name wildcards: `*`, `?`, `[...]`) makes a block of the names that it matches and
    no earlier pattern does; names that match no pattern form one more block, the last.

    Raises:
        ValueError: for a pattern that is left without a name.
    """
    keys = [_owner(name) if blocks == LAYER else _first_match(name, blocks) for name in names]
    if blocks != LAYER:
        for number, pattern in enumerate(blocks):
            if number not in keys:
                raise ValueError(
                    f"blocks: no parameter is left for the pattern {pattern!r}; the names are {', '.join(names)}"
                )
    order = list(dict.fromkeys(keys)) if blocks == LAYER else sorted(set(keys))
    return [[i for i, key in enumerate(keys) if key == block] for block in order]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _first_match(name: str, patterns: Sequence[str]) -> int:
    matches = [number for number, pattern in enumerate(patterns) if fnmatchcase(name, pattern)]
    return matches[0] if matches else len(patterns)

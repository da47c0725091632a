"""Web documents (FineWeb, or any of the same form), by bytes or by the tokens of a given tokenizer.

Documents are read from shards on disk, or a number of them from the hub. The tokens are cached under a checksum
of their source, so a tokenizer runs once per collection.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from lehi_cli.data import fake
from lehi_cli.data.dataset import Dataset, checksum, faked_by
from lehi_cli.data.tokens import compact, cut, windows
from lehi_cli.errors import DataError

CACHE_VARIABLE = "LEHI_CACHE"
HUB = ("HuggingFaceFW/fineweb", "sample-10BT")
BATCH = 1000  # documents per call of a tokenizer, or per read of a parquet file


@dataclass(frozen=True)
class Tokens:
    """Concatenated documents, tokens [L], each with its end-of-document symbol; `ends` [D] is where they end."""

    tokens: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, documents: Iterable[np.ndarray], symbols: int) -> Tokens:
        """Documents of tokens below `symbols` - 1, which is the end-of-document symbol."""
        dtype = compact(symbols)
        closed = [np.append(document.astype(dtype), dtype.type(symbols - 1)) for document in documents]
        lengths = np.array([len(document) for document in closed], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, dtype), *closed]), lengths.cumsum())

    def cut(self, held_out: float) -> dict[str, np.ndarray]:
        """The first documents for training, a share `held_out` of them each for validation and then for test.

        When there are too few documents for that, the tokens are divided instead.
        """
        if held_out * len(self.ends) < 1:
            return cut(self.tokens, held_out)
        ends = cut(self.ends, held_out)
        bounds = [int(ends[split][-1]) for split in ("train", "val")]
        return dict(zip(("train", "val", "test"), np.split(self.tokens, bounds), strict=True))


@faked_by(fake.text(257, 256))
def fineweb(
    folder: Path,
    path: str = "fineweb",
    length: int = 256,
    tokenizer: str | None = None,
    limit: int = 10_000,
    held_out: float = 0.01,
    stream: int = 0,
) -> Dataset:
    """Sequences of `length` predictions over concatenated documents, each followed by an end-of-document symbol.

    Args:
        folder: the data folder.
        path: a file or a folder of `.parquet` and `.jsonl` shards (column or key `text`) and `.txt` files (one document
            per line), absolute or within the data folder; read in the order of their names.
        length: predictions per sequence.
        tokenizer: a `tokenizer.json`, absolute or within the data folder; without one, symbols are the 256 bytes.
        limit: documents to read.
        held_out: share of the documents for `val` and for `test`, which come after the training documents.
        stream: documents to read from the hub instead of files; needs the extra `fineweb` and a connection once.

    Raises:
        DataError: files are missing or damaged, a package is not installed, or the hub cannot be reached.
        ValueError: an option is out of its range.
    """
    if not 0 < held_out <= 0.25:
        raise ValueError(f"fineweb: held_out={held_out!r} must be above 0 and at most 0.25")
    for name, count, least in (("limit", limit, 1), ("stream", stream, 0)):
        if type(count) is not int or count < least:
            raise ValueError(f"fineweb: {name}={count!r} must be a whole number of at least {least}")
    tokenizer_file = None if tokenizer is None else _present(folder / str(tokenizer), "tokenizer", "a tokenizer.json")
    how = b"bytes" if tokenizer_file is None else tokenizer_file.read_bytes()
    if stream:
        documents: Iterable[str] = _from_hub(stream)
        identity = [*HUB, str(stream)]  # the hub is contacted only when the tokens are not in the cache
    else:
        shards = _shards(_present(folder / str(path), "path", ".parquet, .jsonl or .txt shards"))
        read = chain.from_iterable(READERS[shard.suffix](shard) for shard in shards)
        identity = documents = list(islice(read, limit))
    key = _key(how, identity)
    kept = cached(key, lambda: _tokenised(documents, tokenizer_file))
    outputs = 257 if tokenizer_file is None else _load_tokenizer(tokenizer_file).get_vocab_size() + 1
    return windows(kept.cut(held_out), outputs, length, checksum([kept.tokens, kept.ends]), "fineweb")


def cached(key: str, make: Callable[[], Tokens]) -> Tokens:
    """What `make` returns, cached under `key`; made again when the file is damaged, not cached where it cannot be."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("lehi")) / "tokens"
    path = folder / f"{key}.npz"
    with (
        suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error),
        path.open("rb") as file,  # numpy leaves a damaged file open
        np.load(file) as kept,
    ):
        return Tokens(kept["tokens"], kept["ends"])
    made = make()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as private:
            fresh = Path(private) / path.name
            np.savez(fresh, tokens=made.tokens, ends=made.ends)
            os.replace(fresh, path)
    return made


def _tokenised(documents: Iterable[str], tokenizer_file: Path | None) -> Tokens:
    if tokenizer_file is None:
        return Tokens.of((np.frombuffer(document.encode(), np.uint8) for document in documents), 257)
    tokenizer = _load_tokenizer(tokenizer_file)
    return Tokens.of(_encoded(documents, tokenizer), tokenizer.get_vocab_size() + 1)


def _encoded(documents: Iterable[str], tokenizer: Any) -> Iterator[np.ndarray]:
    documents = iter(documents)
    while batch := list(islice(documents, BATCH)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            yield np.array(encoding.ids, dtype=np.int32)


def _key(how: bytes, texts: Iterable[str]) -> str:
    """Checksum of what the tokens are made from: 32 hexadecimal digits."""
    digest = hashlib.blake2b(hashlib.sha256(how).digest(), digest_size=16)
    for text in texts:
        raw = text.encode()
        digest.update(len(raw).to_bytes(8))
        digest.update(raw)
    return digest.hexdigest()


def _present(path: Path, option: str, what: str) -> Path:
    if not path.exists():
        raise DataError(
            f"fineweb: there is no {path}",
            f"copy {what} there, or name another place with --set data.{option}=PATH; "
            "--set data.stream=N reads N documents from the hub; --fake-data gives a smoke run without any",
        )
    return path


def _shards(path: Path) -> list[Path]:
    shards = [path] if path.is_file() else sorted(path.iterdir())
    shards = [shard for shard in shards if shard.suffix in READERS]
    if not shards:
        raise DataError(f"fineweb: {path} has no {', '.join(READERS)} file", "copy shards with their endings there")
    return shards


def _from_parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if "text" not in file.schema_arrow.names:
                raise _damaged(path, f"it has no column 'text', but {', '.join(file.schema_arrow.names)}")
            for batch in file.iter_batches(BATCH, columns=["text"]):
                yield from (text or "" for text in batch.column(0).to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, str(error)) from error


def _from_jsonl(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path), 1):
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str):
            raise _damaged(path, f"line {number} is no JSON object with a 'text'")
        yield text


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".parquet": _from_parquet,
    ".jsonl": _from_jsonl,
    ".txt": _lines,
}


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"fineweb: {path} cannot be read: {reason}", "copy it anew, or take it out of the folder")


def _from_hub(count: int) -> Iterator[str]:
    """The first `count` documents of the hub's sample; contacts the hub when the first one is needed."""
    datasets = _extra("datasets", "stream")
    try:
        documents = datasets.load_dataset(HUB[0], name=HUB[1], split="train", streaming=True)
        yield from (row["text"] for row in documents.take(count))
    except Exception as error:  # a failed connection, whatever the libraries raise for it
        raise DataError(
            f"fineweb: {HUB[0]} cannot be read from the hub: {type(error).__name__}: {error}",
            "try again, or copy .parquet shards to the data folder and leave out data.stream; "
            "--fake-data gives a smoke run without any",
        ) from error


def _load_tokenizer(path: Path) -> Any:
    tokenizers = _extra("tokenizers", "tokenizer")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare exceptions
        raise DataError(f"fineweb: {path} is no tokenizer: {error}", "give a tokenizer.json") from error


def _extra(package: str, option: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise DataError(
            f"fineweb: {option} needs the package {package}, which is not installed",
            "it comes with the extra: pip install 'lehi[fineweb]'",
        ) from None

"""Documents from shards, their tokens, and the cache of those."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lehi_cli.data import text_fineweb
from lehi_cli.data.text_fineweb import Tokens, cached, fineweb
from lehi_cli.errors import DataError

DOCUMENTS = [f"document {number}, é" for number in range(200)]
END = 256


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEHI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tokens"


@pytest.fixture
def folder(tmp_path):
    """The documents in three shards, one of each kind, and a file that is none."""
    place = tmp_path / "fineweb"
    place.mkdir()
    pq.write_table(pa.table({"id": range(100), "text": DOCUMENTS[:100]}), place / "a.parquet")
    (place / "b.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in DOCUMENTS[100:150]))
    (place / "c.txt").write_text("\n\n".join(DOCUMENTS[150:]), encoding="utf-8")
    (place / "README.md").write_text("not a shard")
    return tmp_path


def read(dataset):
    """The bytes behind the windows of each split."""
    return {
        name: torch.cat([split.inputs.flatten(), split.targets[-1, -1:]]).tolist()
        for name, split in dataset.splits.items()
    }


def flat(documents):
    return [byte for document in documents for byte in (*document.encode(), END)]


def test_shards_of_every_kind_are_read_in_order(folder):
    data = fineweb(folder, length=2)
    assert data.outputs == 257
    assert data.splits["train"].inputs.dtype == torch.int16
    for name, part in {"train": DOCUMENTS[:196], "val": DOCUMENTS[196:198], "test": DOCUMENTS[198:]}.items():
        expected = flat(part)
        found = read(data)[name]
        assert found == expected[: len(found)]
        assert len(expected) - len(found) < 2


def test_a_limit_and_a_single_file(folder):
    data = fineweb(folder, path="fineweb/a.parquet", length=2, limit=10, held_out=0.1)
    assert read(data)["test"] == flat(DOCUMENTS[9:10])[: len(read(data)["test"])]


def test_few_documents_are_shared_out_by_tokens(folder):
    (folder / "one.txt").write_text("x" * 1000)
    data = fineweb(folder, path="one.txt", length=8)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 122, "val": 1, "test": 1}


def test_tokens_are_kept_and_a_damaged_file_is_made_anew(folder, cache):
    first = fineweb(folder, length=8)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole[:3000] + b"?" + whole[3001:], b"no archive at all"):
        kept.write_bytes(damage)
        again = fineweb(folder, length=8)
        assert again.checksum == first.checksum
        assert read(again) == read(first)
        assert list(cache.iterdir()) == [kept]
        assert np.load(kept)["ends"].shape == (200,)


def test_the_key_follows_inputs_and_options(folder, cache):
    for options in ({}, {"limit": 150}, {"path": "fineweb/a.parquet"}):
        fineweb(folder, length=8, **options)
    assert len(list(cache.iterdir())) == 3
    fineweb(folder, length=16)  # windows are cut afterwards
    assert len(list(cache.iterdir())) == 3
    (folder / "fineweb/c.txt").write_text("other\n" * 60)
    fineweb(folder, length=8)
    assert len(list(cache.iterdir())) == 4


def test_what_is_kept_is_not_made_again(cache):
    made = Tokens(np.arange(5, dtype=np.int16), np.array([5]))
    cached("key", lambda: made)
    again = cached("key", lambda: pytest.fail("made again"))
    assert np.array_equal(again.tokens, made.tokens)


def test_a_cache_that_cannot_be_written_is_done_without(folder, cache):
    cache.parent.write_text("a file where the folder should be")
    assert len(fineweb(folder, length=8).splits["val"]) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"no parquet", r"a.parquet cannot be read: .*[Pp]arquet"),
        (
            "b.jsonl",
            b'{"text": "good"}\n{"body": 1}\n',
            "b.jsonl cannot be read: line 2 is no JSON object with a 'text'",
        ),
        ("b.jsonl", b"nonsense\n", "line 1 is no JSON object"),
        ("b.jsonl", b'{"text": 3}\n', "line 1 is no JSON object"),
        ("c.txt", b"caf\xe9\n", r"c.txt cannot be read: 'utf-8' codec"),
    ],
)
def test_a_damaged_shard_is_named(folder, name, content, message):
    (folder / "fineweb" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        fineweb(folder)


def test_a_parquet_file_without_text_is_refused(folder):
    pq.write_table(pa.table({"body": ["x"]}), folder / "fineweb/a.parquet")
    with pytest.raises(DataError, match="it has no column 'text', but body"):
        fineweb(folder)


def test_missing_shards_are_named(tmp_path):
    with pytest.raises(DataError, match=r"fineweb: there is no .*fineweb") as caught:
        fineweb(tmp_path)
    assert "--fake-data" in caught.value.hint
    (tmp_path / "fineweb").mkdir()
    with pytest.raises(DataError, match=r"has no .parquet, .jsonl, .txt file"):
        fineweb(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit=0 must be a whole number of at least 1"),
        ({"stream": -1}, "stream=-1 must be a whole number of at least 0"),
        ({"held_out": 0.5}, "held_out=0.5 must be above 0 and at most 0.25"),
        ({"length": 0}, "length=0 must be a positive integer"),
    ],
)
def test_bad_options_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        fineweb(folder, **options)


def test_a_tokenizer(folder, cache):
    tokenizers = pytest.importorskip("tokenizers", reason="the extra `fineweb` is not installed")
    vocabulary = {"document": 0, ",": 1, "<unk>": 2}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    data = fineweb(folder, length=4, tokenizer="tokenizer.json")
    assert data.outputs == 4
    assert read(data)["train"][:10] == [0, 2, 1, 2, 3] * 2
    assert data.splits["train"].inputs.dtype == torch.uint8
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer.json is no tokenizer"):
        fineweb(folder, tokenizer="tokenizer.json")


@pytest.mark.parametrize(("package", "options"), [("tokenizers", {"tokenizer": "t.json"}), ("datasets", {"stream": 5})])
def test_a_missing_extra_is_named(folder, monkeypatch, package, options):
    (folder / "t.json").write_text("{}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=f"needs the package {package}") as caught:
        fineweb(folder, **options)
    assert "lehi[fineweb]" in caught.value.hint


def test_documents_from_the_hub_are_asked_for_once(tmp_path, monkeypatch):
    asked = []

    class Streamed(list):
        def take(self, count):
            return self[:count]

    def load_dataset(path, **options):
        asked.append((path, options))
        return Streamed({"text": document} for document in DOCUMENTS)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    first = fineweb(tmp_path, length=8, stream=150)
    assert asked == [("HuggingFaceFW/fineweb", {"name": "sample-10BT", "split": "train", "streaming": True})]
    assert read(first)["train"][:24] == flat(DOCUMENTS[:2])[:24]
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert fineweb(tmp_path, length=8, stream=150).checksum == first.checksum


def test_a_hub_out_of_reach_is_one_error(tmp_path, monkeypatch, cache):
    def refused(*_, **__):
        raise ConnectionError("connection refused")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=refused))
    with pytest.raises(DataError, match="cannot be read from the hub: ConnectionError: connection refused") as caught:
        fineweb(tmp_path, stream=5)
    assert "leave out data.stream" in caught.value.hint
    assert not cache.exists()


def test_the_default_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("LEHI_CACHE")
    monkeypatch.setattr(text_fineweb.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    cached("key", lambda: Tokens(np.zeros(1, np.int16), np.array([1])))
    assert (Path(tmp_path) / "lehi/tokens/key.npz").is_file()

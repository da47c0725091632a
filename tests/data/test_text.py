"""Text as symbols: counts of the real sets, splits, vocabularies, and what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from lehi_cli.data import catalog
from lehi_cli.data.batches import reader
from lehi_cli.data.text import ptb, shakespeare, text
from lehi_cli.data.tokens import compact, cut, numbered, repeated, words
from lehi_cli.errors import DataError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LINES = "To be, or not to be:\nthat is the question.\n" * 40


def needs(name):
    state = catalog.find(name).state(DATA)
    return pytest.mark.skipif(state != "yes", reason=f"{name} is not at hand")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")
    return tmp_path


def sequence(split):
    """The symbols behind the windows of a split."""
    return torch.cat([split.inputs.flatten(), split.targets[-1, -1:]])


@needs("ptb")
def test_penn_treebank_has_its_known_counts():
    data = ptb(DATA)
    assert data.outputs == 10_000
    assert data.window == 35
    assert {name: len(split) + 1 for name, split in data.splits.items()} == {
        "train": 929_589, "val": 73_760, "test": 82_430,
    }  # fmt: skip
    for split in data.splits.values():
        assert split.inputs.dtype == split.targets.dtype == torch.int16
        assert torch.equal(split.inputs[1:], split.targets[:-1])
        assert split.inputs.min() >= 0
        assert split.inputs.max() < 10_000
    seen = data.splits["train"].inputs
    assert seen[:24].tolist() == list(range(24))  # numbered as they first occur
    assert len(seen.unique()) == 10_000


@needs("ptb")
def test_penn_treebank_is_read_as_published():
    data, vocabulary = ptb(DATA), {}
    published = words((DATA / "ptb/ptb.train.txt").read_text())
    assert published[:3] == ["aer", "banknote", "berlitz"]
    assert published[24:26] == ["<eos>", "pierre"]
    for word in published[:1000]:
        vocabulary.setdefault(word, len(vocabulary))
    assert data.splits["train"].inputs[:1000].tolist() == [vocabulary[word] for word in published[:1000]]


@needs("ptb")
def test_readers_take_up_where_they_stopped():
    data = ptb(DATA, window=7)
    batches = reader(data.splits["test"], 20, data.window).in_order()
    (first, targets), (second, _) = next(batches), next(batches)
    assert first.shape == (20, 7)
    assert torch.equal(targets[:, -1], second[:, 0])
    inputs, _ = data.prepare(first, targets)
    assert inputs.dtype == torch.int64


@needs("shakespeare")
def test_shakespeare_has_its_known_counts():
    data, raw = shakespeare(DATA), (DATA / "tinyshakespeare/input.txt").read_text()
    assert data.outputs == 65
    assert data.splits["train"].inputs.shape == (7842, 128)
    alphabet = sorted(set(raw))
    starts = {"train": 0, "val": round(0.9 * len(raw)), "test": round(0.95 * len(raw))}
    for name, split in data.splits.items():
        assert split.inputs.dtype == torch.uint8
        read = "".join(alphabet[symbol] for symbol in sequence(split).tolist())
        assert read == raw[starts[name] :][: len(read)]


@pytest.mark.skipif(not (DATA / "wikitext-2").is_dir(), reason="wikitext-2 is not at hand")
@pytest.mark.parametrize(("name", "count"), [("valid", 217_646), ("test", 245_569)])
def test_words_are_counted_as_others_count_them(name, count):
    raw = (DATA / f"wikitext-2/{name}.txt").read_text(encoding="utf-8")
    assert len(words(raw)) == count


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_splits_are_contiguous_and_disjoint(folder, level):
    data = text(folder, "lines.txt", length=8, level=level)
    total = {"char": len(LINES), "byte": len(LINES), "word": len(words(LINES))}[level]
    sizes = [len(sequence(split)) for split in data.splits.values()]
    for size, share in zip(sizes, (0.9, 0.05, 0.05), strict=True):
        assert share * total - 9 <= size <= share * total + 1
    for split in data.splits.values():
        assert torch.equal(split.inputs.flatten()[1:], split.targets.flatten()[:-1])
    if level != "word":
        read = bytes(sequence(data.splits["train"]).tolist())
        symbols = sorted(set(LINES)) if level == "char" else [chr(code) for code in range(256)]
        assert "".join(symbols[code] for code in read) == LINES[: len(read)]


def test_outputs_and_types_by_level(folder):
    sizes = {level: text(folder, "lines.txt", 8, level).outputs for level in ("char", "byte", "word")}
    assert sizes == {"char": len(set(LINES)), "byte": 256, "word": 1 + len(set(words(LINES)))}
    assert [compact(size) for size in (256, 257, 32_768, 32_769)] == [np.uint8, np.int16, np.int16, np.int32]


def test_rare_and_unseen_words_are_unknown():
    vocabulary = repeated(["a", "b", "a", "c", "b", "<unk>"])
    assert vocabulary == {"<unk>": 0, "a": 1, "b": 2}
    assert numbered(["a", "c", "d", "b"], vocabulary, unknown=0).tolist() == [1, 0, 0, 2]


def test_cut_is_a_partition():
    for length in (20, 99, 100, 101, 1234):
        parts = cut(np.arange(length), 0.05)
        assert np.array_equal(np.concatenate(list(parts.values())), np.arange(length))
        assert len(parts["val"]) == pytest.approx(0.05 * length, abs=1)


def test_bytes_and_characters_differ_beyond_ascii(tmp_path):
    (tmp_path / "greek.txt").write_text("αβγ\r\n" * 100, encoding="utf-8")
    assert text(tmp_path, "greek.txt", 4).outputs == 5
    data = text(tmp_path, str(tmp_path / "greek.txt"), 4, "byte")
    assert sequence(data.splits["train"])[:8].tolist() == list("αβγ\r\n".encode())


def test_the_checksum_is_that_of_the_bytes(folder):
    first = text(folder, "lines.txt", 8)
    assert first.checksum == text(folder, "lines.txt", 4, "word").checksum
    (folder / "lines.txt").write_text(LINES.replace("be", "bE"), encoding="utf-8")
    assert first.checksum != text(folder, "lines.txt", 8).checksum


@pytest.mark.parametrize(
    ("content", "options", "kind", "message"),
    [
        (None, {}, DataError, r"text: there is no file .*mine.txt"),
        (b"", {"length": 4}, DataError, "text mine.txt: train has 0 symbols, a sequence of length=4 needs 5"),
        (b"x" * 100, {"length": 8}, DataError, "val has 5 symbols, a sequence of length=8 needs 9"),
        (b"caf\xe9 " * 100, {}, DataError, "mine.txt is not UTF-8: byte 3 is 0xe9"),
        (b"caf\xe9 " * 100, {"level": "word"}, DataError, "is not UTF-8"),
        (b"x" * 100, {"length": 0}, ValueError, "length=0 must be a positive integer"),
        (b"x" * 100, {"level": "token"}, ValueError, "level='token' must be one of char, byte, word"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, content, options, kind, message):
    if content is not None:
        (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(kind, match=message):
        text(tmp_path, "mine.txt", **options)


def test_bytes_take_anything(tmp_path):
    (tmp_path / "mine.bin").write_bytes(b"caf\xe9\0\xff" * 100)
    assert len(text(tmp_path, "mine.bin", 8, "byte").splits["val"]) == 3


@pytest.mark.parametrize("source", [ptb, shakespeare])
def test_missing_files_are_named(tmp_path, source):
    with pytest.raises(DataError, match=f"lacks {'ptb.train' if source is ptb else 'input'}.txt"):
        source(tmp_path)


def test_an_altered_file_is_refused(tmp_path):
    path = tmp_path / "tinyshakespeare/input.txt"
    path.parent.mkdir()
    path.write_text(LINES)
    found = hashlib.md5(LINES.encode(), usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match=f"input.txt has md5 {found}, expected 6fb458f1232090904fb40fe944165e91"):
        shakespeare(tmp_path)


@pytest.mark.parametrize(("source", "shape"), [(ptb, (512 * 35,)), (shakespeare, (512, 128)), (text, (512, 128))])
def test_fake_data_has_the_shape_of_the_real(source, shape):
    data = source.fake(path="lines.txt")
    assert data.splits["train"].inputs.shape == shape
    assert data.outputs == {"ptb": 10_000, "shakespeare": 65, "text": 256}[source.__name__]

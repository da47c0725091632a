"""Image sets: what they promise, on real files where those are at hand, on small ones in the same format, and fakes."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import datasets

from lehi_cli.data import catalog, images, vision
from lehi_cli.data.idx import read_idx
from lehi_cli.data.images import imagefolder
from lehi_cli.data.loading import load_dataset
from lehi_cli.errors import DataError
from lehi_cli.registry import tasks

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
ROWS = (48, 16, 32)

# task: a batch of 5 as the model gets it, its targets, outputs, whether training batches are changed at random
TASKS = {
    "mnist": ((5, 1, 28, 28), (5,), 10, False),
    "fashion_mnist": ((5, 1, 28, 28), (5,), 10, False),
    "smnist": ((5, 49, 1), (5,), 10, False),
    "mnist_autoencoder": ((5, 784), (5, 784), 784, False),
    "cifar10": ((5, 3, 32, 32), (5,), 10, True),
    "cifar100": ((5, 3, 32, 32), (5,), 100, True),
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(images.CACHE_VARIABLE, str(tmp_path / "cache"))


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_mnist(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four small files in MNIST's format, with their checksums in the catalog, and validation rows to fit."""
    random = np.random.RandomState(0)
    raw = folder / catalog.find(name).place
    raw.mkdir(parents=True)
    files = []
    for file in catalog.find(name).files:
        rows = ROWS[2] if "t10k" in file.path else ROWS[0] + ROWS[1]
        array = random.randint(0, 256, (rows, 28, 28)) if "images" in file.path else np.arange(rows) % 10
        path = folder / file.path
        path.write_bytes(gzip.compress(idx(array.astype(np.uint8))))
        files.append(catalog.File(file.path, file.url, catalog.md5(path), path.stat().st_size))
    corpus = catalog.find(name)
    small = catalog.Corpus(corpus.name, corpus.what, corpus.terms, tuple(files), corpus.unpack)
    monkeypatch.setattr(catalog, "CORPORA", {**catalog.CORPORA, name: small})
    monkeypatch.setattr(vision, "VALIDATION_ROWS", ROWS[1])
    return raw


def write_cifar(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small batches in the original format. Only torchvision's list of checksums is changed: theirs differ."""
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    key, classes = ("labels", 10) if name == "cifar10" else ("fine_labels", 100)
    place, random = folder / kind.base_folder, np.random.RandomState(0)
    place.mkdir(parents=True)

    def write(file: str, content: dict[str, object]) -> str:
        (place / file).write_bytes(pickle.dumps(content, protocol=2))
        return catalog.md5(place / file)

    def batch(rows: int) -> dict[str, object]:
        pixels = random.randint(0, 256, (rows, 3072)).astype(np.uint8)
        return {"data": pixels, key: random.randint(0, classes, rows).tolist()}

    rows = (ROWS[0] + ROWS[1]) // len(kind.train_list) + 1
    train = [[file, write(file, batch(rows))] for file, _ in kind.train_list]
    test = [[file, write(file, batch(ROWS[2]))] for file, _ in kind.test_list]
    names = write(kind.meta["filename"], {kind.meta["key"]: [f"class {label}" for label in range(classes)]})
    monkeypatch.setattr(kind, "train_list", train)
    monkeypatch.setattr(kind, "test_list", test)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": names})
    monkeypatch.setattr(vision, "VALIDATION_ROWS", ROWS[1])
    return place


@pytest.mark.parametrize("name", [*TASKS, "imagefolder"])
@pytest.mark.parametrize("real", [False, True])
def test_batches_have_the_shape_the_model_takes(
    name: str, real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tasks.find(name).spec([] if real else ["data.fake=true"])
    if real and name == "imagefolder":
        write_images(tmp_path / "images", tree(("cat", "dog"), 5))
    elif real:
        corpus = name.replace("smnist", "mnist").removesuffix("_autoencoder")
        (write_cifar if "cifar" in name else write_mnist)(tmp_path, corpus, monkeypatch)
        spec.data.pop("checksum", None)
    dataset = load_dataset(spec, tmp_path)
    inputs, targets, outputs, augmented = TASKS.get(name, ((5, 3, 32, 32), (5,), 2 if real else 10, True))
    assert dataset.outputs == outputs
    assert (dataset.augment is not None) == (augmented and real)
    for split in dataset.splits.values():
        assert split.inputs.dtype == torch.uint8
        assert dataset.prepare is not None
        first = dataset.prepare(split.inputs[:1], split.targets[:1])
        batch = dataset.prepare(*(part[:1].repeat_interleave(5, 0) for part in (split.inputs, split.targets)))
        assert (tuple(batch[0].shape), tuple(batch[1].shape)) == (inputs, targets)
        assert torch.equal(batch[0][3:4], first[0])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_last_training_images_validate(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_mnist(tmp_path, name, monkeypatch)
    splits = getattr(vision, name)(tmp_path).splits
    pixels, labels = (read_idx(raw / file) for file in MNIST_FILES[:2])
    assert tuple(map(len, splits.values())) == ROWS
    assert np.array_equal(torch.cat([splits["train"].inputs, splits["val"].inputs])[:, 0], pixels)
    assert np.array_equal(torch.cat([splits["train"].targets, splits["val"].targets]), labels)
    assert np.array_equal(splits["test"].inputs[:, 0], read_idx(raw / MNIST_FILES[2]))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_keeps_rows_and_channels_in_place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_cifar(tmp_path, name, monkeypatch)
    splits = getattr(vision, name)(tmp_path).splits
    file = "data_batch_1" if name == "cifar10" else "train"
    batch = pickle.loads((place / file).read_bytes())
    used = min(len(batch["data"]), len(splits["train"]))
    assert np.array_equal(splits["train"].inputs[:used].flatten(1), batch["data"][:used])
    assert splits["train"].targets[:used].tolist() == batch.get("labels", batch.get("fine_labels"))[:used]
    assert len(splits["val"]) == ROWS[1]


def test_unpacked_files_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_mnist(tmp_path, "mnist", monkeypatch)
    packed = vision.mnist(tmp_path)
    for file in MNIST_FILES:
        (raw / file).with_suffix("").write_bytes(gzip.decompress((raw / file).read_bytes()))
        (raw / file).unlink()
    assert vision.mnist(tmp_path).checksum == packed.checksum


def test_an_autoencoder_keeps_its_images_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path, "mnist", monkeypatch)
    for split in vision.mnist_autoencoder(tmp_path).splits.values():
        assert split.inputs.data_ptr() == split.targets.data_ptr()
    inputs, targets = vision.reconstruction(split.inputs, split.targets)
    assert inputs is targets
    assert (inputs.min(), inputs.max()) == (0, 1)


def test_a_sequence_is_the_image_in_squares_of_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path, "mnist", monkeypatch)
    split = vision.smnist(tmp_path).splits["test"]
    sequences, _ = vision.pooled_sequence(split.inputs, split.targets)
    corner = split.inputs[:, 0, 4:8, 8:12].double().mean((1, 2)) / 255
    torch.testing.assert_close(sequences[:, 9, 0], ((corner - 0.1307) / 0.3081).float())


@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="MNIST is not at hand")
def test_mnist_itself() -> None:
    dataset = load_dataset(tasks.find("mnist").spec(), DATA)  # which declares its checksum
    assert tuple(map(len, dataset.splits.values())) == (55_000, 5_000, 10_000)
    assert dataset.splits["train"].targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    for split in dataset.splits.values():
        assert (split.targets.bincount() / len(split) - 0.1).abs().max() < 0.015
    assert dataset.prepare is not None
    pixels, _ = dataset.prepare(dataset.splits["train"].inputs, dataset.splits["train"].targets)
    assert (abs(pixels.mean()) < 1e-3, abs(pixels.std() - 1) < 1e-3) == (True, True)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "mnist_autoencoder", "smnist", "cifar10", "cifar100"])
def test_missing_files_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        getattr(vision, name)(tmp_path)
    files = (
        MNIST_FILES if "mnist" in name else ("test_batch", "batches.meta") if name == "cifar10" else ("test", "meta")
    )
    for word in (*files, str(tmp_path)):
        assert word in refusal.value.message
    for word in ("lehi data fetch", "--fake-data", "copy"):
        assert word in refusal.value.hint


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("damage", [lambda content: content[:-7], lambda content: content[:-1] + b"!", lambda _: b""])
def test_damaged_files_are_named(
    name: str, damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (write_mnist if name == "mnist" else write_cifar)(tmp_path, name, monkeypatch)
    file = place / (MNIST_FILES[2] if name == "mnist" else "data_batch_3")
    expected = catalog.md5(file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError) as refusal:
        getattr(vision, name)(tmp_path)
    for word in (str(file), catalog.md5(file), expected):
        assert word in refusal.value.message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"no gzip", "cannot be unpacked"),
        ("a.gz", gzip.compress(idx(np.zeros((2, 3), np.uint8)), mtime=0)[:-9], "cannot be unpacked"),
        ("a", b"", "is no idx file of bytes"),
        ("a", bytes((0, 0, 13, 1, 0, 0, 0, 0)), "starts with 00 00 0d 01"),
        ("a", idx(np.zeros((2, 3), np.uint8))[:-1], "says it holds 2 x 3 bytes, but 5 follow"),
        ("a", idx(np.zeros((2, 3), np.uint8)) + b"!", "but 7 follow"),
        ("a", idx(np.zeros((2, 3), np.uint8))[:6], "ends within its header"),
    ],
)
def test_files_that_are_not_idx_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / name)


def slow_crop_and_flip(batch: Tensor, generator: torch.Generator) -> Tensor:
    """One image after the other, with the same draws."""
    size = batch.shape[-1]
    border = size // 8
    top, left = torch.randint(2 * border + 1, (2, len(batch), 1), generator=generator)
    mirrored = torch.randint(2, (len(batch), 1), generator=generator)
    changed = []
    for image, y, x, mirror in zip(batch, top, left, mirrored, strict=True):
        bordered = torch.zeros(len(image), size + 2 * border, size + 2 * border, dtype=image.dtype)
        bordered[:, border:-border, border:-border] = image
        cut = bordered[:, y : y + size, x : x + size]
        changed.append(cut.flip(-1) if mirror else cut)
    return torch.stack(changed)


@pytest.mark.parametrize("shape", [(64, 3, 32, 32), (7, 1, 16, 16)])
def test_augmentation_is_the_slow_one_and_repeats(shape: tuple[int, ...]) -> None:
    batch = torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).byte()
    first, again, slow, other = (
        augment(batch, torch.Generator().manual_seed(seed))
        for augment, seed in (
            (vision.crop_and_flip, 1),
            (vision.crop_and_flip, 1),
            (slow_crop_and_flip, 1),
            (vision.crop_and_flip, 2),
        )
    )
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert torch.equal(first, slow)
    assert not torch.equal(first, other)
    assert not torch.equal(first, batch)


def picture(seed: int, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def tree(classes: tuple[str, ...], count: int, prefix: str = "", seed: int = 0) -> dict[str, bytes]:
    return {
        f"{prefix}{name}/{index}.png": picture(seed + 100 * number + index)
        for number, name in enumerate(classes)
        for index in range(count)
    }


def write_images(place: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_folder_and_archive_are_the_same_data(tmp_path: Path) -> None:
    files = tree(("dog", "cat"), 20, "train/") | tree(("dog", "cat"), 3, "test/", seed=1000)
    write_images(tmp_path / "images", {**files, "train/cat/.hidden.png": b"", "train/notes.txt": b"", "README": b""})
    write_archive(tmp_path / "images.tar.gz", dict(reversed(files.items())))
    write_archive(tmp_path / "wrapped.tar.gz", {f"wrapper/{name}": content for name, content in files.items()})
    folder, archive, wrapped, absolute = (
        imagefolder(tmp_path, path) for path in ("images", "images.tar.gz", "wrapped.tar.gz", str(tmp_path / "images"))
    )
    assert folder.checksum == archive.checksum == wrapped.checksum == absolute.checksum
    assert tuple(map(len, folder.splits.values())) == (36, 4, 6)
    for split in folder.splits.values():
        assert split.targets.bincount().tolist() == [len(split) / 2] * 2
    first = np.asarray(Image.open(io.BytesIO(files["test/cat/0.png"]))).transpose(2, 0, 1)  # cat comes before dog
    assert np.array_equal(folder.splits["test"].inputs[0], first)
    assert folder.splits["test"].targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert folder.prepare is not None
    pixels, _ = folder.prepare(folder.splits["train"].inputs, folder.splits["train"].targets)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(pixels.std((0, 2, 3), correction=0), torch.ones(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefixes", [("",), ("train/",), ("train/", "val/"), ("train/", "val/", "test/")])
def test_splits_are_drawn_where_there_are_none(prefixes: tuple[str, ...], tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for number, prefix in enumerate(prefixes):
        files |= tree(("a", "b", "c"), 10, prefix, seed=1000 * number)
    write_images(tmp_path / "images", files)
    splits = imagefolder(tmp_path).splits
    drawn = 3 - max(1, len([prefix for prefix in prefixes if prefix]))
    held_out = [3] * drawn if drawn == 2 else [30, 3] if drawn else [30, 30]
    assert list(map(len, splits.values())) == [30 - 3 * drawn, *held_out]
    rows = [row.numpy().tobytes() for split in splits.values() for row in split.inputs]
    assert len(set(rows)) == len(rows) == len(files)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_images(tmp_path / "images", tree(("train", "plane"), 4))
    assert tuple(map(len, imagefolder(tmp_path).splits.values())) == (4, 2, 2)


def test_images_of_any_size_and_mode(tmp_path: Path) -> None:
    modes = {
        f"{name}/{mode}.png": picture(1, (40, 24), mode) for name in "ab" for mode in ("L", "RGBA", "P", "1", "RGB")
    }
    write_images(tmp_path / "images", modes)
    dataset = imagefolder(tmp_path, size=16, augment=False)
    assert dataset.splits["train"].inputs.shape == (6, 3, 16, 16)
    assert dataset.augment is None


def test_pixels_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "images", tree(("a", "b"), 4))
    first = imagefolder(tmp_path)
    (kept,) = images.cache_folder().iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(images, "_decode", None)
        assert imagefolder(tmp_path).checksum == first.checksum
    kept.write_bytes(kept.read_bytes()[:-1])
    assert imagefolder(tmp_path).checksum == first.checksum  # decoded again
    (tmp_path / "images/a/0.png").write_bytes(picture(77))
    assert imagefolder(tmp_path).checksum != first.checksum
    assert {path.suffix for path in images.cache_folder().iterdir()} == {".npy"}


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(images.CACHE_VARIABLE, str(tmp_path / "file"))
    write_images(tmp_path / "images", tree(("a", "b"), 4))
    assert len(imagefolder(tmp_path).splits["train"]) == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": b""}, "holds no images"),
        (tree(("a",), 4), "one class only, 'a'"),
        ({"1.png": b"", "a/1.png": b""}, "1.png is in no folder of a class"),
        (tree(("a", "b"), 4, "train/") | {"valid/a/1.png": b""}, "valid/a/1.png is in none of the folders train, val"),
        (tree(("a", "b"), 4) | {"c/1.png": b""}, "class 'c' has 1 training images, 3 are needed"),
        (tree(("a", "b"), 4, "train/") | {"test/c/1.png": b""}, "class 'c' has 0 training images, 2 are needed"),
        (tree(("a", "b"), 4) | {"a/x.png": b"no image"}, "a/x.png cannot be read as an image: it is of no known kind"),
        (tree(("a", "b"), 4) | {"a/x.png": picture(0)[:-99]}, "a/x.png cannot be read as an image"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_unusable_images_are_named(files: dict[str, bytes], message: str, packed: bool, tmp_path: Path) -> None:
    place = tmp_path / ("images.tar.gz" if packed else "images")
    (write_archive if packed else write_images)(place, files)
    with pytest.raises(DataError, match=message) as refusal:
        imagefolder(tmp_path, place.name)
    assert "cannot be read" in message or str(place) in refusal.value.message
    assert not list(images.cache_folder().glob("*"))


def test_missing_and_broken_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*images") as refusal:
        imagefolder(tmp_path)
    assert "--fake-data" in refusal.value.hint
    write_archive(tmp_path / "whole.tar.gz", tree(("a", "b"), 4))
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:-3000])
    (tmp_path / "none.tar.gz").write_bytes(b"no archive")
    for name in ("cut.tar.gz", "none.tar.gz"):
        with pytest.raises(DataError, match=rf"{name} cannot be read"):
            imagefolder(tmp_path, name)
    with pytest.raises(ValueError, match="size=0 must be a positive integer"):
        imagefolder(tmp_path, size=0)


@pytest.mark.skipif(not (DATA / "cifar10-jpeg").is_dir(), reason="the JPEG copy of CIFAR-10 is not at hand")
def test_some_of_the_jpeg_copy_of_cifar10(tmp_path: Path) -> None:
    """Twenty training images of two classes, which lie at the start of the archive by name."""
    with tarfile.open(DATA / "cifar10-jpeg" / "cifar10-jpeg.tar.gz") as archive:
        wanted = {f"test/{name}/{index:04}.jpg" for name in ("airplane", "automobile") for index in range(20)}
        files: dict[str, bytes] = {}
        while len(files) < len(wanted) and (member := archive.next()) is not None:
            file = archive.extractfile(member) if member.name.removeprefix("./") in wanted else None
            if file is not None:
                files[member.name] = file.read()
    write_images(tmp_path / "images", files)
    dataset = imagefolder(tmp_path)
    assert tuple(map(len, dataset.splits.values())) == (32, 4, 4)
    assert all((split.targets.bincount() == len(split) // 2).all() for split in dataset.splits.values())
    assert 60 < dataset.splits["train"].inputs.float().mean() < 200

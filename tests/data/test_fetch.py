"""Downloads from a server on this machine that can cut connections, ignore ranges and send the wrong thing."""

import hashlib
import io
import os
import tarfile
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from lehi_cli.data import catalog
from lehi_cli.data.catalog import CORPORA, Corpus, File
from lehi_cli.data.fetch import fetch
from lehi_cli.errors import DataError, UnknownNameError

CONTENT = bytes(range(256)) * 1024
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def digest(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Server:
    """What is served, how, and what was asked for: the `Range` of each request."""

    content: bytes = CONTENT
    url: str = ""
    cut_after: list[int] = field(default_factory=list)  # bytes of each of the first answers before the line goes dead
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.status != 200:
            request.send_error(self.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.url = f"http://127.0.0.1:{listening.server_port}/file"
        yield served
        listening.shutdown()
        thread.join()


def corpus(server, content=CONTENT):
    return Corpus("made", "a test", "none", (File("sub/file.bin", server.url, digest(content), len(content)),))


def get(wanted, folder):
    return fetch(wanted, folder, Console(quiet=True))


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_whole_file_arrives_once(server, tmp_path):
    wanted = corpus(server)
    assert wanted.state(tmp_path) == "no"
    assert get(wanted, tmp_path) == list(wanted.files)
    assert (tmp_path / "sub/file.bin").read_bytes() == CONTENT
    assert wanted.state(tmp_path) == "yes"
    assert get(wanted, tmp_path) == []
    assert server.asked == [None]
    assert left(tmp_path) == ["sub/file.bin"]


@pytest.mark.parametrize(
    ("cuts", "asked"),
    [
        ([100_000], [None, "bytes=100000-"]),
        ([10, 100_000], [None, "bytes=10-", "bytes=100010-"]),
        ([100_000, 0], [None, "bytes=100000-"]),
    ],
)
def test_a_cut_connection_is_taken_up_where_it_ended(server, tmp_path, cuts, asked):
    server.cut_after = list(cuts)
    if cuts[-1]:
        get(corpus(server), tmp_path)
    else:  # a connection that brings nothing ends the attempt, the next command goes on
        with pytest.raises(DataError, match=r"cannot be fetched: the connection ended after 100,000 of 262,144 bytes"):
            get(corpus(server), tmp_path)
        assert left(tmp_path) == ["sub/file.bin.part"]
        get(corpus(server), tmp_path)
        asked = [*asked, "bytes=100000-"]
    assert server.asked == asked
    assert (tmp_path / "sub/file.bin").read_bytes() == CONTENT
    assert left(tmp_path) == ["sub/file.bin"]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges, server.cut_after = False, [100_000]
    get(corpus(server), tmp_path)
    assert (tmp_path / "sub/file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"?", CONTENT + b"?"], ids=["same length", "longer"])
def test_a_wrong_file_leaves_nothing_behind(server, tmp_path, sent):
    server.content = sent
    with pytest.raises(
        DataError, match=f"gave .* bytes with md5 {digest(sent)}, expected 262,144 bytes with"
    ) as caught:
        get(corpus(server), tmp_path)
    assert "nothing was kept" in caught.value.hint
    assert left(tmp_path) == []


def test_a_part_that_is_not_the_beginning_is_found_out_and_dropped(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file.bin.part").write_bytes(b"something else")
    with pytest.raises(DataError, match="expected"):
        get(corpus(server), tmp_path)
    get(corpus(server), tmp_path)
    assert (tmp_path / "sub/file.bin").read_bytes() == CONTENT


def test_a_damaged_file_is_replaced(server, tmp_path):
    wanted, path = corpus(server), tmp_path / "sub/file.bin"
    path.parent.mkdir()
    for damaged in (b"short", CONTENT[:-1] + b"?"):
        path.write_bytes(damaged)
        assert wanted.state(tmp_path) == "damaged"
        get(wanted, tmp_path)
        assert path.read_bytes() == CONTENT


def test_a_refused_connection_says_where_to_copy_the_file(server, tmp_path):
    wanted = corpus(server)
    refused = replace(wanted, files=(replace(wanted.files[0], url="http://127.0.0.1:9/file"),))
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/file cannot be fetched: .*refused") as caught:
        get(refused, tmp_path)
    assert str(tmp_path / "sub/file.bin") in caught.value.hint
    assert "--fake-data" in caught.value.hint
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [404, 416, 500])
def test_an_error_of_the_server_is_named(server, tmp_path, status):
    server.status = status
    with pytest.raises(DataError, match=f"cannot be fetched: HTTP Error {status}"):
        get(corpus(server), tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match="cannot be written: ") as caught:
        get(corpus(server), tmp_path / "taken")
    assert "--data-dir" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(server, tmp_path):
    wanted = corpus(server)
    tmp_path.chmod(0o555)
    with pytest.raises(DataError, match="cannot be written: Permission denied"):
        get(wanted, tmp_path)
    tmp_path.chmod(0o755)
    get(wanted, tmp_path)
    tmp_path.chmod(0o555)
    assert get(wanted, tmp_path) == []  # nothing to write
    tmp_path.chmod(0o755)


def test_an_archive_is_unpacked(server, tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    packed = io.BytesIO()
    members = {"cifar-10-batches-py/one": b"1", "cifar-10-batches-py/two": b"2"}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    server.content = packed.getvalue()
    tests = [[Path(name).name, digest(content)] for name, content in members.items()]
    for attribute, value in {"tgz_md5": digest(server.content), "train_list": tests, "test_list": []}.items():
        monkeypatch.setattr(datasets.CIFAR10, attribute, value)
    monkeypatch.setattr(datasets.CIFAR10, "__init__", lambda self, root, download: opened(self, root))

    def opened(self, root):
        self.root = root
        self.download()

    wanted = Corpus(
        "made",
        "a test",
        "none",
        (File("cifar-10-python.tar.gz", server.url, digest(server.content), len(server.content)),),
        tuple(File(name, "", digest(content)) for name, content in members.items()),
        unpack="CIFAR10",
    )
    assert get(wanted, tmp_path) == list(wanted.files)
    assert wanted.state(tmp_path) == "yes"
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    assert get(wanted, tmp_path) == []  # what is unpacked is enough
    assert len(server.asked) == 1


def test_missing_and_altered_files_are_named(tmp_path):
    ptb = catalog.find("ptb")
    with pytest.raises(DataError, match=r"ptb lacks ptb.train.txt, ptb.valid.txt, ptb.test.txt") as caught:
        ptb.paths(tmp_path)
    for part in (f"lehi data fetch ptb --data-dir {tmp_path}", str(tmp_path / "ptb"), "--fake-data"):
        assert part in caught.value.hint
    (tmp_path / "ptb").mkdir()
    for file in ptb.files:
        (tmp_path / file.path).write_bytes(b"x" * file.size)
    first = ptb.files[0]
    found = digest(b"x" * first.size)
    with pytest.raises(DataError, match=f"ptb.train.txt has md5 {found}, expected {first.md5}"):
        ptb.paths(tmp_path)
    (tmp_path / first.path).unlink()
    assert ptb.state(tmp_path) == "damaged"


def test_the_hint_leaves_out_the_folder_that_is_looked_in_anyway(tmp_path, monkeypatch):
    monkeypatch.setenv("LEHI_DATA", str(tmp_path))
    assert "run: lehi data fetch ptb;" in catalog.find("ptb").hint(tmp_path)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown data set 'shakespear'; did you mean 'shakespeare'"):
        catalog.find("shakespear")


@pytest.mark.parametrize("name", CORPORA)
def test_every_record_is_whole(name):
    corpus = CORPORA[name]
    assert corpus.name == name
    assert corpus.what
    assert corpus.terms
    assert len({file.path for file in corpus.contents}) == len(corpus.contents)
    assert len({str(Path(file.path).parent) for file in corpus.contents}) == 1
    for file in (*corpus.files, *corpus.contents):
        assert len(file.md5) == 32
        assert not Path(file.path).is_absolute()
    for file in corpus.files:
        assert file.url.startswith("http")
        assert file.url.endswith(Path(file.path).name)
        assert file.size > 0
    assert bool(corpus.unpacked) == bool(corpus.unpack)


@pytest.mark.parametrize("name", CORPORA)
def test_the_records_fit_the_real_files(name):
    corpus = CORPORA[name]
    if corpus.state(DATA) == "no":
        pytest.skip(f"{name} is not at hand")
    assert corpus.state(DATA) == "yes"
    assert all(path.is_file() for path in corpus.paths(DATA))
    if corpus.unpack:
        datasets = pytest.importorskip("torchvision.datasets")
        assert getattr(datasets, corpus.unpack).tgz_md5 == corpus.files[0].md5

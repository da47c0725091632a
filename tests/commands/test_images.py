"""`lehi report` as pdf, png and svg: the figures alone, the same bytes for the same input."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commanded import Lehi, fill
from PIL import Image

IMAGES = ("pdf", "png", "svg")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels that are words, symbols and another script; one of them diverges."""
    optims = "lehi,adam:label=a|b$x$_y,sgd:lr=1e6:label=日本語"
    more = ("--task", "digits", "--optims", optims, "--steps", "10", "--seeds", "2")
    return fill(tmp_path_factory.mktemp("trained") / "runs", "compare", *more)


def written(lehi: Lehi, runs: Path, path: Path, *more: str) -> bytes:
    result = lehi("report", "--runs", str(runs), "--output", str(path), *more)
    assert (result.code, result.out) == (0, ""), result.err
    assert f"wrote {path}" in result.err
    return path.read_bytes()


def test_a_pdf_has_a_page_for_each_figure(lehi: Lehi, runs: Path, tmp_path: Path) -> None:
    content = written(lehi, runs, tmp_path / "r.pdf")
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 3  # training, validation, final values


def test_a_png_shows_all_figures(lehi: Lehi, runs: Path, tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(written(lehi, runs, tmp_path / "r.PNG")))
    assert image.width == 2 * 780
    assert image.height > 1000  # two rows of figures
    assert len(image.convert("RGB").getcolors(10**6) or ()) > 20
    assert image.info["Description"].startswith("command: lehi compare --task digits")


def test_an_svg_has_titles_captions_and_labels_as_text(lehi: Lehi, runs: Path, tmp_path: Path) -> None:
    tree = ElementTree.fromstring(written(lehi, runs, tmp_path / "r.svg"))
    texts = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert {"lehi", "a|b$x$_y", "日本語", "passes", "val loss"} <= set(texts)
    assert any(text.startswith("digits: training loss") for text in texts)
    assert any("mean of 2 seeds" in text for text in texts)


@pytest.mark.parametrize("kind", IMAGES)
def test_the_same_report_gives_the_same_bytes(lehi: Lehi, runs: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"r.{kind}"
    first = written(lehi, runs, path)
    assert written(lehi, runs, path) == first
    for dated in (b"CreationDate", b"dc:date", b"matplotlib v"):
        assert dated not in first


@pytest.mark.parametrize("kind", IMAGES)
def test_bytes_go_through_a_pipe(lehi: Lehi, runs: Path, tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "lehi_cli", "report", "--runs", str(runs), "--format", kind]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout[:5].strip() in (b"%PDF-", b"\x89PNG", b"<?xml")


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_a_terminal_gets_no_bytes(runs: Path, kind: str) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "lehi_cli", "report", "--runs", str(runs), "--format", kind]
    done = subprocess.run(command, stdout=slave, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert done.stderr == f"error: a terminal cannot show {kind}\n--output figures.{kind} writes it into a file\n"


@pytest.mark.parametrize("kind", IMAGES)
def test_a_report_without_figures_is_refused(lehi: Lehi, runs: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"r.{kind}"
    result = lehi("report", "--runs", str(runs), "--brief", "--output", str(path))
    assert result.code == 2
    assert f"there is no figure to draw as {kind} in this report" in result.err
    assert not path.exists()


def test_what_is_not_real_is_marked(lehi: Lehi, tmp_path: Path) -> None:
    store = fill(tmp_path / "fake", "compare", "--task", "digits", "--steps", "2", "--seeds", "2", "--fake-data")
    texts = written(lehi, store, tmp_path / "r.svg").decode()
    assert texts.count("FAKE DATA") >= 3

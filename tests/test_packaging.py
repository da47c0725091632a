"""What is installed is what is here."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_on_disk_is_declared() -> None:
    folders = {path.parent for path in (ROOT / "lehi_cli").rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"lehi_cli.tasks"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found
    assert not (ROOT / "lehi_cli" / "tasks").exists()
    assert not (ROOT / "lehi_cli" / "tasks.py").exists()


def test_git_ignores_no_source_file() -> None:
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "*.py"]
    assert not subprocess.run(command, cwd=ROOT / "lehi_cli", check=True, capture_output=True, text=True).stdout


def test_the_changelog_has_a_section_for_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{_version()}] - ")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"  # setuptools leaves a build folder beside what it builds
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_and_the_source_distribution_say_and_hold_the_licence(built: Path, wheel: Path) -> None:
    text = (ROOT / "LICENSE").read_text()
    information = f"lehi-{_version()}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"{information}/METADATA").decode())
        assert archive.read(f"{information}/licenses/LICENSE").decode() == text
    assert metadata["License-Expression"] == PROJECT["project"]["license"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"] == "The lehi authors"
    with tarfile.open(built / f"lehi-{_version()}.tar.gz") as archive:
        held = archive.extractfile(f"lehi-{_version()}/LICENSE")
        assert held is not None
        assert held.read().decode() == text


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"lehi_cli", f"lehi-{_version()}.dist-info"}
    for name in (
        "tasks/digits.yaml", "tasks/__init__.py", "data/splits.json", "py.typed", "optim/lehi.py",
        "registry/pytorch_optimizer_tested.json",
    ):  # fmt: skip
        assert f"lehi_cli/{name}" in names


@pytest.mark.slow
def test_the_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for arguments in (["tasks"], ["compare", "--task", "digits", "--smoke"]):
        code = (
            f"import lehi_cli; assert lehi_cli.__file__.startswith({str(site)!r})\n"
            f"from lehi_cli.cli import main; main({arguments!r})"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "digits" in done.stdout


def test_the_editable_install_works_from_another_folder(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("lehi")
    done = subprocess.run([script, "tasks"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout


def test_a_checkout_that_is_not_installed_finds_its_tasks(tmp_path: Path) -> None:
    code = f"""
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path.insert(0, {str(ROOT)!r})
from lehi_cli.cli import main
main(["tasks"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout


def _version() -> str:
    import lehi_cli

    return lehi_cli.__version__

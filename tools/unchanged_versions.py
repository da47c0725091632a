"""The two versions that `unchanged.py` compares: each is installed on its own, and runs `python -m lehi_cli`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from unchanged_commands import FILES
from unchanged_texts import Texts

ROOT = Path(__file__).parents[1]
ALONE = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
"""
"""Run when Python starts. An editable install would add its own `lehi_cli.tasks`, and modules that a version lacks."""
WHERE = "import lehi_cli, lehi_cli.tasks as t; print(lehi_cli.__version__, lehi_cli.__file__, t.__file__, sep='\\n')"
SETTINGS = {"NO_COLOR": "1", "COLUMNS": "100", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Version:
    """A version of the package: where it is installed, and the working folder of its commands."""

    name: str
    package: Path
    home: Path

    def lehi(self, command: str, may_refuse: bool = False) -> str:
        """What a command comes to: exit code, output, errors, and the files it writes as `page.*`.

        Raises:
            SystemExit: when the commit's version refuses what it should carry out, so that nothing would be compared.
        """
        done = self._python("-m", "lehi_cli", *shlex.split(command))
        if self.name == "old" and done.returncode == 2 and not may_refuse:
            sys.exit(f"the commit refuses `lehi {command}`: {done.stderr}")
        said = [f"exit code {done.returncode}", done.stdout, "errors:", done.stderr]
        for page in sorted(self.home.glob("page.*")):
            said += [f"{page.name}:", page.read_text(encoding="utf-8")]
            page.unlink()
        return "\n".join(said)

    def registered(self, verb: str) -> str:
        """The names that `lehi tasks` or `lehi optims` lists, with commas between them."""
        rows = [line for line in self.lehi(verb).splitlines() if line.startswith("|")]
        return ",".join(row.split("|")[1].strip() for row in rows[2:])

    def where(self) -> tuple[str, list[Path]]:
        """The version's number, and the folders from which Python imports the package and its tasks.

        Raises:
            SystemExit: when it cannot be imported.
        """
        done = self._python("-c", WHERE)
        if done.returncode:
            sys.exit(f"{self.package} cannot be imported: {done.stderr}")
        number, *files = done.stdout.splitlines()
        return number, [Path(file).parent for file in files]

    def plain(self, texts: Texts) -> Texts:
        """Texts without what may differ: the folders of this version, and its number."""
        number, _ = self.where()
        names = {str(self.home): "HOME", str(self.package): "PACKAGE", number: "VERSION"}
        wanted = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, names))})(?![\w.])")
        return {key: wanted.sub(lambda found: names[found[0]], text) for key, text in texts.items()}

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A process that finds this version alone, with a cache and data of its own and none of the user's settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEHI_", "GITHUB_", "FORCE_COLOR"))}
        own = {"PYTHONPATH": self.package, "LEHI_CACHE": self.home / "cache", "LEHI_DATA": self.home / "data"}
        return subprocess.run(  # noqa: S603  (what is run is written in these files)
            [sys.executable, *arguments],
            cwd=self.home,
            env={**kept, **SETTINGS, **{name: str(folder) for name, folder in own.items()}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )


def check_out(commit: str, folder: Path) -> Path:
    """The package and the tasks of a commit, in a new folder. The repository stays as it is."""
    archive = folder / "commit.zip"
    command = ["git", "-C", str(ROOT), "archive", "--output", str(archive), commit, "lehi_cli", "tasks"]
    subprocess.run(command, check=True)  # noqa: S603
    shutil.unpack_archive(archive, folder / "commit")
    return folder / "commit"


def install(name: str, tree: Path, folder: Path) -> Version:
    """A version where a wheel of `tree` would put it, with a working folder.

    Raises:
        SystemExit: when that is not what Python imports.
    """
    version = Version(name, folder / name / "package", folder / name / "home")
    package = version.package / "lehi_cli"
    for source, target in (("lehi_cli", package), ("tasks", package / "tasks")):
        shutil.copytree(tree / source, target, ignore=shutil.ignore_patterns("__pycache__"))
    (version.package / "sitecustomize.py").write_text(ALONE, encoding="utf-8")
    for path, text in FILES.items():
        file = version.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    if (found := version.where()[1]) != [package, package / "tasks"]:
        sys.exit(f"Python does not import {package}, but {found}")
    return version

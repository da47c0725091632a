"""What runs record of their data: the scale of the target, and how the data was read; and where a user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commanded import document, rows
from conftest import Result

from lehi_cli.data.loading import load_dataset
from lehi_cli.data.units import told_of
from lehi_cli.registry import tasks
from lehi_cli.runs.specs import TaskSpec

Lehi = Callable[..., Result]
DATA = Path(__file__).parents[2].parent / "shared" / "data"
here = pytest.mark.skipif(not (DATA / "protein-tertiary-structure").is_dir(), reason="the protein set is not at hand")


def spec(name: str, *overrides: str) -> TaskSpec:
    return tasks.find(name).spec(overrides)


def ratios(scaled: torch.Tensor, raw: np.ndarray) -> np.ndarray:
    """Distances between raw values over those between the scaled ones, of rows far apart."""
    raw, own = np.sort(raw), np.sort(scaled.double().flatten().numpy())
    return (raw[-20:] - raw[:20]) / (own[-20:] - own[:20])


def test_the_scale_of_diabetes() -> None:
    from sklearn.datasets import load_diabetes

    _, progression = load_diabetes(return_X_y=True, scaled=False)
    task = spec("diabetes")
    targets = torch.cat([split.targets for split in load_dataset(task, Path()).splits.values()])
    (told,) = told_of(task, Path()).values()
    assert told["name"] == "disease progression"
    np.testing.assert_allclose(ratios(targets, progression), told["scale"], rtol=1e-5)


@here
@pytest.mark.parametrize("split", [0, 3])
def test_the_scale_of_protein(split: int) -> None:
    task = spec("protein", f"data.split={split}")
    targets = torch.cat([split.targets for split in load_dataset(task, DATA).splits.values()])
    raw = np.loadtxt(DATA / "protein-tertiary-structure" / "data.txt", usecols=9)
    (told,) = told_of(task, DATA).values()
    np.testing.assert_allclose(ratios(targets, raw), told["scale"], rtol=1e-5)


@pytest.mark.parametrize("name", ["digits", "quadratic", "markov", "breast_cancer"])
def test_what_is_not_scaled_has_none(name: str) -> None:
    assert told_of(spec(name), Path()) == {}


@pytest.mark.parametrize("name", ["diabetes", "protein", "csv"])
def test_fake_data_has_none(name: str) -> None:
    assert told_of(spec(name, "data.fake=true"), Path()) == {}


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table whose target has units, with a column of text that has a value no training row has."""
    random = np.random.RandomState(0)
    lines = ["town,size,price"]
    for row in range(80):
        town = "Rust" if row == 79 else ("Graz", "Wien")[row % 2]
        size = random.uniform(40, 160)
        lines.append(f"{town},{size:.1f},{size * (3000 if row % 2 else 2000):.0f}.5")
    path = tmp_path / "houses.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


COMPARE = (
    *("compare", "--task", "csv", "--optims", "adam,sgd", "--seeds", "2", "--epochs", "3"),
    *("--set", "data.path=houses.csv", "--set", "data.target=price"),
)


def test_errors_are_shown_in_the_target_s_own_units_too(lehi: Lehi, houses: Path) -> None:
    result = lehi(*COMPARE)
    assert result.code == 0, result.err
    (stored, *_) = (json.loads(path.read_text()) for path in Path("runs").glob("*/run.json"))
    scale = stored["outcome"]["target"]["scale"]
    assert stored["outcome"]["target"]["name"] == "price"
    assert scale > 10_000
    shown = [line for line in result.out.splitlines() if "own units (price)" in line]
    assert len(shown) == 1
    own = {row[0]: row[1:] for row in rows(result.out[result.out.index("mean±standard deviation") :])}
    (section,) = document(lehi(*COMPARE, "--json"))["sections"]
    assert section["target"] == stored["outcome"]["target"]
    for series in section["series"]:
        means = [scale * series["final"][name]["mean"] for name in ("val_rmse", "val_mae", "test_rmse", "test_mae")]
        written = [float(cell.partition("±")[0]) for cell in own[series["label"]]]
        np.testing.assert_allclose(written, means, rtol=0.01)


def test_what_is_one_hot_is_said_once(lehi: Lehi, houses: Path) -> None:
    result = lehi(*COMPARE)
    assert result.out.count("one-hot inputs: town 2 (of 3 inputs)") == 1
    again = lehi("report", "--format", "markdown", "--output", "page.md")
    assert again.code == 0
    assert Path("page.md").read_text().count("one-hot inputs: town 2 (of 3 inputs)") == 1
    (section,) = document(lehi(*COMPARE, "--json"))["sections"]
    assert section["data_notes"][0] == "one-hot inputs: town 2 (of 3 inputs)"


def test_tasks_check_says_what_is_one_hot(lehi: Lehi, houses: Path) -> None:
    Path("mine.yaml").write_text(
        "{name: mine, summary: s, data: {source: csv, path: houses.csv, target: price}, model: {kind: linear}, "
        "loss: mse, metrics: [mae], batch_size: 8, budget: {epochs: 1}, threads: 1}"
    )
    result = lehi("tasks", "check", "mine.yaml")
    assert "one-hot inputs: town 2 (of 3 inputs)" in result.out


def test_a_task_without_units_shows_one_table(lehi: Lehi) -> None:
    result = lehi("compare", "--task", "quadratic", "--optims", "adam,sgd", "--seeds", "1", "--steps", "5")
    assert "own units" not in result.out


@pytest.mark.parametrize("damage", [{"target": {"name": "price"}}, {"target": {"name": 1, "scale": 2}}, {"notes": 3}])
def test_a_record_with_another_target_is_damaged(lehi: Lehi, houses: Path, damage: dict[str, object]) -> None:
    assert lehi(*COMPARE).code == 0
    path = next(Path("runs").glob("*/run.json"))
    content = json.loads(path.read_text())
    content["outcome"] |= damage
    path.write_text(json.dumps(content))
    assert f"skipped {path}: damaged" in lehi("report").err

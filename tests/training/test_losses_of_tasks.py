"""Losses of tasks: every name trains with every kind of optimizer, and so does a loss of the task's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cases import runs_of
from conftest import Result

from lehi_cli.conformance import check_task
from lehi_cli.runs.specs import Budget
from lehi_cli.training.loop import Training, train

Lehi = Callable[..., Result]

FITTING = {
    "mse": [],
    "huber": ["loss.delta=0.5"],
    "smooth_l1": ["loss.beta=0.5"],
    "gaussian_nll": ["loss.var=0.5", "loss.full=true"],
}
PRICES = {"lehi": 5, "adam": 3, "lehibrid": 5}


@pytest.mark.parametrize(("loss", "options"), FITTING.items())
def test_a_regression_trains_with_every_loss_that_fits(lehi: Lehi, loss: str, options: list[str]) -> None:
    settings = [part for text in (f"loss={loss}", *options) for part in ("--set", text)]
    result = lehi("train", "--task", "diabetes", "--optim", "lehi", "--steps", "20", *settings)
    assert result.code == 0, result.err
    result = lehi("train", "--task", "diabetes", "--optim", "adam", "--steps", "20", *settings)
    assert result.code == 0, result.err


@pytest.mark.parametrize(("loss", "options"), FITTING.items())
def test_steps_cost_the_same_with_every_loss(loss: str, options: list[str]) -> None:
    overrides = [f"loss={loss}", *options]
    for run in runs_of(",".join(PRICES), task="diabetes", budget=Budget("steps", 3), overrides=overrides):
        training = Training(run, "cpu", Path())
        training.step(*next(training.batches()))
        assert training.clock.meter.thirds == PRICES[run.label]


def test_a_floor_is_of_the_loss_it_was_worked_out_for() -> None:
    (run,) = runs_of("adam", task="quadratic", budget=Budget("steps", 3), overrides=["loss=huber"])
    assert train(run, "cpu", Path(), lambda _: None, lambda _: None).floor == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["loss=huber", "loss.delta=0"], "delta must be a finite number > 0, got 0"),
        (["loss=smooth_l1", "loss.beta=0"], "that is the L1 loss, which has no curvature"),
        (["loss=gaussian_nll", "loss.var=-1"], "var must be a finite number >= 0, got -1"),
        (["loss=poisson_nll", "loss.eps=none"], "eps must be a finite number > 0, got None"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_written(
    lehi: Lehi, tmp_path: Path, settings: list[str], message: str
) -> None:
    flags = [part for text in settings for part in ("--set", text)]
    result = lehi("compare", "--task", "diabetes", "--optims", "lehi,adam", "--steps", "3", *flags)
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "runs").exists()


def test_a_factor_that_the_loss_lacks_is_refused_before_anything_is_written(lehi: Lehi) -> None:
    flags = ["--task", "diabetes", "--set", "loss=huber", "--steps", "3", "--optims"]
    result = lehi("compare", *flags, "sophia,adam")
    assert result.code == 2
    assert "Huber has no factor 'sampled', only rademacher, true_vs_rest, diagonal" in " ".join(result.err.split())
    assert lehi("compare", *flags, "sophia:factor=rademacher,adam").code == 0


OWN = """
import torch
from lehi_cli.curvature import CustomLoss, Huber
from lehi_cli.data.dataset import Dataset, Split, checksum

def counts():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 4, generator=generator)
    targets = torch.poisson(inputs[:, :1].exp(), generator=generator)
    parts = zip(inputs.split([100, 50, 50]), targets.split([100, 50, 50]))
    splits = {name: Split(*part) for name, part in zip(("train", "val", "test"), parts)}
    return Dataset(splits, 1, checksum([inputs.numpy(), targets.numpy()]))

def poisson(outputs, targets):
    return (outputs.exp() - targets * outputs + 3).mean()

def factor(outputs, targets, generator):
    return (0.5 * outputs).exp()

my_loss = CustomLoss(poisson, factor, predictions="elements")
wrong = CustomLoss(poisson, lambda p, y, g: 2 * factor(p, y, g), predictions="elements")
summed = CustomLoss(lambda p, y: 100 * poisson(p, y), factor, predictions="sum")
number = 3

def make(scale, predictions="elements"):
    return CustomLoss(lambda p, y: scale * poisson(p, y), lambda p, y, g: scale**0.5 * factor(p, y, g), predictions)

TASK = {
    "name": "own", "summary": "counts", "data": {"source": ":counts"},
    "model": {"kind": "mlp", "hidden": [8]}, "loss": LOSS, "metrics": [], "batch_size": 20, "budget": {"steps": 20},
}
"""


def written(folder: Path, loss: object) -> str:
    (folder / "own.py").write_text(OWN.replace("LOSS", repr(loss)))
    return "own.py"


GOOD = {
    "object": ":my_loss",
    "factory": {"kind": ":make", "scale": 2.0},
    "class": {"kind": ":Huber", "delta": 0.5},
    "name": "poisson_nll",
    "name_with_options": {"kind": "poisson_nll", "full": True},
}


@pytest.mark.parametrize("loss", GOOD.values(), ids=GOOD)
def test_a_loss_of_its_own_passes_the_checks(tmp_path: Path, loss: object) -> None:
    findings = list(check_task(written(tmp_path, loss), "cpu", Path(), fake=False))
    wrong = [finding for finding in findings if not finding.passed]
    assert wrong == []


@pytest.mark.parametrize("optims", ["lehi,adam", "lehi,sophia,hf:max_cg=3,sfn:terms=3,soaa,sophia_h"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_every_kind_of_optimizer_trains_with_a_loss_of_its_own(
    lehi: Lehi, tmp_path: Path, optims: str, jobs: str
) -> None:
    task = written(tmp_path, ":my_loss")
    result = lehi("compare", "--task", task, "--optims", optims, "--seeds", "2", "--steps", "3", "--jobs", jobs)
    assert result.code == 0, result.err
    assert lehi("train", "--task", task, "--optim", "lehi", "--set", "loss=:make", "--set", "loss.scale=2").code == 0


def test_a_factor_that_does_not_fit_is_found(tmp_path: Path) -> None:
    findings = check_task(written(tmp_path, ":wrong"), "cpu", Path(), fake=False)
    (failed,) = [finding for finding in findings if finding.check == "curvature factor fits the loss"]
    assert not failed.passed
    assert "the factor v must have E[v v^T] = the Hessian of what is averaged" in failed.detail


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (":poisson", "loss :poisson is called with the task's options to make a Loss, and wants outputs, targets too"),
        (":number", "loss :number is of type int, not a Loss"),
        (":counts", "loss :counts is of type Dataset, not a Loss"),
        (":summed", "loss :summed is a sum, whose size follows the batch size"),
        (":nothing", "has no 'nothing'"),
        ({"kind": ":my_loss", "scale": 2}, "loss :my_loss is an object, which takes no options: scale"),
        ({"kind": ":make", "scal": 2}, "make has no option 'scal'"),
        ({"kind": ":make"}, "wants scale too"),
        ({"kind": ":make", "scale": 2, "scal": 2}, "make has no option 'scal'; did you mean 'scale'?"),
        ({"kind": ":make", "scale": 2, "predictions": "row"}, "predictions must be 'rows'"),
        ({"kind": ":make", "scale": 2, "predictions": None}, "must say over what it averages"),
    ],
)
def test_what_is_no_loss_is_refused_in_words(lehi: Lehi, tmp_path: Path, loss: object, message: str) -> None:
    result = lehi("compare", "--task", written(tmp_path, loss), "--optims", "lehi,adam")
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "runs").exists()

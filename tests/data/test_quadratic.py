"""The quadratic problem against dense linear algebra in float64."""

import numpy as np
import pytest
import torch

from lehi_cli.data.quadratic import quadratic, quadratic_problem

CASES = [
    {},
    {"rotate": False},
    {"dimension": 1, "rows": 16},
    {"dimension": 7, "condition": 1e6, "rows": 200, "noise": 0.5, "seed": 3},
    {"noise": 0.0, "condition": 1.0},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_hessian_optimum_and_minimum_are_exact_on_every_split(options):
    problem = quadratic_problem(**options)
    noise = options.get("noise", 0.1)
    for inputs, targets in problem.splits.values():
        np.testing.assert_allclose(2 * inputs.T @ inputs / len(inputs), problem.hessian, atol=1e-12)
        residual = targets - inputs @ problem.optimum
        np.testing.assert_allclose(inputs.T @ residual, 0, atol=1e-10)  # the gradient vanishes
        np.testing.assert_allclose(np.mean(residual**2), noise**2, atol=1e-12)
        solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]
        np.testing.assert_allclose(solution, problem.optimum, atol=1e-10)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_spectrum_is_log_spaced_from_one_down(options):
    problem = quadratic_problem(**options)
    dimension, condition = options.get("dimension", 32), options.get("condition", 1000.0)
    expected = np.geomspace(1, 1 / condition, dimension)
    np.testing.assert_allclose(np.linalg.eigvalsh(problem.hessian)[::-1], 2 * expected, atol=1e-12)
    np.testing.assert_allclose(problem.rotation.T @ problem.rotation, np.eye(dimension), atol=1e-12)


def test_without_rotation_the_hessian_is_diagonal():
    problem = quadratic_problem(rotate=False)
    assert np.array_equal(problem.hessian, np.diag(2 * problem.eigenvalues))


def test_torch_loss_of_the_stored_data_agrees():
    dataset, problem = quadratic(), quadratic_problem()
    optimum = torch.from_numpy(problem.optimum)[:, None].requires_grad_()
    for name, split in dataset.splits.items():
        loss = torch.nn.functional.mse_loss(split.inputs.double() @ optimum, split.targets.double())
        (gradient,) = torch.autograd.grad(loss, optimum)
        assert loss.item() == pytest.approx(dataset.floor[name], rel=1e-6)
        assert gradient.abs().max() < 1e-6


def test_options_change_the_checksum():
    changes = [
        {},
        {"dimension": 16},
        {"condition": 10.0},
        {"rows": 1024},
        {"noise": 0.2},
        {"rotate": False},
        {"seed": 1},
    ]
    assert len({quadratic_problem(**change).checksum for change in changes}) == len(changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimension": 0}, "dimension=0 must be at least 1"),
        ({"condition": 0.5}, "condition=0.5 must be at least 1"),
        ({"rows": 100}, "rows=100 must be more than"),
        ({"noise": -1.0}, "noise=-1.0 must be 0 or more"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        quadratic(**options)

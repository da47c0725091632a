"""Conjugate gradients against dense solves, and the ways they stop."""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from lehi_cli.curvature.cg import conjugate_gradient

A = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
G = torch.tensor([1.0, 0.0], dtype=torch.float64)


def system(size: int, condition: float = 100.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A positive definite matrix with eigenvalues between 1 and `condition`, and a right-hand side."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    values = torch.logspace(0, math.log10(condition), size, dtype=torch.float64)
    return Q @ torch.diag(values) @ Q.T, torch.randn(size, generator=generator, dtype=torch.float64)


def phi(matrix: Tensor, g: Tensor, u: Tensor) -> float:
    return float(0.5 * u @ matrix @ u + g @ u)


def solve(matrix: Tensor, g: Tensor, start: Tensor | None = None, **options):
    return conjugate_gradient(lambda v: matrix @ v, g, start, **{"max_iterations": 250, "tolerance": 0.0, **options})


def test_the_iterates_of_a_system_of_two():
    first = solve(A, G, max_iterations=1)
    assert torch.allclose(first.solution, torch.tensor([-0.5, 0.0], dtype=torch.float64))
    assert (first.iterations, first.products, first.reason) == (1, 1, "iteration limit")
    exact = solve(A, G)
    assert torch.allclose(exact.solution, torch.tensor([-2 / 3, 1 / 3], dtype=torch.float64))
    assert exact.phi == pytest.approx(-1 / 3)
    assert (exact.iterations, exact.products, exact.reason) == (2, 2, "solved")
    damped = solve(A + torch.eye(2), G)
    assert torch.allclose(damped.solution, torch.tensor([-3 / 8, 1 / 8], dtype=torch.float64))
    blocks = [solve(A[:1, :1], G[:1]), solve(A[1:, 1:], G[1:])]
    assert [float(block.solution) for block in blocks] == [-0.5, 0.0]
    assert sum(block.phi for block in blocks) == pytest.approx(-1 / 4)


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_phi_is_free_and_never_rises(preconditioned, warm):
    matrix, g = system(30)
    options = {"preconditioner": matrix.diag() ** 0.75 if preconditioned else None}
    start = torch.randn(30, generator=torch.Generator().manual_seed(1), dtype=torch.float64) if warm else None
    values = [phi(matrix, g, start) if warm else 0.0]
    for iterations in range(1, 25):
        result = solve(matrix, g, start, max_iterations=iterations, **options)
        assert result.iterations == iterations
        assert result.products == iterations + warm
        assert result.phi == pytest.approx(phi(matrix, g, result.solution), rel=1e-10, abs=1e-12)
        values.append(result.phi)
    assert all(after <= before for before, after in pairwise(values))
    exact = solve(matrix, g, start, **options)
    assert exact.reason == "solved"
    assert torch.allclose(exact.solution, -torch.linalg.solve(matrix, g), rtol=1e-10)


def test_a_preconditioner_that_is_the_matrix_solves_at_once():
    diagonal, g = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    result = solve(torch.diag(diagonal), g, preconditioner=diagonal)
    assert result.iterations == 1
    assert torch.allclose(result.solution, -g / diagonal)


@cache
def trace(warm: bool) -> tuple[Tensor, Tensor, Tensor | None, list[float]]:
    """A system, a start, and phi at every iteration, each from a solve that is made to end there."""
    matrix, g = system(400, condition=1e4)
    start = 0.05 * torch.ones(400, dtype=torch.float64) if warm else None
    values = [phi(matrix, g, start) if warm else 0.0]
    return matrix, g, start, values + [solve(matrix, g, start, max_iterations=i).phi for i in range(1, 150)]


@pytest.mark.parametrize(("tolerance", "least"), [(1e-2, 11), (2e-3, 40), (4e-4, 111)])
@pytest.mark.parametrize("warm", [False, True])
def test_the_stopping_rule_is_martens(tolerance, least, warm):
    matrix, g, start, values = trace(warm)
    assert (values[0] > 0) == warm
    for stop in range(1, 150):
        k = max(10, math.floor(0.1 * stop))
        if stop > k and values[stop] < 0 and (values[stop] - values[stop - k]) / values[stop] < k * tolerance:
            break
    assert least <= stop < 149  # from iteration 110 on, k is more than 10
    result = solve(matrix, g, start, tolerance=tolerance)
    assert (result.reason, result.iterations) == ("little progress", stop)


def test_iterates_are_kept_at_powers():
    matrix, g = system(200, condition=1e5)
    result = solve(matrix, g, max_iterations=60, keep_iterates=True)
    numbers = [number for number, _ in result.iterates]
    assert numbers == [1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 24, 31, 40, 52, 60]
    assert [i - 1 for i in numbers[:-1]] == sorted({math.ceil(1.3**j) - 1 for j in range(16)})
    assert torch.equal(result.iterates[-1][1], result.solution)
    for number, iterate in result.iterates:
        assert torch.equal(iterate, solve(matrix, g, max_iterations=number).solution)
    assert solve(matrix, g, max_iterations=60).iterates == ()
    assert [number for number, _ in solve(matrix, g, max_iterations=9, keep_iterates=True).iterates][-2:] == [7, 9]


def test_negative_curvature_ends_with_the_last_good_iterate():
    matrix, g = torch.diag(torch.tensor([1.0, 5.0, -1.0])).double(), torch.tensor([1.0, 1.0, 0.1]).double()
    result = solve(matrix, g, keep_iterates=True)
    assert result.reason == "negative curvature"
    assert result.iterations >= 1
    assert result.products == result.iterations + 1
    assert result.phi < 0
    assert result.curvature < 0
    assert torch.equal(result.iterates[-1][1], result.solution)
    at_once = solve(-A, G)
    assert (at_once.reason, at_once.iterations, at_once.phi) == ("negative curvature", 0, 0.0)
    assert at_once.curvature == pytest.approx(-2.0)
    assert not at_once.solution.any()
    flat = solve(0 * A, G)
    assert (flat.reason, flat.curvature) == ("negative curvature", 0.0)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("good_products", [0, 1, 3])
def test_a_product_that_is_not_finite_ends_with_the_last_good_iterate(bad, good_products):
    matrix, g = system(10)
    calls = 0

    def product(vector: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return matrix @ vector * (1.0 if calls <= good_products else bad)

    result = conjugate_gradient(product, g, max_iterations=10, tolerance=0.0)
    assert (result.reason, result.iterations) == ("non-finite product", good_products)
    assert result.products == good_products + 1
    if good_products:
        assert torch.equal(result.solution, solve(matrix, g, max_iterations=good_products).solution)
    start = torch.ones(10, dtype=torch.float64)
    calls = 10
    warm = conjugate_gradient(product, g, start, max_iterations=10)
    assert (warm.reason, warm.products) == ("non-finite product", 1)
    assert math.isnan(warm.phi)
    assert warm.iterates == ()


def test_a_zero_right_hand_side_is_solved_by_zero():
    result = solve(A, torch.zeros(2, dtype=torch.float64), keep_iterates=True)
    assert (result.reason, result.iterations, result.products, result.phi) == ("solved", 0, 0, 0.0)
    assert not result.solution.any()
    assert result.iterates == ()


def test_a_start_at_the_solution_is_left_alone():
    start = torch.tensor([-2 / 3, 1 / 3], dtype=torch.float64)
    result = solve(A, G, start)
    assert (result.reason, result.iterations, result.products) == ("solved", 0, 1)
    assert torch.equal(result.solution, start)


def test_single_precision_reaches_rounding_error_and_stops():
    matrix, g = system(20)
    result = conjugate_gradient(lambda v: matrix.float() @ v, g.float(), max_iterations=250, tolerance=0.0)
    assert result.reason == "solved"
    assert torch.allclose(result.solution.double(), -torch.linalg.solve(matrix, g), rtol=1e-3, atol=1e-5)

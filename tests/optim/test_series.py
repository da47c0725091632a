"""The saddle-free Newton series against numbers worked out by hand and a dense oracle."""

import itertools
import math

import pytest
import torch
from reference.sfn import direction, exact, taylor, wynn
from torch import Tensor

from lehi_cli.optim.series import DIVERGED, NON_FINITE, coefficients, partial_sums, raised_scale, shanks


def vector(*entries: float) -> Tensor:
    return torch.tensor(entries, dtype=torch.float64)


H = torch.diag(vector(2.0, -1.0))
G = vector(1.0, 1.0)


def run(matrix: Tensor, g: Tensor, *, terms: int, damping: float = 0.0, scale: float, order: int = 0) -> Tensor:
    """The step d."""
    series = partial_sums(lambda v: matrix @ v, g, terms=terms, damping=damping, scale=scale, keep=2 * order + 1)
    assert not series.reason
    assert not series.restarts
    result = shanks(series.sums)
    assert result is not None
    return result / math.sqrt(series.scale)


def close(found: Tensor, expected: tuple[float, ...], digits: int = 6) -> bool:
    return torch.allclose(found, vector(*expected), rtol=0, atol=0.51 * 10**-digits)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [(1, (0.5, 0.5)), (2, (0.5, 0.6875)), (3, (0.5, 0.792969)), (20, (0.5, 0.999253)), (400, (0.5, 1.0))],
)
def test_of_two_eigenvalues(terms, expected):
    assert close(run(H, G, terms=terms, scale=4.0), expected)


def test_of_two_eigenvalues_damped():
    assert close(run(H, G, terms=20, damping=0.1, scale=4.0), (0.47619, 0.90859), digits=5)
    assert close(run(H, G, terms=300, damping=0.1, scale=4.0), (0.476190, 0.909091))
    assert close(run(H, G, terms=20, damping=0.1, scale=4.0, order=1), (0.476190, 0.909082))


@pytest.mark.parametrize(("order", "expected"), [(0, (0.397941, 0.471370)), (1, (0.452141, 0.723579))])
def test_of_two_eigenvalues_at_the_default_scale(order, expected):
    assert close(run(H, G, terms=20, scale=100.0, order=order), expected)


def test_of_two_eigenvalues_at_a_high_order():
    # Exactly, in fractions: (0.4748816, 0.9465599). Twelve columns of differences leave about five digits of sixteen.
    torch.testing.assert_close(run(H, G, terms=20, scale=100.0, order=6), vector(0.474884, 0.946548), rtol=0, atol=2e-5)


def test_scale_is_raised_to_the_lower_bound():
    assert raised_scale(0.0, H @ H @ G, G) == pytest.approx(2.915476, abs=5e-7)
    assert raised_scale(0.0, H @ H @ G, G) <= 4
    assert raised_scale(100.0, H @ H @ G, G) == 100.0
    assert partial_sums(lambda v: H @ v, G, terms=2, damping=0.0, scale=1.0).scale == pytest.approx(math.sqrt(8.5))


def test_coefficients():
    assert coefficients(0.0, 5) == [1, 1 / 2, 3 / 8, 5 / 16, 35 / 128]
    assert coefficients(0.0, 60) == pytest.approx([math.comb(2 * n, n) / 4**n for n in range(60)], rel=1e-13)
    expected = [0.909091, 0.413223, 0.291134, 0.230944, 0.193820, 0.168157]
    assert coefficients(0.1, 6) == pytest.approx(expected, abs=5.1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 0.99, 1.0, 1.1, 3.0])
@pytest.mark.parametrize("x", [0.0, 0.3, -0.9, 0.9])
def test_coefficients_sum_to_their_function(alpha, x):
    total = sum(c * x**n for n, c in enumerate(coefficients(alpha, 400)))
    assert total == pytest.approx(1 / (math.sqrt(1 - x) + alpha), rel=1e-13)


@pytest.mark.parametrize(("alpha", "last"), [(0.9, 0.0039), (1.1, 0.0027), (0.99, 0.0033)])
def test_coefficients_are_stable_where_the_two_term_recursion_is_not(alpha, last):
    c = coefficients(alpha, 20)
    assert c[-1] == pytest.approx(last, abs=5.1e-5)
    assert c == pytest.approx([taylor(alpha, n) for n in range(20)], rel=1e-12)
    assert all(0 < b < a for a, b in itertools.pairwise(c))
    single = torch.tensor(1 / (1 + alpha))
    for n in range(1, 20):
        binomial = math.prod((0.5 - j) / (j + 1) for j in range(n))
        single = (single + torch.tensor((-1) ** n * binomial)) / torch.tensor(1 - alpha**2)
    assert abs(float(single)) > 1e3


def indefinite(size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(size, size, dtype=torch.float64, generator=generator)
    return A + A.T, torch.randn(size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("damping", [0.0, 0.5, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_error_decreases_with_every_term(damping, seed):
    matrix, g = indefinite(seed=seed)
    values = torch.linalg.eigvalsh(matrix)
    assert values[0] < 0 < values[-1]
    scale = float(1.05 * values.abs().max()) ** 2
    limit = exact(matrix, g, damping)
    errors = [
        float((run(matrix, g, terms=terms, damping=damping, scale=scale) - limit).norm())
        for terms in (1, 2, 3, 5, 10, 20, 50, 100, 300, 1000)
    ]
    for more, fewer in itertools.pairwise(errors):
        assert fewer < more or more < 1e-13
    assert errors[-1] < 0.1 * errors[0]


def test_converges_to_the_newton_step_of_a_convex_quadratic():
    matrix, g = indefinite()
    matrix = matrix @ matrix / 8 + 2 * torch.eye(8, dtype=torch.float64)
    scale = float(1.05 * torch.linalg.eigvalsh(matrix).max()) ** 2
    found = run(matrix, g, terms=1000, scale=scale)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, g), rtol=1e-10, atol=1e-12)


def test_without_curvature_converges_to_the_damped_gradient():
    errors = []
    for terms in (100, 400, 1600):
        found = run(torch.zeros(2, 2).double(), G, terms=terms, damping=0.5, scale=1.0)
        errors.append(float((found - G / 0.5).abs().max()))
    assert errors == pytest.approx([errors[0], errors[0] / 2, errors[0] / 4], rel=0.05)  # as 1 / sqrt(terms)


def test_truncation_damps():
    def gain(r: float) -> float:
        return sum(c * (1 - r * r) ** n for n, c in enumerate(coefficients(0.0, 20)))

    expected = {0.5: 1.9985, 0.3: 3.155, 0.2: 3.979, 0.1: 4.714}
    for r, value in expected.items():
        assert gain(r) == pytest.approx(value, abs=5.1e-4 if r < 0.5 else 5.1e-5)
    flat = 40 * math.comb(40, 20) / 4**20
    assert gain(0.0) == pytest.approx(flat, rel=1e-12)
    assert gain(0.0) / 10 == pytest.approx(0.5015, abs=5.1e-5)
    assert flat == pytest.approx(2 * math.sqrt(20 / math.pi), rel=0.01)
    assert run(torch.zeros(1, 1).double(), vector(1.0), terms=20, scale=100.0).item() == pytest.approx(flat / 10)


@pytest.mark.parametrize("damping", [0.0, 3.0])
def test_one_term_is_a_multiple_of_the_gradient_and_makes_no_product(damping):
    series = partial_sums(lambda v: 1 / 0, G, terms=1, damping=damping, scale=100.0)
    assert series.products == 0
    torch.testing.assert_close(series.sums[-1] / 10, G / (10 + damping))


def test_too_small_a_scale_would_diverge():
    found = direction(vector(2.0)[:, None], vector(1.0), V=1.5, lam=0.0, K=20)
    assert found.item() == pytest.approx(-1066, abs=0.51)


def test_a_growing_series_doubles_the_scale_and_starts_again():
    matrix, g = torch.diag(vector(2.0, 0.5)), vector(1e-3, 1.0)  # the bound sees 0.25 where 4 is
    calls = []
    series = partial_sums(lambda v: calls.append(1) or matrix @ v, g, terms=200, damping=0.0, scale=0.55)
    assert series.restarts == 2
    assert series.scale == pytest.approx(2.2)
    assert not series.reason
    assert 398 < series.products == len(calls) < 450
    torch.testing.assert_close(series.sums[-1] / math.sqrt(series.scale), vector(5e-4, 2.0), rtol=1e-6, atol=0)


def test_a_series_that_goes_on_growing_ends_at_its_first_sum():
    def odd(v: Tensor) -> Tensor:
        calls.append(1)
        return 1e40 * v if len(calls) > 2 else 0 * v  # not one matrix: no scale is enough

    calls: list[int] = []
    series = partial_sums(odd, G, terms=4, damping=0.0, scale=1.0)
    assert series.reason == DIVERGED
    assert torch.equal(series.sums[-1], G)
    assert series.products == len(calls)


@pytest.mark.parametrize(("good", "terms"), [(0, 1), (1, 1), (2, 2), (5, 3)])
def test_a_product_that_is_not_finite_ends_the_series_at_the_term_before(good, terms):
    made = []

    def product(v: Tensor) -> Tensor:
        made.append(1)
        return H @ v if len(made) <= good else math.nan * v

    series = partial_sums(product, G, terms=20, damping=0.1, scale=4.0)
    assert series.reason == NON_FINITE
    assert series.products == len(made)
    expected = direction(H, G, V=4.0, lam=0.1, K=terms)
    torch.testing.assert_close(series.sums[-1] / 2, expected)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_only_the_last_sums_are_kept(order):
    series = partial_sums(lambda v: H @ v, G, terms=20, damping=0.1, scale=4.0, keep=2 * order + 1)
    assert len(series.sums) == 2 * order + 1
    assert series.products == 38
    for back, found in enumerate(reversed(series.sums)):
        torch.testing.assert_close(found / 2, direction(H, G, V=4.0, lam=0.1, K=20 - back), rtol=1e-12, atol=0)


@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("modified", [False, True])
def test_shanks_equals_its_definition(order, modified):
    generator = torch.Generator().manual_seed(order)
    sums = [torch.randn(5, dtype=torch.float64, generator=generator) for _ in range(2 * order + 1)]
    found = shanks(sums, sablonniere=modified)
    torch.testing.assert_close(found, wynn(sums, sablonniere=modified), rtol=1e-10, atol=1e-10)
    if modified and order == 1:
        torch.testing.assert_close(found, wynn(sums), rtol=1e-12, atol=0)  # its factors are 1, 1, 2, 2, 3, ...


def test_shanks_of_order_one_is_its_formula():
    a, b, c = vector(1.0, 2.0), vector(2.0, 0.0), vector(2.5, 1.0)

    def inverse(x: Tensor) -> Tensor:
        return x / (x @ x)

    expected = b + inverse(inverse(c - b) - inverse(b - a))
    torch.testing.assert_close(shanks([a, b, c]), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_shanks_finds_the_limit_of_geometric_sequences(order):
    generator = torch.Generator().manual_seed(order)
    limit, *parts = (torch.randn(6, dtype=torch.float64, generator=generator) for _ in range(order + 1))
    ratios = [0.9, -0.5, 0.3][:order]
    sums = [limit + sum(r**m * u for r, u in zip(ratios, parts, strict=True)) for m in range(2 * order + 1)]
    torch.testing.assert_close(shanks(sums), limit, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_shanks_is_undefined_where_sums_coincide(order):
    assert shanks([G] * (2 * order + 1)) is None
    assert shanks([G, 2 * G, 2 * G] + [3 * G] * (2 * order - 2)) is None
    assert shanks([0 * G] * (2 * order + 1)) is None


def test_shanks_refuses_an_even_number():
    with pytest.raises(ValueError, match="2N \\+ 1 vectors, got 2"):
        shanks([G, G])

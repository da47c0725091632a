"""Conjugate gradients on a quadratic model that is known only by its products, stopped by Martens' rule.

For symmetric A the iterates minimise phi(u) = 1/2 u^T A u + g^T u over growing subspaces. With the residual r = A u + g
that the method carries along anyway, phi(u) = 1/2 (r + g) . u, so its value is free at every iteration. Optimizers stop
long before r is small, as soon as phi no longer falls by much.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SOLVED, SLOW, LIMIT = "solved", "little progress", "iteration limit"
NEGATIVE, NON_FINITE = "negative curvature", "non-finite product"
_GROWTH = 1.3


@dataclass(frozen=True)
class CGResult:
    """Where conjugate gradients stopped, and why.

    Attributes:
        solution: the last good iterate u, [d]: nothing that led to negative curvature or a non-finite number is in it.
        phi: phi(u) = 1/2 u^T A u + g^T u; below 0 if u is of any use. nan if not even the start could be evaluated.
        iterations: number of iterations that produced an iterate.
        products: number of products with A, including the one that evaluates a warm start.
        reason: `"solved"` (the residual is rounding error), `"little progress"` (the stopping rule), `"iteration
            limit"`, `"negative curvature"` (p^T A p <= 0) or `"non-finite product"`.
        curvature: p^T A p / p^T p along the last direction tried; nan if there was none.
        iterates: (iteration, u) of those that were kept, the last one being `solution`; empty unless asked for.
    """

    solution: Tensor
    phi: float
    iterations: int
    products: int
    reason: str
    curvature: float
    iterates: tuple[tuple[int, Tensor], ...] = ()


@torch.no_grad()
def conjugate_gradient(
    product: Callable[[Tensor], Tensor],
    gradient: Tensor,
    start: Tensor | None = None,
    *,
    max_iterations: int,
    tolerance: float = 5e-4,
    preconditioner: Tensor | None = None,
    keep_iterates: bool = False,
) -> CGResult:
    """Minimise phi(u) = 1/2 u^T A u + g^T u approximately, that is, solve A u = -g.

    Stops at iteration i when

        i > k,   phi(u_i) < 0   and   (phi(u_i) - phi(u_{i-k})) / phi(u_i) < k tolerance,   k = max(10, floor(i / 10)),

    when the residual is below machine precision (relative to the larger of g and the first residual), at
    `max_iterations`, at a direction p with p^T A p <= 0, or at a number that is not finite. Costs one product per
    iteration, and one for a start that is not zero; holds four vectors [d], and the iterates kept.

    Args:
        product: v -> A v, [d] to [d], for a symmetric A that is meant to be positive definite.
        gradient: g, [d]. The vectors have its dtype; every scalar waits for the device.
        start: u_0, [d]; None is 0, which saves a product.
        max_iterations: maximum number of iterations, >= 0.
        tolerance: the rule's threshold per iteration; 0 switches the rule off.
        preconditioner: M's diagonal, [d], all positive; None is 1.
        keep_iterates: keep the iterates whose number, counted from 0 at the first, is ceil(1.3^j) - 1 for some j = 0,
            1, ... (counted from 1: 1, 2, 3, 4, 5, 7, 9, 11, 14, ...), and the last.

    Source: Martens, "Deep learning via Hessian-free optimization", 2010, sections 4.4 and 4.7.
    """
    u = torch.zeros_like(gradient) if start is None else start
    r = gradient if start is None else product(u) + gradient
    phis = [_phi(u, r, gradient)]
    kept: list[tuple[int, Tensor]] = []
    done, curvature = 0, math.nan
    products = 0 if start is None else 1

    def result(reason: str) -> CGResult:
        iterates = [*kept, (done, u)] if keep_iterates and done and (not kept or kept[-1][0] != done) else kept
        return CGResult(u, phis[-1], done, products, reason, curvature, tuple(iterates))

    y = _precondition(r, preconditioner)
    p, ry = -y, _dot(r, y)
    if not (math.isfinite(phis[0]) and math.isfinite(ry)):
        return result(NON_FINITE)
    negligible = torch.finfo(gradient.dtype).eps * max(float(gradient.norm()), float(r.norm()))
    while done < max_iterations:
        if float(r.norm()) <= negligible:
            return result(SOLVED)
        Ap = product(p)
        products += 1
        pAp = _dot(p, Ap)
        curvature = pAp / _dot(p, p)
        if not math.isfinite(pAp):
            return result(NON_FINITE)
        if pAp <= 0:
            return result(NEGATIVE)
        length = ry / pAp
        next_u, next_r = u + length * p, r + length * Ap
        y = _precondition(next_r, preconditioner)
        phi, next_ry = _phi(next_u, next_r, gradient), _dot(next_r, y)
        if not (math.isfinite(phi) and math.isfinite(next_ry)):
            return result(NON_FINITE)
        u, r, done = next_u, next_r, done + 1
        phis.append(phi)
        if keep_iterates and _is_kept(done):
            kept.append((done, u))
        if _little_progress(phis, tolerance):
            return result(SLOW)
        p, ry = (next_ry / ry) * p - y, next_ry
    return result(SOLVED if float(r.norm()) <= negligible else LIMIT)


def _little_progress(phis: list[float], tolerance: float) -> bool:
    """Martens' rule on phi(u_0), ..., phi(u_i)."""
    i = len(phis) - 1
    k = max(10, i // 10)
    return i > k and phis[i] < 0 and (phis[i] - phis[i - k]) / phis[i] < k * tolerance


def _is_kept(iteration: int) -> bool:
    """Whether `iteration`, counted from 1, is ceil(1.3^j) for some j >= 0."""
    power = math.floor(math.log(iteration) / math.log(_GROWTH))
    return any(math.ceil(_GROWTH**j) == iteration for j in (power - 1, power, power + 1) if j >= 0)


def _precondition(residual: Tensor, diagonal: Tensor | None) -> Tensor:
    return residual if diagonal is None else residual / diagonal


def _phi(u: Tensor, residual: Tensor, gradient: Tensor) -> float:
    return 0.5 * _dot(residual + gradient, u)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.dot(b))

"""The series of saddle-free Newton: (|H| + damping I)^-1 g from products with H alone, where |H| is the root of H^2.

With H^2 = V (I - X), |H| + damping I = sqrt(V) ((I - X)^(1/2) + alpha I), alpha = damping / sqrt(V), and the inverse of
the bracket is a power series in X whose coefficients c_n are the Taylor coefficients of 1 / (sqrt(1 - x) + alpha). For
alpha = 0 these are 1, 1/2, 3/8, 5/16, ... Where lambda^2 = V one term is enough; flat directions need many.

The series is truncated, which itself damps: along no direction is the step longer than about 2 sqrt(terms / (pi V))
times the gradient. Partial sums that approach their limit geometrically can be extrapolated to it (`shanks`).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NON_FINITE = "non-finite product"
DIVERGED = "series diverges"

_GROWTH = 1e-3  # in directions where X is 1, the norm of X^n g may grow by rounding alone
_MOST_RESTARTS = 20


def coefficients(alpha: float, terms: int) -> list[float]:
    """The coefficients c_0, ..., c_{terms - 1} of 1 / (sqrt(1 - x) + alpha) in powers of x.

    With f_0 = 1 + alpha and f_j = |binom(1/2, j)|,

        c_0 = 1 / f_0 ,     c_n = (1 / f_0) sum_{j=1}^{n} f_j c_{n-j} .

    All terms are positive, so nothing cancels. (The two-term recursion c_n = (c_{n-1} + (-1)^n binom(1/2, n)) /
    (1 - alpha^2) in the authors' code multiplies rounding errors by 1 / (1 - alpha^2) each time, and is 0/0 at 1.)

    Args:
        alpha: damping / sqrt(V), >= 0.
        terms: how many coefficients, >= 1.
    """
    binomials = [0.5]
    for j in range(1, terms):
        binomials.append(binomials[-1] * (2 * j - 1) / (2 * j + 2))
    first = 1 + alpha
    found = [1 / first]
    for n in range(1, terms):
        found.append(sum(binomials[j - 1] * found[n - j] for j in range(1, n + 1)) / first)
    return found


def raised_scale(scale: float, squared: Tensor, vector: Tensor) -> float:
    """max(V, ||H^2 g|| / ||g||) for `squared` = H^2 g and `vector` = g; the ratio is at most lambda_max^2."""
    return max(scale, _norm(squared) / _norm(vector))


@dataclass(frozen=True)
class Series:
    """The result of a series.

    Attributes:
        sums: the last partial sums S_k = sum_{n <= k} c_n X^n g, in order; not yet divided by sqrt(V).
        scale: V, as last used.
        products: the number of products with H.
        restarts: how often V was doubled.
        reason: why the series was cut short; empty if it was not.
    """

    sums: list[Tensor]
    scale: float
    products: int
    restarts: int = 0
    reason: str = ""


def partial_sums(
    product: Callable[[Tensor], Tensor],
    gradient: Tensor,
    *,
    terms: int,
    damping: float,
    scale: float,
    keep: int = 1,
) -> Series:
    """The partial sums, the last of which is sqrt(V) (|H| + damping I)^-1 g up to truncation.

        v_0 = g ,     v_n = v_{n-1} - (1/V) H (H v_{n-1}) ,     S_k = sum_{n=0}^{k} c_n v_n .

    V is first raised by `raised_scale`. The series converges for V > lambda_max^2 / 2, and then ||v_n|| does not grow.
    When it does, V is doubled and the series starts again from the H (H g) it already has. It ends after 20 restarts,
    with S_0, or at a product that is not finite, with the sum reached so far.

    Costs 2 (terms - 1) products, and at most 2 (terms - 2) more for every restart. Memory: `keep` + 3 vectors.

    Args:
        product: v -> H v, [d] -> [d].
        gradient: g, [d], with a norm that is finite and not 0.
        terms: K, the number of terms in the last sum, S_{K-1}.
        damping: in units of H, >= 0.
        scale: V, > 0 (with `terms` > 1 and H g not 0, 0 is allowed).
        keep: how many of the last sums to return.
    """
    if terms == 1:
        return Series([coefficients(damping / math.sqrt(scale), 1)[0] * gradient], scale, 0)
    squared = product(product(gradient))
    if not math.isfinite(_norm(squared)):
        return Series([coefficients(damping / math.sqrt(scale), 1)[0] * gradient], scale, 2, reason=NON_FINITE)
    scale = raised_scale(scale, squared, gradient)
    products = 2
    for restarts in range(_MOST_RESTARTS + 1):
        weights = coefficients(damping / math.sqrt(scale), terms)
        sums, made, reason = _attempt(product, gradient, squared, weights, scale, keep)
        products += made
        if reason != DIVERGED:
            return Series(sums, scale, products, restarts, reason)
        scale *= 2
    weights = coefficients(damping / math.sqrt(scale), 1)
    return Series([weights[0] * gradient], scale, products, _MOST_RESTARTS + 1, DIVERGED)


def _attempt(
    product: Callable[[Tensor], Tensor],
    gradient: Tensor,
    squared: Tensor,
    weights: list[float],
    scale: float,
    keep: int,
) -> tuple[list[Tensor], int, str]:
    """The last sums of the series for one V, the number of products, and why it ended early."""
    term, size, products = gradient, _norm(gradient), 0
    sums = deque([weights[0] * gradient], maxlen=keep)
    for n in range(1, len(weights)):
        if n > 1:
            squared = product(product(term))
            products += 2
        term = torch.sub(term, squared, alpha=1 / scale)
        last, size = size, _norm(term)
        if not math.isfinite(size):
            return list(sums), products, NON_FINITE
        if size > (1 + _GROWTH) * last:
            return list(sums), products, DIVERGED
        sums.append(torch.add(sums[-1], term, alpha=weights[n]))
    return list(sums), products, ""


def shanks(sums: Sequence[Tensor], sablonniere: bool = False) -> Tensor | None:
    """The Shanks transform of order N of 2N + 1 vectors S_m, by Wynn's epsilon algorithm.

    With the Samelson inverse inv(a) = a / <a, a>,

        e_{-1}^{(m)} = 0 ,   e_0^{(m)} = S_m ,   e_s^{(m)} = e_{s-2}^{(m+1)} + inv(e_{s-1}^{(m+1)} - e_{s-1}^{(m)}) ,

    and the result is e_{2N}^{(0)}. For S_m = S + sum_{j=1}^{N} r_j^m u_j (vectors u_j, ratios r_j not 1) it is S.
    Costs N (2N + 1) inverses. Every column is a difference of the one before and loses digits: at order 6 about five
    are left in float64, and hardly one in float32.

    Args:
        sums: the 2N + 1 vectors [d]; for N = 0 the one vector, which is returned.
        sablonniere: multiply the inverse that makes e_s by floor((s - 1) / 2) + 1, for sequences that approach their
            limit more slowly than geometrically.

    Returns:
        The transform [d], or None where it is undefined: two vectors coincide, as when the sums have converged.

    Raises:
        ValueError: for an even number of vectors.

    Source: Wynn, "Acceleration techniques for iterated vector and matrix problems", 1962; Sablonniere, 1991.
    """
    if len(sums) % 2 == 0:
        raise ValueError(f"sums must be 2N + 1 vectors, got {len(sums)}")
    before: list[Tensor] = [torch.zeros_like(sums[0])] * (len(sums) + 1)
    column = list(sums)
    for s in range(1, len(sums)):
        factor = (s - 1) // 2 + 1 if sablonniere else 1
        # 0/0 gives nan, which survives every later stage: one look at the end is enough.
        following = [before[m + 1] + factor * _inverse(column[m + 1] - column[m]) for m in range(len(column) - 1)]
        before, column = column, following
    return column[0] if bool(column[0].isfinite().all()) else None


def _inverse(vector: Tensor) -> Tensor:
    return vector / vector.dot(vector)


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector))

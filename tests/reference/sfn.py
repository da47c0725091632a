"""Saddle-free Newton by series as the paper writes it, with a dense Hessian: slow, plain loops, no fallbacks but V."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def dense(function: Callable[[Tensor], Tensor], w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f, its gradient [d] and its Hessian [d, d] at a flat w."""
    w = w.detach().requires_grad_()
    f = function(w)
    (g,) = torch.autograd.grad(f, w, create_graph=True)
    H = torch.stack([torch.autograd.grad(g[i], w, retain_graph=True)[0] for i in range(len(w))])
    return f.detach(), g.detach(), H


def taylor(alpha: float, n: int) -> float:
    """Coefficient of x^n in 1 / (sqrt(1 - x) + alpha), by long division of 1 by the series of the denominator."""
    denominator = [1 + alpha] + [(-1) ** k * _binomial_half(k) for k in range(1, n + 1)]
    remainder = [1.0] + [0.0] * n
    quotient = []
    for k in range(n + 1):
        quotient.append(remainder[k] / denominator[0])
        for j in range(n + 1 - k):
            remainder[k + j] -= quotient[k] * denominator[j]
    return quotient[n]


def _binomial_half(k: int) -> float:
    value = 1.0
    for j in range(k):
        value *= (0.5 - j) / (j + 1)
    return value


def wynn(sums: list[Tensor], sablonniere: bool = False) -> Tensor:
    """e_{2N}^{(0)}, by the recursive definition."""

    def e(s: int, m: int) -> Tensor:
        if s == -1:
            return torch.zeros_like(sums[0])
        if s == 0:
            return sums[m]
        a = e(s - 1, m + 1) - e(s - 1, m)
        factor = math.floor((s - 1) / 2) + 1 if sablonniere else 1
        return e(s - 2, m + 1) + factor * a / float(a @ a)

    return e(len(sums) - 1, 0)


def direction(H: Tensor, g: Tensor, *, V: float, lam: float, K: int, N: int = 0, sablonniere: bool = False) -> Tensor:
    """V^(-1/2) times the (accelerated) sum, from explicit powers of X = I - H^2 / V."""
    X = torch.eye(len(g), dtype=g.dtype) - H @ H / V
    sums, total = [], torch.zeros_like(g)
    for n in range(K):
        total = total + taylor(lam / V**0.5, n) * torch.linalg.matrix_power(X, n) @ g
        sums.append(total)
    return wynn(sums[K - 1 - 2 * N :], sablonniere) / V**0.5


def exact(H: Tensor, g: Tensor, lam: float) -> Tensor:
    """(|H| + lam I)^-1 g, by eigenvalues."""
    values, vectors = torch.linalg.eigh(H)
    return vectors @ ((vectors.T @ g) / (values.abs() + lam))


class ReferenceSFN:
    """One call of `step` per mini-batch, with f as a function of the flat weights."""

    def __init__(
        self,
        w: Tensor,
        *,
        adaptive: bool = True,
        lr: float = 1.0,
        terms: int = 20,
        shanks: int = 1,
        scale: float = 100.0,
        damping: float = 1.0,
        momentum: float = 0.0,
        omega: float = 0.9,
        damping_floor: float = 1e-8,
        sablonniere: bool = False,
    ) -> None:
        self.w, self.adaptive, self.eta, self.K, self.N = w.clone(), adaptive, lr, terms, shanks
        self.V, self.lam, self.mu, self.omega, self.floor = scale, damping, momentum, omega, damping_floor
        self.sablonniere = sablonniere
        self.delta = torch.zeros_like(w)

    def step(self, function: Callable[[Tensor], Tensor]) -> None:
        f, g, H = dense(function, self.w)
        if self.K > 1:
            self.V = max(self.V, float((H @ H @ g).norm() / g.norm()))
            while self.grows(H, g):
                self.V = 2 * self.V
        d = direction(H, g, V=self.V, lam=self.lam, K=self.K, N=self.N, sablonniere=self.sablonniere)
        self.delta = self.eta * d + self.mu * self.delta
        self.w = self.w - self.delta
        if self.adaptive:
            M = 0.5 * self.eta**2 * float(d @ g) - self.eta * float(d @ g)
            rho = float(function(self.w) - f) / M
            if rho > 3 / 4:
                self.lam = self.omega * self.lam
            if rho < 1 / 4:
                self.lam = self.lam / self.omega
            self.lam = max(self.lam, self.floor)

    def grows(self, H: Tensor, g: Tensor) -> bool:
        X = torch.eye(len(g), dtype=g.dtype) - H @ H / self.V
        norms = [float((torch.linalg.matrix_power(X, n) @ g).norm()) for n in range(self.K)]
        return any(norms[n] > 1.001 * norms[n - 1] for n in range(1, self.K))

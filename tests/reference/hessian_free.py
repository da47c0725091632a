"""Hessian-free optimization as the papers write it: dense G, a textbook solver, every phi and every f evaluated anew.

One class for both: plain Hessian-free has one block and searches; block-diagonal Hessian-free has several and does not.
"""

import math
from collections.abc import Callable

import torch
from reference.gauss_newton import flat, jacobian, output_hessian
from torch import Tensor, nn


class ReferenceHessianFree:
    """Args as the optimizers', but `blocks` as lists of positions, and `loss` a function of torch's."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        lr: float,
        blocks: list[list[int]] | None = None,
        max_cg: int,
        eps_cg: float = 5e-4,
        zeta: float = 0.95,
        damping: float = 1.0,
        adaptive_damping: bool,
        line_search: bool = False,
        backtracking: bool = False,
        preconditioner: bool = False,
        curvature_fraction: float,
    ) -> None:
        self.model, self.loss, self.w = model, loss, list(model.parameters())
        self.eta, self.max_cg, self.eps, self.zeta, self.lam = lr, max_cg, eps_cg, zeta, damping
        self.adaptive, self.line_search, self.backtracking = adaptive_damping, line_search, backtracking
        self.preconditioner, self.fraction = preconditioner, curvature_fraction
        d = sum(p.numel() for p in self.w)
        entries = torch.arange(d).split([p.numel() for p in self.w])
        self.blocks = [torch.cat([entries[i] for i in block]) for block in blocks or [range(len(self.w))]]
        self.previous = torch.zeros(d, dtype=torch.float64)

    def step(self, x: Tensor, y: Tensor) -> float:
        w, f = flat(self.w), self.f(flat(self.w), x, y)
        g = flat(list(torch.autograd.grad(self.loss(self.model(x), y), self.w)))
        rows = round(self.fraction * len(x))
        J = jacobian(self.model(x[:rows]), self.w)
        Gmat = J.T @ output_hessian(self.loss, self.model(x[:rows]), y[:rows]) @ J
        M = torch.ones_like(w)
        if self.preconditioner:
            gn = [
                flat(list(torch.autograd.grad(self.loss(self.model(x[n : n + 1]), y[n : n + 1]), self.w)))
                for n in range(rows)
            ]
            M = (torch.stack(gn).square().mean(0) + self.lam) ** 0.75
        us = torch.zeros(1, len(w), dtype=torch.float64)
        phi = 0.0
        for b in self.blocks:
            A = Gmat[b][:, b] + self.lam * torch.eye(len(b), dtype=torch.float64)
            iterates = self.conjugate_gradient(A, g[b], self.zeta * self.previous[b], M[b])
            phi += self.phi(A, g[b], iterates[-1])
            if self.backtracking:  # with one block
                kept = {math.ceil(1.3**j) for j in range(40)}
                us = torch.stack(
                    [u for i, u in enumerate(iterates) if i in kept and i < len(iterates) - 1] + [iterates[-1]]
                )
            else:
                us[0, b] = iterates[-1]
        self.previous = us[-1]
        rho = (self.f(w + us[-1], x, y) - f) / phi
        if self.adaptive and rho < 1 / 4:
            self.lam = self.lam * 3 / 2
        if self.adaptive and rho > 3 / 4:
            self.lam = self.lam * 2 / 3
        chosen = len(us) - 1
        while chosen > 0 and self.f(w + self.eta * us[chosen - 1], x, y) < self.f(w + self.eta * us[chosen], x, y):
            chosen -= 1
        step, a = self.eta * us[chosen], 1.0
        if self.line_search:
            while self.f(w + a * step, x, y) > f + 0.01 * a * g @ step:
                a = 0.8 * a
        self.write(w + a * step)
        return f

    def conjugate_gradient(self, A: Tensor, g: Tensor, u: Tensor, M: Tensor) -> list[Tensor]:
        us, phis, b = [u], [self.phi(A, g, u)], -g
        r = b - A @ u
        z = r / M
        p = z
        for i in range(1, self.max_cg + 1):
            alpha = (r @ z) / (p @ A @ p)
            u = u + alpha * p
            r_next = r - alpha * A @ p
            z_next = r_next / M
            p = z_next + (r_next @ z_next) / (r @ z) * p
            r, z = r_next, z_next
            us.append(u)
            phis.append(self.phi(A, g, u))
            k = max(10, math.floor(0.1 * i))
            if i > k and phis[i] < 0 and (phis[i] - phis[i - k]) / phis[i] < k * self.eps:
                break
        return us

    def phi(self, A: Tensor, g: Tensor, u: Tensor) -> float:
        return float(0.5 * u @ A @ u + g @ u)

    def f(self, w: Tensor, x: Tensor, y: Tensor) -> float:
        here = flat(self.w)
        self.write(w)
        with torch.no_grad():
            value = float(self.loss(self.model(x), y))
        self.write(here)
        return value

    def write(self, w: Tensor) -> None:
        pieces = w.split([p.numel() for p in self.w])
        for p, piece in zip(self.w, pieces, strict=True):
            p.data = piece.reshape(p.shape).clone()

"""SOAA as its readers wrote it down: slow, one line per equation, plain loops, scalars as numbers."""

import torch
from torch import Tensor


class ReferenceSOAA:
    """One parameter group; one call of `step` per iteration, with the gradients and the loss."""

    def __init__(
        self,
        params: list[Tensor],
        *,
        total_steps: int,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        gamma: float = 0.1,
        scope: str = "all",
        lhat: str = "inclusive",
        same_step: bool = False,
        schedule: str = "t-1",
    ) -> None:
        self.params, self.T = params, total_steps
        self.eta, (self.b1, self.b2), self.eps, self.wd, self.gamma = lr, betas, eps, weight_decay, gamma
        self.scope, self.lhat, self.same_step, self.schedule = scope, lhat, same_step, schedule
        self.m = [torch.zeros_like(p) for p in params]
        self.v = [torch.zeros_like(p) for p in params]
        self.units = [[i] for i in range(len(params))] if scope == "tensor" else [list(range(len(params)))]
        self.d = [1.0] * len(self.units)
        self.pr = [0.0] * len(self.units)
        self.rho = [0.0] * len(self.units)
        self.lbar = 0.0
        self.t = 0

    def step(self, gradients: list[Tensor], f: float) -> None:
        self.t += 1
        t = self.t
        before = self.lbar / (1 - self.b1 ** (t - 1)) if t > 1 else f
        self.lbar = self.b1 * self.lbar + (1 - self.b1) * f
        now = self.lbar / (1 - self.b1**t) if t > 1 else f
        lh = now if self.lhat == "inclusive" else before
        q = (t if self.schedule == "t" else t - 1) / self.T
        for i, g in enumerate(gradients):
            self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * g
            self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * g**2
        mh = [m / (1 - self.b1**t) for m in self.m]
        vh = [v / (1 - self.b2**t) for v in self.v]
        for k, unit in enumerate(self.units):
            self.rho[k] = (lh - f) / max(self.pr[k], self.eps)
            new = min(max(self.rho[k] * self.d[k], (1 - self.gamma) ** q), 1 + self.gamma**q)
            d = new if self.same_step else self.d[k]
            above = sum(float((mh[i] ** 2).sum()) for i in unit)
            below = sum(float((vh[i] + self.eps).sum()) for i in unit)
            c = 1 + above / below
            self.pr[k] = 0.0
            for i in unit:
                F = c * vh[i]
                r = torch.max(d * F, vh[i] ** 0.5)
                u = d * mh[i] / (r + self.eps)
                self.pr[k] += self.eta * float((mh[i] * u - 0.5 * vh[i] * u**2).sum())
                w = self.params[i].data
                self.params[i].data = w - self.eta * self.wd * w - self.eta * u
            self.d[k] = new

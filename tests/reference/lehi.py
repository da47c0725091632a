"""LEHI and LEHIBRID as the paper would write them: slow, one line per equation, its own loops.

The averages are kept as the plain sums in the notation of Defossez et al. (m_k = b1 m_{k-1} + g_k, no 1 - b1), and
every bias correction divides by the sum of the weights, added up term by term.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lehi_cli.curvature import Loss
from lehi_cli.optim.curvature_optimizer import draw_seed


class ReferenceLEHI:
    """One parameter group; one call of `step` per iteration.

    Args:
        hybrid: None (LEHI), "mix" or "max" (LEHIBRID).
        factor: the kind of factor; the loss draws it here too, from generators of the same seeds.
    """

    def __init__(
        self,
        params: list[Tensor],
        *,
        loss: Loss,
        factor: str = "rademacher",
        sample_signs: bool = True,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        power: float = 0.5,
        clip: float | None = None,
        damping: float = 0.0,
        curvature_every: int = 1,
        curvature_warmup: int = 0,
        seed: int = 0,
        hybrid: str | None = None,
        theta: float = 1.0,
    ) -> None:
        self.params, self.loss, self.factor, self.sample_signs = params, loss, factor, sample_signs
        self.alpha, (self.beta_1, self.beta_2), self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.power, self.clip, self.damping = power, clip, damping
        self.every, self.warmup = curvature_every, curvature_warmup
        self.hybrid, self.theta = hybrid, theta
        self.seed = seed
        self.k = 0
        d = len(params)
        self.m = [Discounted(self.beta_1) for _ in range(d)]  # of g
        self.v = [Discounted(self.beta_2) for _ in range(d)]  # of h^2, or theta h^2 + (1 - theta) g^2
        self.s = [Discounted(self.beta_2) for _ in range(d)]  # of g^2
        self.inverse = Discounted(self.beta_2)  # of 1/B

    def step(self, outputs: Tensor, targets: Tensor) -> None:
        g = torch.autograd.grad(self.loss(outputs, targets), self.params, retain_graph=True)
        if self.k < self.warmup or (self.k - self.warmup) % self.every == 0:
            generator = torch.Generator().manual_seed(draw_seed(self.seed, 0, self.k, 0))
            v = self.loss.factor(outputs, targets, self.factor, generator, sample_signs=self.sample_signs)
            h = torch.autograd.grad((v * outputs).sum(), self.params)
            share = self.theta if self.hybrid == "mix" else 1.0
            for i in range(len(self.params)):
                self.v[i].add(share * h[i] ** 2 + (1 - share) * g[i] ** 2)
            self.inverse.add(1 / float(self.loss.predictions(outputs, targets)))
        for i, w in enumerate(self.params):
            self.m[i].add(g[i])
            self.s[i].add(g[i] ** 2)
            w.data = self.updated(i, w.data)
        self.k += 1

    def updated(self, i: int, w: Tensor) -> Tensor:
        vhat = self.v[i].mean()
        if self.hybrid == "max":
            vhat = torch.maximum(vhat, self.s[i].mean())
        if self.power == 1:
            vhat = vhat / self.inverse.mean()
        step = self.m[i].mean() / (vhat + self.damping * vhat.mean() + self.eps) ** self.power
        if self.clip is not None:
            step = torch.clamp(step, -self.clip, self.clip)
        return (1 - self.alpha * self.weight_decay) * w - self.alpha * step

    def curvature_diagonal(self) -> list[Tensor]:
        return [v.mean() / self.inverse.mean() for v in self.v]


class Discounted:
    """b_k = sum_j beta^{k-j} a_j, and its mean: b_k over the sum of its weights."""

    def __init__(self, beta: float) -> None:
        self.beta, self.total, self.weights = beta, 0.0, 0.0

    def add(self, a) -> None:
        self.total = self.beta * self.total + a
        self.weights = self.beta * self.weights + 1.0

    def mean(self):
        return self.total / self.weights


class AdamEpsilonInside:
    """Adam (Kingma and Ba, 2015) with eps inside the root: w <- w - alpha mh / sqrt(vh + eps)."""

    def __init__(
        self, params: list[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.params, self.alpha, self.betas, self.eps = params, lr, betas, eps
        self.m = [torch.zeros_like(p) for p in params]
        self.v = [torch.zeros_like(p) for p in params]
        self.k = 0

    def step(self, loss: Callable[[], Tensor]) -> None:
        self.k += 1
        beta_1, beta_2 = self.betas
        for i, g in enumerate(torch.autograd.grad(loss(), self.params)):
            self.m[i] = beta_1 * self.m[i] + (1 - beta_1) * g
            self.v[i] = beta_2 * self.v[i] + (1 - beta_2) * g**2
            mh = self.m[i] / (1 - beta_1**self.k)
            vh = self.v[i] / (1 - beta_2**self.k)
            self.params[i].data = self.params[i].data - self.alpha * mh / torch.sqrt(vh + self.eps)

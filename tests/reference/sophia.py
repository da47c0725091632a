"""Sophia-G as the paper writes it: slow, one line per equation, labels drawn and gradients taken in the open."""

import torch
from torch import Tensor
from torch.nn import functional

from lehi_cli.optim.curvature_optimizer import draw_seed


class ReferenceSophiaG:
    """Softmax cross-entropy, one parameter group; one call of `step` per iteration."""

    def __init__(
        self,
        params: list[Tensor],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.965, 0.99),
        gamma: float = 0.04,
        eps: float = 1e-15,
        weight_decay: float = 0.1,
        curvature_every: int = 10,
        curvature_warmup: int = 0,
        seed: int = 0,
    ) -> None:
        self.theta, self.eta, (self.beta_1, self.beta_2) = params, lr, betas
        self.gamma, self.epsilon, self.lambda_ = gamma, eps, weight_decay
        self.k, self.warmup = curvature_every, curvature_warmup
        self.seed = seed
        self.t = 0
        self.m = [torch.zeros_like(p) for p in params]
        self.h = [torch.zeros_like(p) for p in params]

    def step(self, logits: Tensor, y: Tensor) -> None:
        g = torch.autograd.grad(functional.cross_entropy(logits, y), self.theta, retain_graph=True)
        if self.t < self.warmup or (self.t - self.warmup) % self.k == 0:
            h_hat = self.estimate(logits)
            self.h = [self.beta_2 * h + (1 - self.beta_2) * new for h, new in zip(self.h, h_hat, strict=True)]
        for i, w in enumerate(self.theta):
            self.m[i] = self.beta_1 * self.m[i] + (1 - self.beta_1) * g[i]
            w.data = w.data - self.eta * self.lambda_ * w.data
            ratio = self.m[i] / torch.maximum(self.gamma * self.h[i], torch.tensor(self.epsilon))
            w.data = w.data - self.eta * torch.clip(ratio, -1, 1)
        self.t += 1

    def estimate(self, logits: Tensor) -> list[Tensor]:
        """Gauss-Newton-Bartlett: B ghat * ghat, ghat the gradient of the mean loss with labels from the model."""
        generator = torch.Generator().manual_seed(draw_seed(self.seed, 0, self.t, 0))
        y_hat = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
        g_hat = torch.autograd.grad(functional.cross_entropy(logits, y_hat), self.theta)
        return [len(logits) * g * g for g in g_hat]

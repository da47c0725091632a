"""The optimizer of this example."""

import torch


class NormalizedMomentum(torch.optim.Optimizer):
    """Momentum, with each tensor's step of root mean square `lr`: m <- b m + (1 - b) g, w <- w - lr m / rms(m)."""

    def __init__(self, params, lr=0.01, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; parameters without a gradient stay."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    raise RuntimeError("NormalizedMomentum does not support sparse gradients")
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p)
                m = state["m"].lerp_(p.grad, 1 - group["momentum"])
                size = m.double().square().mean().sqrt().to(m.dtype)
                p.sub_(group["lr"] * m / size.clamp(min=torch.finfo(m.dtype).tiny))

"""An optimizer of your own: momentum whose step is never longer than a given length.

lehi optims check examples/clipped.py
lehi compare --task digits --optims examples/clipped.py,adam --seeds 5
"""

import torch

from lehi_cli.registry.optimizers import OptimizerRecord, Option


class ClippedMomentum(torch.optim.Optimizer):
    """m <- b m + g, w <- w - lr m min(1, longest / |m|), with |m| the norm over all parameters of a group."""

    def __init__(self, params, lr=0.1, momentum=0.9, longest=1.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "longest": longest})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; parameters without a gradient stay."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.is_sparse for p in moving):
                raise RuntimeError("ClippedMomentum does not support sparse gradients")
            for p in moving:
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p)  # what later steps depend on is state, so that it is saved
                state["m"].mul_(group["momentum"]).add_(p.grad)
            squares = [self.state[p]["m"].double().square().sum() for p in moving]
            length = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
            shrink = group["longest"] / max(length, group["longest"])
            for p in moving:
                p.sub_(self.state[p]["m"], alpha=group["lr"] * shrink)


OPTIMIZERS = [
    OptimizerRecord(
        "clipped",
        "momentum whose step is never longer than a given length",
        ":ClippedMomentum",
        (
            Option("lr", 0.1, "learning rate", within="[0, inf)"),
            Option("momentum", 0.9, "decay of the sum of gradients", within="[0, 1)"),
            Option("longest", 1.0, "norm to which the momentum is cut", within="(0, inf)"),
        ),
        state="1",
        formula="m <- momentum m + g\nw <- w - lr m min(1, longest / |m|)",
        space={"lr": "1e-3..1/log", "momentum": "0.5,0.9,0.95", "longest": "0.1..10/log"},
    )
]

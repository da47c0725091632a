"""Mean squared error: Lam = 2 for every output."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import ElementwiseLoss


class MSE(ElementwiseLoss):
    """Squared error as torch takes it, l = (p - y)^2 averaged over all elements: Lam = 2, D = number of elements.

    | factor                     | v                                     |
    |----------------------------|---------------------------------------|
    | `rademacher`               | sqrt(2) e, e a random sign per output |
    | `true_vs_rest`, `diagonal` | sqrt(2) sign(p - y)                   |
    | `sampled`                  | sqrt(2) z, z ~ N(0, 1)                |

    `sampled` is the gradient at a target drawn from the Gaussian whose negative log-likelihood the loss is.

    Args:
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for another reduction; at a call, when outputs and targets differ in shape.
    """

    @classmethod
    def from_torch(cls, module: nn.MSELoss) -> "MSE":
        """The same loss as an `nn.MSELoss`."""
        return cls(module.reduction)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs, targets, reduction=self.reduction)

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.full_like(outputs, 2.0)

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets

    def _sampled(self, outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.empty_like(outputs).normal_(std=math.sqrt(2), generator=generator)

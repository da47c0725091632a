"""Smooth L1 loss: Huber's divided by its width, so Lam is 1 / beta or 0."""

from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import NO_LIKELIHOOD, ElementwiseLoss
from lehi_cli.curvature.validation import require_number


class SmoothL1(ElementwiseLoss):
    """Smooth L1 loss of r = p - y, per element: l = r^2 / (2 beta) for abs(r) < beta, else abs(r) - beta / 2.

    Lam = 1 / beta for abs(r) < beta, else 0: the linear parts have no curvature. D = number of elements.

    | factor                     | v                                         |
    |----------------------------|-------------------------------------------|
    | `rademacher`               | sqrt(Lam) e, e a random sign per output   |
    | `true_vs_rest`, `diagonal` | sqrt(Lam) sign(r)                         |
    | `sampled`                  | none: Lam depends on the target           |

    Args:
        beta: where the quadratic part ends, > 0, in units of the outputs. At beta = 0, which torch allows, the loss is
            the L1 loss, whose curvature is 0 everywhere.
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for options outside these; at a call, when outputs and targets differ in shape, and for the factor
            `"sampled"`.

    Source: Girshick, "Fast R-CNN", 2015.
    """

    lacks = {"sampled": NO_LIKELIHOOD}

    def __init__(self, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if beta == 0:
            raise ValueError("beta must be a number > 0, got 0: that is the L1 loss, which has no curvature")
        self.beta = require_number("beta", beta, above=0.0)

    @classmethod
    def from_torch(cls, module: nn.SmoothL1Loss) -> "SmoothL1":
        """The same loss as an `nn.SmoothL1Loss`."""
        return cls(module.beta, module.reduction)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.smooth_l1_loss(outputs, targets, reduction=self.reduction, beta=self.beta)

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets).abs() < self.beta).to(outputs.dtype) / self.beta

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets

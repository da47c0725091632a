"""Huber's loss: quadratic near the target, linear further out, so Lam is 1 or 0."""

from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import NO_LIKELIHOOD, ElementwiseLoss
from lehi_cli.curvature.validation import require_number


class Huber(ElementwiseLoss):
    """Huber's loss of r = p - y, per element: l = r^2 / 2 for abs(r) < delta, else delta (abs(r) - delta / 2).

    Lam = 1 for abs(r) < delta, else 0: the linear parts have no curvature. D = number of elements.

    | factor                     | v                                         |
    |----------------------------|-------------------------------------------|
    | `rademacher`               | sqrt(Lam) e, e a random sign per output   |
    | `true_vs_rest`, `diagonal` | sqrt(Lam) sign(r)                         |
    | `sampled`                  | none: Lam depends on the target           |

    Args:
        delta: where the quadratic part ends, > 0, in units of the outputs.
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for options outside these; at a call, when outputs and targets differ in shape, and for the factor
            `"sampled"`.

    Source: Huber, "Robust estimation of a location parameter", 1964.
    """

    lacks = {"sampled": NO_LIKELIHOOD}

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = require_number("delta", delta, above=0.0)

    @classmethod
    def from_torch(cls, module: nn.HuberLoss) -> "Huber":
        """The same loss as an `nn.HuberLoss`."""
        return cls(module.delta, module.reduction)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.huber_loss(outputs, targets, reduction=self.reduction, delta=self.delta)

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets).abs() < self.delta).to(outputs.dtype)

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets

"""Binary cross-entropy with logits: Lam = omega s (1 - s) for every output."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import ElementwiseLoss
from lehi_cli.curvature.validation import require_weight


class BCE(ElementwiseLoss):
    """Logistic loss per element, l = -w [c y log s + (1 - y) log(1 - s)], s = sigmoid(p), w `weight`, c `pos_weight`.

    Lam = omega s (1 - s) with omega = w (c y + 1 - y), soft targets included. D = number of elements.

    | factor                     | v                                                          |
    |----------------------------|------------------------------------------------------------|
    | `rademacher`               | sqrt(Lam) e, e a random sign per output                    |
    | `true_vs_rest`, `diagonal` | sqrt(Lam) sign(dl/dp); the auxiliary loss 2 arctan e^(-m/2) |
    | `sampled`                  | sqrt(omega) (s - b), b ~ Bernoulli(s)                      |

    Args:
        weight: factor per element, of a shape that broadcasts to the outputs, all >= 0.
        pos_weight: factor of the positive term, of a shape that broadcasts to the outputs, all >= 0.
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for another reduction or negative weights; at a call, when outputs and targets differ in shape, and
            for targets outside [0, 1] (on an accelerator the loss is nan instead).
        TypeError: for weights that are not tensors.
    """

    targets_in = (0.0, 1.0)

    def __init__(self, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = require_weight("weight", weight)
        self.pos_weight = require_weight("pos_weight", pos_weight)

    @classmethod
    def from_torch(cls, module: nn.BCEWithLogitsLoss) -> "BCE":
        """The same loss as an `nn.BCEWithLogitsLoss`."""
        return cls(module.weight, module.pos_weight, module.reduction)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            outputs, targets, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )

    def _omega(self, targets: Tensor) -> Tensor:
        omega = torch.ones_like(targets) if self.pos_weight is None else self.pos_weight * targets + 1 - targets
        return omega if self.weight is None else omega * self.weight

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # sigmoid(p) sigmoid(-p): s (1 - s) would round to 0 for confident outputs.
        return self._omega(targets) * outputs.sigmoid() * (-outputs).sigmoid()

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        positive = targets if self.pos_weight is None else self.pos_weight * targets
        return (positive + 1 - targets) * outputs.sigmoid() - positive

    def _sampled(self, outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
        probability = outputs.sigmoid()
        drawn = torch.bernoulli(probability.nan_to_num(), generator=generator)  # refuses nan, and v shall be nan there
        return self._omega(targets).sqrt() * (probability - drawn)

"""Poisson negative log-likelihood of counts: Lam is the rate, for outputs that are its logarithm."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import NO_LIKELIHOOD, ElementwiseLoss
from lehi_cli.curvature.validation import require_flag, require_number

_LARGEST_DRAWN = 2.0**20  # the largest rate drawn from; torch.poisson never returns from inf


class PoissonNLL(ElementwiseLoss):
    """Negative log-likelihood of counts y >= 0, per element, as torch takes it.

    l = e^p - y p with Lam = e^p for outputs p that are the logarithm of the rate; l = p - y log(p + eps) with
    Lam = y / (p + eps)^2 for outputs that are the rate. `full` adds Stirling's term, which does not depend on p.
    D = number of elements.

    | factor                     | v                                                                              |
    |----------------------------|--------------------------------------------------------------------------------|
    | `rademacher`               | sqrt(Lam) e, e a random sign per output                                        |
    | `true_vs_rest`, `diagonal` | sqrt(Lam) sign(dl/dp)                                                          |
    | `sampled`                  | e^p - k, k ~ Poisson(e^p); without `log_input` none: Lam depends on the target |

    Args:
        log_input: whether the outputs are the logarithm of the rate, rather than the rate itself.
        full: add Stirling's approximation of log y! for y > 1.
        eps: keeps log(p + eps) finite, > 0; only without `log_input`.
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for options outside these; at a call, when outputs and targets differ in shape, for negative targets
            (on an accelerator the loss is nan instead), and for a factor that the loss does not have.
    """

    targets_in = (0.0, math.inf)

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input = require_flag("log_input", log_input)
        self.full = require_flag("full", full)
        self.eps = require_number("eps", eps, above=0.0)
        self.lacks = {} if log_input else {"sampled": NO_LIKELIHOOD}

    @classmethod
    def from_torch(cls, module: nn.PoissonNLLLoss) -> "PoissonNLL":
        """The same loss as an `nn.PoissonNLLLoss`."""
        return cls(module.log_input, module.full, module.eps, module.reduction)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.poisson_nll_loss(
            outputs, targets, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.exp() if self.log_input else targets / (outputs + self.eps).square()

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.exp() - targets if self.log_input else 1 - targets / (outputs + self.eps)

    def _sampled(self, outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
        rate = outputs.exp()
        drawn_rate = rate.clamp(max=_LARGEST_DRAWN)
        v = drawn_rate - torch.poisson(drawn_rate.nan_to_num(), generator=generator)
        return v * torch.where(rate > _LARGEST_DRAWN, rate / _LARGEST_DRAWN, 1.0).sqrt()

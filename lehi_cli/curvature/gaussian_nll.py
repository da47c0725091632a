"""Gaussian negative log-likelihood of the mean, for a given variance: Lam = 1 / variance."""

import math

import torch
from torch import Tensor

from lehi_cli.curvature.loss import ElementwiseLoss
from lehi_cli.curvature.validation import outside, require_flag, require_number


class GaussianNLL(ElementwiseLoss):
    """Negative log-likelihood of y under N(p, s), per element: l = (log s + (p - y)^2 / s) / 2, s = max(var, eps).

    Lam = 1 / s. `full` adds log(2 pi) / 2. D = number of elements. `torch.nn.GaussianNLLLoss` takes the variance at the
    call, often as another output of the network; here it is fixed, and the outputs are the mean alone.

    | factor                     | v                                       |
    |----------------------------|-----------------------------------------|
    | `rademacher`               | e / sqrt(s), e a random sign per output |
    | `true_vs_rest`, `diagonal` | sign(p - y) / sqrt(s)                   |
    | `sampled`                  | z / sqrt(s), z ~ N(0, 1)                |

    Args:
        var: variance, >= 0: a number, or a tensor of a shape that broadcasts to the outputs.
        full: add the constant log(2 pi) / 2.
        eps: floor of the variance, > 0.
        reduction: `"mean"` or `"sum"`.

    Raises:
        ValueError: for options outside these, and for a `var` that requires gradients; at a call, when outputs and
            targets differ in shape, or `var` does not broadcast to the outputs.
        TypeError: for a `var` that is neither a number nor a tensor.
    """

    def __init__(self, var: float | Tensor, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = require_flag("full", full)
        self.eps = require_number("eps", eps, above=0.0)
        self.var = _variance(var)

    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # Not torch's function, which checks for negative variances at every call and waits for the device to do so.
        s = self._clamped(outputs)
        loss = 0.5 * (s.log() + (outputs - targets).square() / s)
        if self.full:
            loss = loss + 0.5 * math.log(2 * math.pi)
        return loss.mean() if self.reduction == "mean" else loss.sum()

    def _clamped(self, outputs: Tensor) -> Tensor:
        """The variance of every output."""
        var = self.var.to(outputs.device, outputs.dtype).clamp(min=self.eps)
        try:
            return var.expand_as(outputs)
        except RuntimeError:
            raise ValueError(
                f"var {list(var.shape)} must broadcast to the outputs' shape {list(outputs.shape)}"
            ) from None

    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._clamped(outputs).reciprocal()

    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets

    def _sampled(self, outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.empty_like(outputs).normal_(generator=generator) / self._clamped(outputs).sqrt()


def _variance(var: float | Tensor) -> Tensor:
    if not isinstance(var, Tensor):
        return torch.tensor(require_number("var", var), dtype=torch.float64)
    if var.requires_grad:
        raise ValueError("var must not require gradients: it is given, not learnt; pass var.detach()")
    wrong = outside(var, 0.0, torch.finfo(torch.float64).max)
    if bool(wrong.any()):
        raise ValueError(f"var must hold finite numbers >= 0, got {var[wrong][0].item()}")
    return var

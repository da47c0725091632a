"""What the optimizers need to know about a loss.

A mini-batch loss f(w) = (1/D) sum_n l(p_n(w), y_n) has the generalized Gauss-Newton matrix (GGN)
G = (1/D) sum_n J_n^T Lam_n J_n, with J_n = dp_n/dw and Lam_n = d^2 l/dp^2. Its diagonal is cheap to sample: find a
vector v_n of the outputs' shape with v_n v_n^T ~ Lam_n, pull (1/D) v back through the network once, and square.
Three instances:

- squared loss (p - y)^2, Lam = 2:                  v = sqrt(2) * random sign
- logistic loss, Lam = s (1 - s):                   v = sqrt(s (1 - s)) * random sign
- softmax cross-entropy, Lam = diag(s) - s s^T:     v = u e - s (u . e), u = sqrt(s), e random signs

Everything that depends on the loss (its value, D, v, and products with Lam) lives in one `Loss` class per file.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from lehi_cli.curvature.validation import nan_where, outside, range_error, require

FactorKind = Literal["rademacher", "true_vs_rest", "diagonal", "sampled"]
FACTOR_KINDS: tuple[str, ...] = get_args(FactorKind)
NO_LIKELIHOOD = "labels drawn from the model would give the Hessian expected under it, not the one at these targets"


class Loss(ABC):
    """A training loss together with the factors of its Hessian in the outputs.

    Subclasses give the value and the *unreduced* factor; the reduction is applied here, once.

    Args:
        reduction: `"mean"` or `"sum"`, as in torch.

    Attributes:
        lacks: the factors that this loss does not have, with the reason.

    Raises:
        ValueError: for any other reduction.
    """

    lacks: Mapping[str, str] = {}

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        self.reduction = reduction

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The reduced loss, a scalar equal to torch's."""

    @abstractmethod
    def _count(self, outputs: Tensor, targets: Tensor) -> Tensor | float:
        """D of the mean reduction."""

    @abstractmethod
    def _factor(
        self, outputs: Tensor, targets: Tensor, kind: str, generator: torch.Generator | None, sample_signs: bool
    ) -> Tensor:
        """The unreduced factor v (every v_n, not divided by D), of the outputs' shape."""

    @abstractmethod
    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        """Lam_n times `vector` for every n, not divided by D."""

    def split(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The scalar whose Hessian in the outputs is Lam / D: the loss, unless it is split from the network elsewhere.

        `check_loss` differentiates it twice.
        """
        return self(outputs, targets)

    def predictions(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """D, what the mean divides by: the number of predictions that count, or the sum of their class weights.

        1 for `reduction="sum"`. A 0-dim tensor on the outputs' device, so that counting never waits for the device.
        """
        count = self._count(outputs, targets) if self.reduction == "mean" else 1.0
        return torch.as_tensor(count, dtype=working_dtype(outputs), device=outputs.device)

    @torch.no_grad()
    def factor(
        self,
        outputs: Tensor,
        targets: Tensor,
        kind: str = "rademacher",
        generator: torch.Generator | None = None,
        sample_signs: bool = True,
    ) -> Tensor:
        """The vector v whose pull-back h = J^T v has E[h^2] = diag(GGN) / D.

        | kind           | v_n v_n^T against Lam_n                                 | random                           |
        |----------------|---------------------------------------------------------|----------------------------------|
        | `rademacher`   | equal in expectation                                    | one sign per output              |
        | `sampled`      | equal in expectation                                    | a label drawn from the model     |
        | `true_vs_rest` | <= Lam_n: the true class against all others as one      | one sign per prediction          |
        | `diagonal`     | equal on the diagonal, residual signs off the diagonal  | one sign per sample              |

        Args:
            outputs: the network's outputs, [N, q] or as the subclass says. Half precision is computed in float32.
            targets: as the loss takes them.
            kind: one of `FACTOR_KINDS`.
            generator: source of the random numbers, on the outputs' device; None is torch's global one.
            sample_signs: multiply `true_vs_rest` and `diagonal` by their random signs. Without them the cross terms
                between samples do not cancel in the mean.

        Returns:
            v, divided by D, detached, in the outputs' shape and dtype. Exactly 0 when no prediction counts (D = 0).

        Raises:
            ValueError: for an unknown kind, or one this loss or these targets do not have.
        """
        self.require_factor(kind)
        working = outputs.detach().to(working_dtype(outputs))
        v = self._factor(working, targets, kind, generator, sample_signs)
        return (v / self._divisor(working, targets)).to(outputs.dtype)

    def require_factor(self, kind: str) -> None:
        """Refuse a factor that this loss does not have.

        Raises:
            ValueError: for an unknown kind, or one that this loss lacks.
        """
        if kind not in FACTOR_KINDS:
            raise ValueError(f"factor must be one of {', '.join(FACTOR_KINDS)}, got {kind!r}")
        if kind in self.lacks:
            others = ", ".join(other for other in FACTOR_KINDS if other not in self.lacks)
            raise ValueError(f"{type(self).__name__} has no factor {kind!r}, only {others}: {self.lacks[kind]}")

    @torch.no_grad()
    def hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        """The reduced loss's Hessian in the outputs times `vector`, of the outputs' shape: (1/D) Lam_n vector_n."""
        working = outputs.detach().to(working_dtype(outputs))
        product = self._hessian_product(working, targets, vector.to(working.dtype))
        return (product / self._divisor(working, targets)).to(vector.dtype)

    def draw_signs(self, shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Independent random signs +-1 of `shape`: the one place signs come from (tests enumerate them here)."""
        coins = torch.randint(0, 2, shape, dtype=like.dtype, device=like.device, generator=generator)
        return coins.mul_(2).sub_(1)

    def _divisor(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # D = 0 (every position ignored) must give 0, not 0/0.
        return self.predictions(outputs, targets).clamp(min=torch.finfo(outputs.dtype).tiny)


class ElementwiseLoss(Loss):
    """A loss that is a sum over the individual outputs, so that Lam is diagonal: every output is a prediction.

    Subclasses give Lam's entries and the residual; the factors follow. Outputs and targets must have the same shape:
    [N, 1] against [N] would broadcast to [N, N] and train on nonsense. Targets outside `targets_in` are refused; on an
    accelerator, where looking would wait for the device, they make the loss nan.
    """

    targets_in: tuple[float, float] = (-math.inf, math.inf)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The reduced loss, equal to torch's.

        Raises:
            ValueError: when outputs and targets differ in shape, and for targets outside their range.
        """
        loss = self._value(outputs, self._checked(outputs, targets))
        return loss if self.targets_in == (-math.inf, math.inf) else nan_where(targets, self._outside, loss)

    @abstractmethod
    def _value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The reduced loss; targets have the outputs' shape and dtype."""

    @abstractmethod
    def _curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Lam's diagonal, of the outputs' shape."""

    @abstractmethod
    def _residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The derivative of the loss in each output, up to a positive factor."""

    def _sampled(self, outputs: Tensor, targets: Tensor, generator: torch.Generator | None) -> Tensor:
        """The factor from targets drawn from the model's own likelihood; needed unless `lacks` names it."""
        raise NotImplementedError

    def _count(self, outputs: Tensor, targets: Tensor) -> float:
        return float(outputs.numel())

    def _factor(
        self, outputs: Tensor, targets: Tensor, kind: str, generator: torch.Generator | None, sample_signs: bool
    ) -> Tensor:
        targets = self._checked(outputs, targets)
        if kind == "sampled":
            return self._sampled(outputs, targets, generator)
        magnitude = self._curvature(outputs, targets).sqrt()
        if kind == "rademacher":
            return magnitude * self.draw_signs(outputs.shape, outputs, generator)
        v = magnitude * signs_of(self._residual(outputs, targets))
        if not sample_signs:
            return v
        per_sample = outputs.shape[:1] + (1,) * (outputs.ndim - 1)
        shape = outputs.shape if kind == "true_vs_rest" else torch.Size(per_sample)
        return v * self.draw_signs(shape, outputs, generator)

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        return self._curvature(outputs, self._checked(outputs, targets)) * vector

    def _checked(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The targets in the outputs' dtype."""
        require_same_shape(outputs, targets)
        if self.targets_in != (-math.inf, math.inf):
            require(targets, self._outside, lambda: range_error("targets", targets, *self.targets_in))
        return targets.to(outputs.dtype)

    def _outside(self, targets: Tensor) -> Tensor:
        return outside(targets, *self.targets_in)


def working_dtype(tensor: Tensor) -> torch.dtype:
    """float32 for half precision, the tensor's own dtype otherwise."""
    return torch.promote_types(tensor.dtype, torch.float32)


def signs_of(tensor: Tensor) -> Tensor:
    """Signs of the entries, with 0 counted as +1: a sign must not remove its entry."""
    return torch.where(tensor < 0, -1.0, 1.0).to(tensor.dtype)


def require_same_shape(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs and targets that would only fit by broadcasting.

    Raises:
        ValueError: naming both shapes.
    """
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs {list(outputs.shape)} and targets {list(targets.shape)} must have the same shape; "
            "reshape one of them: broadcasting would compare every output with every target"
        )

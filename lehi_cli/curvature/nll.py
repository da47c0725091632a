"""Negative log-likelihood of log-probabilities: the softmax cross-entropy with its softmax inside the network.

The loss is linear in its inputs, so its own Hessian says nothing; the Gauss-Newton matrix is formed at the same place
as for the cross-entropy, at the logits z before log_softmax. There J = d log_softmax / dz = I - 1 s^T, and every v with
sum(v) = 0 has J^T v = v - s sum(v) = v: the factors of the cross-entropy pass through log_softmax unchanged. Likewise
J^T Lam J = Lam for Lam = diag(s) - s s^T, since Lam 1 = 0.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.cross_entropy import CrossEntropy
from lehi_cli.curvature.validation import nan_where, require

_TOLERANCE = 0.1  # of logsumexp: above bfloat16's rounding, below the values for logits or probabilities


class NLL(CrossEntropy):
    """Negative log-likelihood l = -w_y p_y of log-probabilities p = log_softmax(z) and class indices y.

    Lam = w_y (diag(s) - s s^T), s = exp(p), which pulled back through log_softmax is the cross-entropy's in z. D = sum
    of w_y over the positions that are not ignored. Everything else is as in `CrossEntropy`.

    | factor         | v                                                                   |
    |----------------|---------------------------------------------------------------------|
    | `rademacher`   | sqrt(w_y) (u e - s (u . e)), u = sqrt(s), e a random sign per output |
    | `true_vs_rest` | sqrt(w_y s_y (1 - s_y)) (s_rest / (1 - s_y) - e_y)                  |
    | `diagonal`     | none: its entries do not sum to 0, so log_softmax changes them      |
    | `sampled`      | sqrt(w_y) (s - e_yhat), yhat ~ s                                    |

    The outputs must come from log_softmax.

    Args:
        weight: class weights, [q], all >= 0.
        ignore_index: class index of positions that do not count.
        reduction: `"mean"` or `"sum"`.
        class_dim: where the classes are: 1 (torch's layout), -1 (last), or `"auto"`: whichever fits the targets.

    Raises:
        ValueError: for options outside these; at a call, when the targets fit no layout or, under `"auto"`, both; for
            outputs that are not log-probabilities (on an accelerator the loss is nan instead); for `"diagonal"`.
        TypeError: for a weight that is not a tensor; at a call, for targets that are not integers.
        IndexError: at a call, for class indices outside [0, q) that are not `ignore_index`.
    """

    lacks = {"diagonal": "its entries do not sum to 0 over the classes, so log_softmax would change them"}

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        class_dim: Literal["auto", 1, -1] = "auto",
    ) -> None:
        super().__init__(weight, ignore_index, reduction=reduction, class_dim=class_dim)

    @classmethod
    def from_torch(cls, module: nn.NLLLoss) -> "NLL":  # type: ignore[override]
        """The same loss as an `nn.NLLLoss`, in torch's layout."""
        return cls(module.weight, module.ignore_index, module.reduction, class_dim=1)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood, equal to `torch.nn.functional.nll_loss`."""
        rows, labels = self._flatten(outputs, targets)
        loss = functional.nll_loss(rows, labels, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)
        return nan_where(rows, _unnormalised, loss)

    def split(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of p as logits, whose Hessian at p = log_softmax(z) is that at z."""
        return super().__call__(outputs, targets)

    def _labels(self, targets: Tensor, classes: int) -> Tensor:
        if targets.is_floating_point():
            raise TypeError(f"NLL needs class indices as targets, got {targets.dtype}")
        return super()._labels(targets, classes)

    def _flatten(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        rows, labels = super()._flatten(outputs, targets)
        require(rows, _unnormalised, _normalisation_error)
        return rows, labels


def _unnormalised(rows: Tensor) -> Tensor:
    """A mask of the rows whose probabilities do not sum to 1; a row of nan, from an overflow, is not one."""
    return rows.detach().logsumexp(-1).abs() > _TOLERANCE


def _normalisation_error() -> ValueError:
    return ValueError(
        "outputs must be log-probabilities, whose exponentials sum to 1 over the classes: end the model with "
        "log_softmax, or use the loss cross_entropy on logits"
    )

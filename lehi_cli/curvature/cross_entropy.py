"""Softmax cross-entropy: Lam = omega (diag(s) - s s^T) for every prediction."""

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lehi_cli.curvature.loss import Loss, signs_of
from lehi_cli.curvature.validation import nan_where, outside, range_error, require, require_weight


class CrossEntropy(Loss):
    """Softmax cross-entropy l = -sum_c t_c log s_c, s = softmax(p), with everything torch's loss can do.

    With class weights w and label smoothing eps, t_c = (1 - eps) w_y [c = y] + (eps/q) w_c for class indices y and
    t_c = w_c ((1 - eps) y_c + eps/q) for class probabilities y_c. Lam = omega (diag(s) - s s^T), omega = sum_c t_c.

    D = sum of w_y over the positions that are not ignored (class indices) or the number of positions (probabilities).
    When every position is ignored the loss is nan, as in torch, and D, the factor and the gradient are 0.

    | factor         | v                                                                                 |
    |----------------|-----------------------------------------------------------------------------------|
    | `rademacher`   | sqrt(omega) (u e - s (u . e)), u = sqrt(s), e a random sign per output            |
    | `true_vs_rest` | sqrt(omega s_y (1 - s_y)) (s_rest / (1 - s_y) - e_y): the auxiliary loss           |
    |                | 2 arctan e^(-m/2) of the margin m = p_y - logsumexp of the others                 |
    | `diagonal`     | sign(dl/dp_j) sqrt(omega s_j (1 - s_j))                                           |
    | `sampled`      | sqrt(omega) (s - e_yhat), yhat ~ s (Sophia's Gauss-Newton-Bartlett)               |

    Outputs are [N, q], [..., q] (targets [...]) or torch's [N, q, ...] (targets [N, ...]). Class indices may be of any
    integer type. A logit of -inf masks its class: v and the products are 0 there and exact for the others. Logits that
    are nan or +inf make v nan, without an error.

    Args:
        weight: class weights, [q], all >= 0.
        ignore_index: class index of positions that do not count.
        label_smoothing: eps in [0, 1].
        reduction: `"mean"` or `"sum"`.
        class_dim: where the classes are: 1 (torch's layout), -1 (last), or `"auto"`: whichever fits the targets.

    Raises:
        ValueError: for options outside these; at a call, when the targets fit no layout or, under `"auto"`, both; for
            negative class probabilities.
        TypeError: for a weight that is not a tensor; at a call, for targets neither integer nor floating point.
        IndexError: at a call, for class indices outside [0, q) that are not `ignore_index`.

    On an accelerator, where looking at the targets would wait for the device, a negative probability makes the loss
    nan, and an index out of range fails torch's own device-side assertion when the loss is computed.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        class_dim: Literal["auto", 1, -1] = "auto",
    ) -> None:
        super().__init__(reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing!r}")
        if class_dim not in ("auto", 1, -1):
            raise ValueError(f"class_dim must be 'auto', 1 or -1, got {class_dim!r}")
        self.weight = require_weight("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.class_dim = class_dim

    @classmethod
    def from_torch(cls, module: nn.CrossEntropyLoss) -> "CrossEntropy":
        """The same loss as an `nn.CrossEntropyLoss`, in torch's layout."""
        return cls(module.weight, module.ignore_index, module.label_smoothing, module.reduction, class_dim=1)

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy, equal to `torch.nn.functional.cross_entropy`."""
        logits, labels = self._flatten(outputs, targets)
        loss = functional.cross_entropy(
            logits,
            labels,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
        return nan_where(labels, _negative, loss) if labels.is_floating_point() else loss

    def _count(self, outputs: Tensor, targets: Tensor) -> Tensor | float:
        axis = self._class_axis(outputs, targets)
        targets = self._labels(targets, outputs.shape[axis])
        if targets.is_floating_point():
            return outputs.numel() / outputs.shape[axis]
        counted = targets != self.ignore_index
        if self.weight is None:
            return counted.sum()
        return (self.weight[targets.where(counted, 0)] * counted).sum()

    def _factor(
        self, outputs: Tensor, targets: Tensor, kind: str, generator: torch.Generator | None, sample_signs: bool
    ) -> Tensor:
        logits, labels = self._flatten(outputs, targets)
        omega = self._omega(logits, labels)
        if kind == "rademacher":
            v = _rademacher(logits, self.draw_signs(logits.shape, logits, generator))
        elif kind == "sampled":
            v = _sampled(logits, generator)
        else:
            v = self._true_vs_rest(logits, labels) if kind == "true_vs_rest" else self._diagonal(logits, labels, omega)
            if sample_signs:
                v = v * self.draw_signs(omega.shape, logits, generator)
        return self._unflatten(v * omega.sqrt(), outputs, targets)

    def _hessian_product(self, outputs: Tensor, targets: Tensor, vector: Tensor) -> Tensor:
        logits, labels = self._flatten(outputs, targets)
        s = logits.softmax(-1)
        su = s * vector.movedim(self._class_axis(outputs, targets), -1).reshape(s.shape)
        product = self._omega(logits, labels) * (su - s * su.sum(-1, keepdim=True))
        return self._unflatten(product, outputs, targets)

    def _true_vs_rest(self, logits: Tensor, labels: Tensor) -> Tensor:
        if labels.is_floating_point():
            raise ValueError("factor 'true_vs_rest' needs class indices, got class probabilities as targets")
        label = labels.where(labels != self.ignore_index, 0)[:, None]
        return _true_vs_rest(logits, label)

    def _diagonal(self, logits: Tensor, labels: Tensor, omega: Tensor) -> Tensor:
        s = logits.softmax(-1)
        return signs_of(omega * s - self._target_weights(logits, labels)) * (s * (1 - s)).sqrt()

    def _target_weights(self, logits: Tensor, labels: Tensor) -> Tensor:
        """t, [M, q]: the weight of each class in each position's loss."""
        weight = logits.new_ones(logits.shape[-1]) if self.weight is None else self.weight.to(logits.dtype)
        smooth = self.label_smoothing / logits.shape[-1]
        if labels.is_floating_point():
            return weight * ((1 - self.label_smoothing) * labels.to(logits.dtype) + smooth)
        counted = labels != self.ignore_index
        label = labels.where(counted, 0)[:, None]
        t = (smooth * weight).expand_as(logits).clone()
        t.scatter_add_(-1, label, (1 - self.label_smoothing) * weight[label])
        return t * counted[:, None]

    def _omega(self, logits: Tensor, labels: Tensor) -> Tensor:
        """sum_c t_c, [M, 1]; class indices without weights, the common case, need no [M, q] tensor."""
        if labels.is_floating_point() or self.weight is not None:
            return self._target_weights(logits, labels).sum(-1, keepdim=True)
        return (labels != self.ignore_index).to(logits.dtype)[:, None]

    def _labels(self, targets: Tensor, classes: int) -> Tensor:
        """Class probabilities as they are, or class indices as torch takes them, in int64.

        Raises:
            TypeError: for targets of another kind.
            IndexError: for an index that is not a class.
            ValueError: for a negative probability.
        """
        if targets.is_floating_point():
            require(targets, _negative, lambda: range_error("class probabilities", targets, 0, math.inf))
            return targets
        if targets.dtype == torch.bool or targets.is_complex():
            raise TypeError(f"class indices must be integers, got {targets.dtype}: convert them with .long()")
        indices = targets.long()
        wrong = partial(self._no_class, classes)
        require(indices, wrong, lambda: self._index_error(indices[wrong(indices)][0], classes))
        return indices

    def _no_class(self, classes: int, indices: Tensor) -> Tensor:
        """A mask of the indices that are neither a class nor ignored."""
        if indices.numel() > 0:
            low, high = torch.aminmax(indices)
            if low >= 0 and high < classes:  # the usual case, in one pass
                return indices.new_zeros((), dtype=torch.bool)
        return ((indices < 0) | (indices >= classes)) & (indices != self.ignore_index)

    def _index_error(self, index: Tensor, classes: int) -> IndexError:
        return IndexError(
            f"class indices must be in [0, {classes}) or ignore_index={self.ignore_index}, got {index.item()}"
        )

    def _class_axis(self, outputs: Tensor, targets: Tensor) -> int:
        """The axis of `outputs` that holds the classes.

        Raises:
            ValueError: when no layout, or more than one, fits the targets.
        """
        probabilities = targets.is_floating_point()
        axes = (1, -1) if outputs.ndim > 2 else (-1,)
        fitting = [
            axis
            for axis in axes
            if targets.shape == (outputs.shape if probabilities else _without(outputs.shape, axis))
            and (self.class_dim in ("auto", axis) or outputs.ndim <= 2)
        ]
        shapes = f"outputs {list(outputs.shape)} and targets {list(targets.shape)}"
        if not fitting:
            raise ValueError(
                f"{shapes} do not fit together with class_dim={self.class_dim!r}: class indices have the outputs' "
                "shape without the class dimension, class probabilities (floating point) all of it"
            )
        if len(fitting) > 1:
            raise ValueError(f"{shapes} fit with the classes in dimension 1 and in the last: set class_dim to 1 or -1")
        return fitting[0]

    def _flatten(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [M, q] and class indices [M] or probabilities [M, q]: one row per position."""
        axis = self._class_axis(outputs, targets)
        targets = self._labels(targets, outputs.shape[axis])
        if outputs.ndim == 2:
            return outputs, targets
        logits = outputs.movedim(axis, -1)
        rows = logits.reshape(-1, logits.shape[-1])
        if targets.is_floating_point():
            return rows, targets.movedim(axis, -1).reshape(rows.shape)
        return rows, targets.reshape(-1)

    def _unflatten(self, rows: Tensor, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.ndim == 2:
            return rows
        axis = self._class_axis(outputs, targets)
        return rows.reshape(outputs.movedim(axis, -1).shape).movedim(-1, axis)


def _rademacher(logits: Tensor, signs: Tensor) -> Tensor:
    """The factor u e - s (u . e), u = sqrt(s), e = `signs`: E[v v^T] = diag(s) - s s^T."""
    s = logits.softmax(-1)
    ue = s.sqrt() * signs
    return ue - s * ue.sum(-1, keepdim=True)


def _sampled(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """The factor s - e_yhat, yhat ~ s; nan in rows whose logits overflowed.

    Draws as torch.multinomial makes a single draw, by the argmax of s over exponential draws, but without waiting for
    the device.
    """
    s = logits.softmax(-1)
    exponential = torch.empty_like(s).exponential_(generator=generator)
    # A draw of 0 is possible on the CPU: 0 / 0 would win the argmax for a class of probability 0.
    exponential.clamp_(min=torch.finfo(s.dtype).tiny)
    drawn = (s / exponential).argmax(-1, keepdim=True)
    return s.scatter_add(-1, drawn, s.new_full((), -1.0).expand(drawn.shape))


def _true_vs_rest(logits: Tensor, label: Tensor) -> Tensor:
    """The factor sqrt(s_y (1 - s_y)) (c - e_y), c = softmax over the other classes; `label` is [M, 1].

    Computed through the margin m, s_y = sigmoid(m): arccos(sqrt(s_y)) has infinite slope at s_y = 1, the margin does
    not. Where every other class is masked the margin is inf, and the softmax over no classes counts as 0.
    """
    rest = logits.scatter(-1, label, -torch.inf)
    log_rest = rest.logsumexp(-1, keepdim=True)
    margin = logits.gather(-1, label) - log_rest
    magnitude = (0.5 * (functional.logsigmoid(margin) + functional.logsigmoid(-margin))).exp()
    c = rest.softmax(-1).masked_fill(log_rest == -torch.inf, 0.0)
    return magnitude * c.scatter(-1, label, -1.0)


def _negative(probabilities: Tensor) -> Tensor:
    return outside(probabilities, 0, math.inf)


def _without(shape: torch.Size, axis: int) -> torch.Size:
    kept = list(shape)
    del kept[axis]
    return torch.Size(kept)

"""Every way a user may name a loss, turned into a `Loss`."""

from collections.abc import Callable
from typing import Any

from torch import nn

from lehi_cli.curvature.bce import BCE
from lehi_cli.curvature.cross_entropy import CrossEntropy
from lehi_cli.curvature.loss import Loss
from lehi_cli.curvature.mse import MSE

_BY_NAME: dict[str, type[Loss]] = {"cross_entropy": CrossEntropy, "bce": BCE, "mse": MSE}
_BY_MODULE: dict[type, Callable[[Any], Loss]] = {
    nn.CrossEntropyLoss: CrossEntropy.from_torch,
    nn.BCEWithLogitsLoss: BCE.from_torch,
    nn.MSELoss: MSE.from_torch,
}


def is_known(spec: Any) -> bool:
    """Whether `spec` says by itself what its curvature is; a mere callable does not."""
    return isinstance(spec, str | Loss) or type(spec) in _BY_MODULE


def make_loss(spec: str | nn.Module | Loss) -> Loss:
    """The `Loss` that `spec` names.

    Args:
        spec: `"cross_entropy"`, `"bce"` or `"mse"`; an `nn.CrossEntropyLoss`, `nn.BCEWithLogitsLoss` or `nn.MSELoss`,
            whose weights and options are taken over; or a `Loss`, returned as it is.

    Raises:
        ValueError: for an unknown name.
        TypeError: for anything else, a subclass of torch's losses included: what it computes is not known here.
    """
    if isinstance(spec, Loss):
        return spec
    if isinstance(spec, str):
        if spec not in _BY_NAME:
            raise ValueError(f"loss must be one of {', '.join(_BY_NAME)}, got {spec!r}")
        return _BY_NAME[spec]()
    if type(spec) in _BY_MODULE:
        return _BY_MODULE[type(spec)](spec)
    raise TypeError(
        f"loss must be one of {', '.join(_BY_NAME)}, an nn.{', nn.'.join(m.__name__ for m in _BY_MODULE)}, or a Loss, "
        f"got {spec!r}. For a loss of your own hand in its factor too: loss=my_loss, factor=my_factor with "
        "my_factor(outputs, targets, generator) -> v and E[v v^T] = the loss's Hessian in the outputs"
    )

"""Turns every way in which a user may name a loss into a `Loss`."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import nn

from lehi_cli.curvature.bce import BCE
from lehi_cli.curvature.cross_entropy import CrossEntropy
from lehi_cli.curvature.gaussian_nll import GaussianNLL
from lehi_cli.curvature.huber import Huber
from lehi_cli.curvature.loss import Loss
from lehi_cli.curvature.mse import MSE
from lehi_cli.curvature.nll import NLL
from lehi_cli.curvature.poisson_nll import PoissonNLL
from lehi_cli.curvature.smooth_l1 import SmoothL1

_BY_NAME: dict[str, Callable[..., Loss]] = {
    "cross_entropy": CrossEntropy,
    "bce": BCE,
    "mse": MSE,
    "huber": Huber,
    "smooth_l1": SmoothL1,
    "nll": NLL,
    "poisson_nll": PoissonNLL,
    "gaussian_nll": GaussianNLL,
}
_BY_MODULE: dict[type, Callable[[Any], Loss]] = {
    nn.CrossEntropyLoss: CrossEntropy.from_torch,
    nn.BCEWithLogitsLoss: BCE.from_torch,
    nn.MSELoss: MSE.from_torch,
    nn.HuberLoss: Huber.from_torch,
    nn.SmoothL1Loss: SmoothL1.from_torch,
    nn.NLLLoss: NLL.from_torch,
    nn.PoissonNLLLoss: PoissonNLL.from_torch,
}
_NAMES = ", ".join(_BY_NAME)


def is_known(spec: Any) -> bool:
    """Whether the curvature of `spec` is known; that of a mere callable is not."""
    return isinstance(spec, str | Loss) or type(spec) in _BY_MODULE


def make_loss(spec: str | nn.Module | Loss, **options: Any) -> Loss:
    """The `Loss` that `spec` names.

    Args:
        spec: `"cross_entropy"`, `"bce"`, `"mse"`, `"huber"`, `"smooth_l1"`, `"nll"`, `"poisson_nll"` or
            `"gaussian_nll"`; the corresponding loss of `torch.nn`, whose weights and options are taken over; or a
            `Loss`, returned as it is.
        options: options of the class that the name stands for: `make_loss("huber", delta=0.5)`.

    Raises:
        ValueError: for an unknown name; for `"gaussian_nll"` without `var`.
        TypeError: for anything else, including subclasses of torch's losses, as what they compute is not known here;
            for `nn.GaussianNLLLoss`, which does not know its variance; for options that the loss does not have.
    """
    if isinstance(spec, str):
        return _named(spec, options)
    if options:
        raise TypeError(f"options go with a name, such as loss='huber', got {', '.join(options)} with {spec!r}")
    if isinstance(spec, Loss):
        return spec
    if type(spec) in _BY_MODULE:
        return _BY_MODULE[type(spec)](spec)
    if type(spec) is nn.GaussianNLLLoss:
        raise TypeError(
            "nn.GaussianNLLLoss takes the variance at the call, beside the targets; for a variance that is given write "
            f"lehi_cli.curvature.GaussianNLL(var=..., full={spec.full}, eps={spec.eps}, reduction={spec.reduction!r})"
        )
    raise TypeError(
        f"loss must be one of {_NAMES}, an nn.{', nn.'.join(m.__name__ for m in _BY_MODULE)}, or a Loss, "
        f"got {spec!r}. For a loss of your own hand in its factor too: loss=CustomLoss(my_loss, my_factor, "
        "predictions='rows') with my_factor(outputs, targets, generator) -> v and E[v v^T] = the loss's Hessian in the "
        "outputs"
    )


def _named(name: str, options: dict[str, Any]) -> Loss:
    if name not in _BY_NAME:
        raise ValueError(f"loss must be one of {_NAMES}, got {name!r}")
    if name == "gaussian_nll" and "var" not in options:
        raise ValueError("loss gaussian_nll needs its variance: lehi_cli.curvature.GaussianNLL(var=...)")
    known = list(signature(_BY_NAME[name]).parameters)
    for option in options:
        if option not in known:
            raise TypeError(f"loss {name} has no option {option!r}, only {', '.join(known)}")
    return _BY_NAME[name](**options)

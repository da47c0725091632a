"""LEHI: Adam with the squared gradient replaced by a sample of the Gauss-Newton diagonal.

Adam divides the averaged gradient by sqrt(average of g^2). LEHI divides it by sqrt(average of h^2), where h = J^T v
comes from a second backward pass through the same forward pass and E[h^2] = diag(GGN)/B. docs/lehi.md derives it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.custom import FactorFunction
from lehi_cli.optim.curvature_optimizer import CurvatureOptimizer, _inverse_scale
from lehi_cli.optim.descent import _multi_tensor_descend, _single_tensor_descend
from lehi_cli.optim.options import NOT_NEGATIVE, is_number


class LEHI(CurvatureOptimizer):
    """Low-order explicit Hessian imitation.

    With g the gradient and h the curvature sample of a step (shapes of the parameter), elementwise:

        m <- b1 m + (1 - b1) g             mh = m / (1 - b1^step)
        v <- b2 v + (1 - b2) h^2           vh = v / (1 - b2^refreshes)
        w <- (1 - lr weight_decay) w - lr clip( mh / (vh + damping mean(vh) + eps)^power )

    At power 1, vh is replaced by B vh, the estimate of the GGN's diagonal. Between refreshes v does not change.

    Args:
        params: parameters, named parameters, or parameter groups. A group may set its own lr, betas, eps,
            weight_decay, power, clip, damping, maximize and foreach.
        lr: learning rate, in parameter units per unit of the preconditioned step (about 1 per coordinate at power 1/2).
        betas: decay of the averages of g and of h^2.
        eps: added to the second moment, *inside* the power.
        weight_decay: decoupled: parameters shrink by the factor 1 - lr * weight_decay per step.
        loss: a name such as `"cross_entropy"`, `"bce"`, `"mse"` or `"huber"`, a loss of `torch.nn`, or a
            `lehi_cli.curvature.Loss`, such as the `CustomLoss` of a function of your own (see `make_loss`).
        factor: `"rademacher"`, `"true_vs_rest"`, `"diagonal"`, `"sampled"` (see `Loss.factor`), or a callable
            `factor(outputs, targets, generator) -> v` (see `CustomLoss`).
        sample_signs: multiply factors that are not random themselves by random signs. Turn it off only to see why.
        power: 1/2 (Adam's scale) or 1 (Newton's scale: uses B vh, the GGN diagonal itself, and calls for `clip`).
        clip: bound on every entry of the step before lr; None for no bound.
        damping: adds damping * mean(vh), per tensor, inside the power.
        curvature_every: number of steps from one refresh of h to the next.
        curvature_warmup: number of initial steps, all of which refresh.
        foreach: one kernel per operation for all parameters of a group; None: when all of them are on CUDA.
        maximize: climb instead: g is replaced by -g, and h stays the same.
        capturable, differentiable, fused: as in `torch.optim`; an error when on.
        seed: seed of the optimizer's own random numbers; torch's global generators are never touched.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group.
        TypeError: for a loss without a known factor; for complex parameters.

    Source: Zhu et al., "Low-Order Explicit Hessian Imitation Method for Large-Scale Supervised Machine Learning",
    arXiv 2605.06945, as reconstructed in docs/lehi.md.
    """

    RULES = {
        **CurvatureOptimizer.RULES,
        "power": (lambda v: v in (0.5, 1), "0.5 or 1"),
        "clip": (lambda v: v is None or (is_number(v, 0.0) and v > 0), "None or a number > 0"),
        "damping": NOT_NEGATIVE,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        loss: str | nn.Module | Loss | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
        factor: str | FactorFunction = "rademacher",
        sample_signs: bool = True,
        power: float = 0.5,
        clip: float | None = None,
        damping: float = 0.0,
        curvature_every: int = 1,
        curvature_warmup: int = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "power": power,
            "clip": clip,
            "damping": damping,
        }
        super().__init__(
            params,
            defaults,
            loss=loss,
            factor=factor,
            sample_signs=sample_signs,
            curvature_every=curvature_every,
            curvature_warmup=curvature_warmup,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            seed=seed,
        )

    def _update(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        samples: list[Tensor] | None,
        states: list[dict[str, Any]],
        predictions: Tensor | None,
    ) -> None:
        beta1, beta2 = group["betas"]
        momenta = [state["momentum"] for state in states]
        curvatures = [state["curvature"] for state in states]
        average = _multi_tensor_lehi if self._use_foreach(group, params) else _single_tensor_lehi
        average(grads, samples, momenta, curvatures, beta1=beta1, beta2=beta2)
        self._descend(group, params, states, curvatures, self._curvature_scales(group, states))

    def _curvature_scales(self, group: dict[str, Any], states: list[dict[str, Any]]) -> list[float] | list[Tensor]:
        """What to divide v by: its bias correction, or at power 1, which needs the true scale, what makes it B vh."""
        if group["power"] == 1:
            return [_inverse_scale(state) for state in states]
        return [1 - group["betas"][1] ** state["refreshes"] for state in states]

    def _descend(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        states: list[dict[str, Any]],
        curvatures: list[Tensor],
        curvature_scales: list[float] | list[Tensor],
    ) -> None:
        """Move `params` by the averages; `curvatures / curvature_scales` is what goes inside the power."""
        descend = _multi_tensor_descend if self._use_foreach(group, params) else _single_tensor_descend
        descend(
            params,
            [state["momentum"] for state in states],
            curvatures,
            [1 - group["betas"][0] ** state["step"] for state in states],
            curvature_scales,
            **{name: group[name] for name in ("lr", "weight_decay", "eps", "power", "clip", "damping")},
        )


def _single_tensor_lehi(
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    beta1: float,
    beta2: float,
) -> None:
    """Update the averages of g and, at a refresh, of h^2, in place."""
    for grad, momentum in zip(grads, momenta, strict=True):
        momentum.lerp_(grad, 1 - beta1)
    if samples is not None:
        for sample, curvature in zip(samples, curvatures, strict=True):
            curvature.mul_(beta2).addcmul_(sample, sample, value=1 - beta2)


def _multi_tensor_lehi(
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    beta1: float,
    beta2: float,
) -> None:
    """`_single_tensor_lehi` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    torch._foreach_lerp_(momenta, grads, 1 - beta1)
    if samples is not None:
        torch._foreach_mul_(curvatures, beta2)
        torch._foreach_addcmul_(curvatures, samples, samples, 1 - beta2)

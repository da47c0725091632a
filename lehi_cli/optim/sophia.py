"""Sophia-G: momentum divided by the Gauss-Newton diagonal, and clipped to a sign step where the diagonal is small.

The diagonal is sampled every k steps as B ghat^2, with ghat the gradient for labels drawn from the model itself: the
same second backward pass as LEHI's, with the factor "sampled". Sophia divides at power 1, which the clip makes safe.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.custom import FactorFunction
from lehi_cli.optim.curvature_optimizer import CurvatureOptimizer
from lehi_cli.optim.options import NOT_NEGATIVE


class Sophia(CurvatureOptimizer):
    """Sophia with the Gauss-Newton-Bartlett estimate of the curvature.

    With g the gradient, ghat the curvature sample (shapes of the parameter) and B the number of predictions of a step,
    elementwise:

        m <- b1 m + (1 - b1) g
        h <- b2 h + (1 - b2) B ghat^2                at every `curvature_every`-th step, else h stays
        w <- (1 - lr weight_decay) w - lr clip( m / max(gamma h, eps), -1, 1 )

    Neither average is bias-corrected. No coordinate moves by more than lr (weight decay apart), and one with h = 0
    moves by lr sign(m). The first step refreshes; a parameter that gets its first gradient later waits for the next
    refresh before it moves.

    lr, betas, gamma and weight_decay default to the values in the authors' code; their language models train with lr
    near AdamW's and gamma 0.05, and they advise a gamma that leaves 10 to 50 % of the coordinates unclipped.

    Args:
        params: parameters, named parameters, or parameter groups. A group may set its own lr, betas, gamma, eps,
            weight_decay, maximize and foreach.
        lr: learning rate, in parameter units per unit of the clipped step.
        betas: decay of the averages of g and of B ghat^2.
        gamma: scale of h relative to m: the smaller, the more coordinates are clipped.
        eps: floor of the denominator.
        weight_decay: decoupled: parameters shrink by the factor 1 - lr * weight_decay per step.
        loss: as in `LEHI`.
        factor: as in `LEHI`; `"sampled"` is Sophia's. Others sample the same diagonal with other noise.
        curvature_every: number of steps from one refresh of h to the next.
        curvature_warmup: number of initial steps, all of which refresh.
        foreach: one kernel per operation for all parameters of a group; None: when all of them are on CUDA.
        maximize: climb instead: g is replaced by -g, and the curvature sample stays the same.
        capturable, differentiable, fused: as in `torch.optim`; an error when on.
        seed: seed of the optimizer's own random numbers; torch's global generators are never touched.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group.
        TypeError: for a loss without a known factor; for complex parameters.

    Source: Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training",
    arXiv 2305.14342. The paper's floor of the denominator is 1e-12; the code adds 1e-15.
    """

    RULES = {**CurvatureOptimizer.RULES, "gamma": NOT_NEGATIVE}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.965, 0.99),
        gamma: float = 0.04,
        eps: float = 1e-15,
        weight_decay: float = 0.1,
        *,
        loss: str | nn.Module | Loss | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
        factor: str | FactorFunction = "sampled",
        curvature_every: int = 10,
        curvature_warmup: int = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        seed: int = 0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "gamma": gamma, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params,
            defaults,
            loss=loss,
            factor=factor,
            sample_signs=True,
            curvature_every=curvature_every,
            curvature_warmup=curvature_warmup,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            seed=seed,
        )

    @torch.no_grad()
    def curvature_diagonal(self) -> dict[Tensor, Tensor]:
        """`{parameter: h}`, already on the scale of the GGN's diagonal, but at first too small by 1 - b2^refreshes."""
        return {p: state["curvature"].clone() for p, state in self._refreshed()}

    def _update(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        samples: list[Tensor] | None,
        states: list[dict[str, Any]],
        predictions: Tensor | None,
    ) -> None:
        update = _multi_tensor_sophia if self._use_foreach(group, params) else _single_tensor_sophia
        beta1, beta2 = group["betas"]
        update(
            params,
            grads,
            samples,
            [state["momentum"] for state in states],
            [state["curvature"] for state in states],
            predictions=predictions,
            beta1=beta1,
            beta2=beta2,
            **{name: group[name] for name in ("lr", "gamma", "eps", "weight_decay")},
        )


def sophia_step(momentum: Tensor, curvature: Tensor, *, gamma: float | Tensor, eps: float) -> Tensor:
    """The step before the learning rate: clip( m / max(gamma h, eps), -1, 1 ), of the shape of m and h.

    A pure function, so `torch.vmap` maps it over stacked runs.
    """
    return (momentum / (gamma * curvature).clamp(min=eps)).clamp(-1.0, 1.0)


def _single_tensor_sophia(
    params: list[Tensor],
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    predictions: Tensor | None,
    lr: float,
    beta1: float,
    beta2: float,
    gamma: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Update the averages of g and, at a refresh, of B ghat^2, and then the parameters, in place."""
    for grad, momentum in zip(grads, momenta, strict=True):
        momentum.lerp_(grad, 1 - beta1)
    if samples is not None and predictions is not None:
        for sample, curvature in zip(samples, curvatures, strict=True):
            curvature.mul_(beta2).addcmul_(sample * predictions.to(sample), sample, value=1 - beta2)
    for p, momentum, curvature in zip(params, momenta, curvatures, strict=True):
        step = sophia_step(momentum, curvature, gamma=gamma, eps=eps)
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        p.add_(step, alpha=-lr)


def _multi_tensor_sophia(
    params: list[Tensor],
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    predictions: Tensor | None,
    lr: float,
    beta1: float,
    beta2: float,
    gamma: float,
    eps: float,
    weight_decay: float,
) -> None:
    """`_single_tensor_sophia` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    torch._foreach_lerp_(momenta, grads, 1 - beta1)
    if samples is not None and predictions is not None:
        torch._foreach_mul_(curvatures, beta2)
        scaled = torch._foreach_mul(samples, [predictions.to(sample) for sample in samples])
        torch._foreach_addcmul_(curvatures, scaled, samples, 1 - beta2)
    denominators = torch._foreach_mul(curvatures, gamma)
    torch._foreach_clamp_min_(denominators, eps)
    steps = torch._foreach_div(momenta, denominators)
    torch._foreach_clamp_min_(steps, -1.0)
    torch._foreach_clamp_max_(steps, 1.0)
    if weight_decay != 0:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_add_(params, steps, alpha=-lr)

"""One step down the gradient's average, divided elementwise by a power of a second moment.

The last stage of every diagonal-scaling method. Which second moment it is (of g, of h, a mixture) is decided before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def preconditioned_step(
    momentum: Tensor,
    curvature: Tensor,
    momentum_scale: float | Tensor,
    curvature_scale: float | Tensor,
    *,
    eps: float | Tensor,
    power: float = 0.5,
    clip: float | None = None,
    damping: float | Tensor | None = None,
) -> Tensor:
    """The step before the learning rate: clip( mh / (vh + damping mean(vh) + eps)^power ), within +-clip.

    A pure function. Scalars may be tensors, so `torch.vmap` maps it over stacked runs (seeds, settings).

    Args:
        momentum: average of g, any shape.
        curvature: average of the second moment's samples, of the same shape.
        momentum_scale: mh = momentum / momentum_scale, for bias correction.
        curvature_scale: vh = curvature / curvature_scale, likewise.
        eps: in the unit of vh.
        power: 1/2 or 1.
        clip: bound on the entries; None is no bound.
        damping: in units of mean(vh); None or 0 is no damping.

    Returns:
        The step, of the parameter's shape, in the unit of mh / vh^power.
    """
    denominator = curvature / curvature_scale
    if damping is not None and not (isinstance(damping, float | int) and damping == 0):
        denominator += damping * denominator.mean()
    denominator += eps
    if power == 0.5:
        denominator.sqrt_()
    step = (momentum / momentum_scale).div_(denominator)
    return step if clip is None else step.clamp(-clip, clip)


def _single_tensor_descend(
    params: list[Tensor],
    momenta: list[Tensor],
    curvatures: list[Tensor],
    momentum_scales: list[float],
    curvature_scales: Sequence[float | Tensor],
    *,
    lr: float,
    weight_decay: float,
    eps: float,
    power: float,
    clip: float | None,
    damping: float,
) -> None:
    """Move each parameter in place: w <- (1 - lr weight_decay) w - lr `preconditioned_step`."""
    for p, momentum, curvature, momentum_scale, curvature_scale in zip(
        params, momenta, curvatures, momentum_scales, curvature_scales, strict=True
    ):
        step = preconditioned_step(
            momentum, curvature, momentum_scale, curvature_scale, eps=eps, power=power, clip=clip, damping=damping
        )
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        p.add_(step, alpha=-lr)


def _multi_tensor_descend(
    params: list[Tensor],
    momenta: list[Tensor],
    curvatures: list[Tensor],
    momentum_scales: list[float],
    curvature_scales: list[float] | list[Tensor],
    *,
    lr: float,
    weight_decay: float,
    eps: float,
    power: float,
    clip: float | None,
    damping: float,
) -> None:
    """`_single_tensor_descend` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    denominators = torch._foreach_div(curvatures, curvature_scales)
    if damping != 0:
        torch._foreach_add_(denominators, [damping * denominator.mean() for denominator in denominators])
    torch._foreach_add_(denominators, eps)
    if power == 0.5:
        torch._foreach_sqrt_(denominators)
    steps = torch._foreach_div(momenta, momentum_scales)
    torch._foreach_div_(steps, denominators)
    if clip is not None:
        torch._foreach_clamp_min_(steps, -clip)
        torch._foreach_clamp_max_(steps, clip)
    if weight_decay != 0:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_add_(params, steps, alpha=-lr)

"""One step down the averaged gradient, divided elementwise by a power of a second moment.

This is the last stage of every diagonal-scaling method. Which second moment it is (of g, of h, a mixture) is decided
before. Without clipping there is a shortcut. With s and c the scales, vh = v / s and mh = m / c, the step is

    mh / (vh + damping mean(vh) + eps)^power  =  (s^power / c)  m / (v + damping mean(v) + s eps)^power,

which needs no tensors for mh and vh. It is used only for scales that are numbers: 1/B may be so small that s eps is 0.
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
        clip: bound on the entries; None for no bound.
        damping: in units of mean(vh); None or 0 for no damping.

    Returns:
        The step, of the parameter's shape, in the unit of mh / vh^power.
    """
    denominator = _denominator(curvature / curvature_scale, eps, power, damping)
    step = (momentum / momentum_scale).div_(denominator)
    return step if clip is None else step.clamp(-clip, clip)


def _denominator(curvature: Tensor, eps: float | Tensor, power: float, damping: float | Tensor | None) -> Tensor:
    """(v + damping mean(v) + eps)^power."""
    shift = eps
    if damping is not None and not (isinstance(damping, float | int) and damping == 0):
        shift = damping * curvature.mean() + eps
    denominator = curvature + shift
    return denominator.sqrt_() if power == 0.5 else denominator


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
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        if clip is None and not isinstance(curvature_scale, Tensor):
            denominator = _denominator(curvature, curvature_scale * eps, power, damping)
            p.addcdiv_(momentum, denominator, value=float(-lr * (curvature_scale**power / momentum_scale)))
        else:
            step = preconditioned_step(
                momentum, curvature, momentum_scale, curvature_scale, eps=eps, power=power, clip=clip, damping=damping
            )
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
    if weight_decay != 0:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    if clip is None and not isinstance(curvature_scales[0], Tensor):
        shifts = [scale * eps for scale in curvature_scales]
        denominators = _denominators(curvatures, shifts, power, damping)
        pairs = zip(curvature_scales, momentum_scales, strict=True)
        factors = [float(-lr * (scale**power / momentum_scale)) for scale, momentum_scale in pairs]
        torch._foreach_addcdiv_(params, momenta, denominators, factors)
        return
    seconds = torch._foreach_div(curvatures, curvature_scales)
    steps = torch._foreach_div(momenta, momentum_scales)
    torch._foreach_div_(steps, _denominators(list(seconds), [eps] * len(params), power, damping))
    if clip is not None:
        torch._foreach_clamp_min_(steps, -clip)
        torch._foreach_clamp_max_(steps, clip)
    torch._foreach_add_(params, steps, alpha=-lr)


def _denominators(curvatures: list[Tensor], eps: list[float], power: float, damping: float) -> tuple[Tensor, ...]:
    """`_denominator` of each curvature."""
    if damping == 0:
        denominators = torch._foreach_add(curvatures, eps)
    else:
        pairs = zip(curvatures, eps, strict=True)
        denominators = torch._foreach_add(
            curvatures, [damping * curvature.mean() + shift for curvature, shift in pairs]
        )
    if power == 0.5:
        torch._foreach_sqrt_(denominators)
    return denominators

"""Whether a loss is what it claims: averaged over D predictions, with a factor of its own Hessian in the outputs."""

import math

import torch
from torch import Tensor

from lehi_cli.curvature.loss import Loss, working_dtype
from lehi_cli.curvature.output_hessian import output_hessian_product

DRAWS = 4000
_DIRECTIONS = 4
_ROUNDING = 1e-3


def check_loss(
    loss: Loss, outputs: Tensor, targets: Tensor, *, draws: int = DRAWS, generator: torch.Generator | None = None
) -> float:
    """Check a loss against autograd on one small batch.

    With H the Hessian of the loss (of its `split`) in the outputs, differentiated twice, and u four random directions:

        D loss of the batch twice over = 2 D loss of the batch        it averages over D predictions
        hessian_product(u) = H u
        u^T H u = D E[(v . u)^2]                                      the factor, within four standard errors

    A loss that averages over rows but declares elements passes the first and fails the last.

    Args:
        loss: the loss to check.
        outputs: a few rows, [N, ...], are enough; they must not be special.
        targets: as the loss takes them, [N, ...].
        draws: number of factors v to average over.
        generator: source of the random numbers, on the outputs' device; None is torch's global one.

    Returns:
        The ratio of sampled to exact curvature along the direction where they differ most; 1 where both are 0.

    Raises:
        ValueError: saying which of the three does not hold, with both numbers.
    """
    outputs = outputs.detach().to(working_dtype(outputs))
    _check_average(loss, outputs, targets)
    shape = (_DIRECTIONS, *outputs.shape)
    along = torch.randn(shape, dtype=outputs.dtype, device=outputs.device, generator=generator)
    products = torch.stack([output_hessian_product(lambda p: loss.split(p, targets), outputs, u) for u in along])
    _check_product(loss.hessian_product(outputs, targets, along[0]), products[0])
    exact = (along * products).flatten(1).sum(1)
    flat = along.flatten(1)
    samples = [flat @ loss.factor(outputs, targets, generator=generator).flatten() for _ in range(draws)]
    sampled = loss.predictions(outputs, targets) * torch.stack(samples).square().mean(0)
    pairs = zip(exact.tolist(), sampled.tolist(), strict=True)
    return max((_ratio(*pair, draws) for pair in pairs), key=lambda ratio: abs(ratio - 1))


def _ratio(exact: float, sampled: float, draws: int) -> float:
    if sampled == exact == 0:
        return 1.0
    ratio = sampled / exact if exact else math.inf
    # The mean of squared Gaussians has a relative variance of 2 / draws.
    if not abs(ratio - 1) < 4 * math.sqrt(2 / draws):
        raise ValueError(
            f"sampled curvature {sampled:.4g} against exact {exact:.4g}: the factor v must have E[v v^T] = the Hessian "
            "of what is averaged, in the outputs"
        )
    return ratio


def _check_average(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    (value, count), (value_twice, count_twice) = (
        _value_and_count(loss, torch.cat([outputs] * times), torch.cat([targets] * times)) for times in (1, 2)
    )
    total, doubled = value * count, value_twice * count_twice
    if not abs(doubled - 2 * total) <= _ROUNDING * max(abs(doubled), abs(total)):
        raise ValueError(
            f"the loss is {value:.4g} on a batch and {value_twice:.4g} on the same batch twice, averaged over "
            f"{count:g} and {count_twice:g} predictions as it says: a mean stays, a sum doubles (predictions='sum')"
        )


def _value_and_count(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[float, float]:
    value = loss(outputs, targets)
    if value.ndim != 0:
        raise ValueError(f"the loss must be a scalar, got shape {list(value.shape)}")
    return float(value), float(loss.predictions(outputs, targets))


def _check_product(product: Tensor, exact: Tensor) -> None:
    off, scale = float((product - exact).norm()), max(float(product.norm()), float(exact.norm()))
    if not off <= _ROUNDING * scale:
        raise ValueError(
            f"hessian_product has norm {float(product.norm()):.4g} against {float(exact.norm()):.4g} of the loss "
            f"differentiated twice, and is {off:.4g} away"
        )

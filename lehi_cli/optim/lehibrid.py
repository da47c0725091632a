"""LEHIBRID: LEHI and Adam in one second moment.

LEHI's h vanishes on samples the model is sure of, right or wrong, but the gradient of a wrong one does not, so nothing
bounds the step. Adam's g^2 does. LEHIBRID divides by both: by a mixture, or by whichever is larger.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lehi_cli.optim.lehi import LEHI, _multi_tensor_lehi, _single_tensor_lehi
from lehi_cli.optim.options import is_number

HYBRIDS = ("mix", "max")


class LEHIBRID(LEHI):
    """LEHI with the squared gradient in its second moment.

    With g the gradient and h the curvature sample of a step (shapes of the parameter), elementwise:

        m <- b1 m + (1 - b1) g                                     mh = m / (1 - b1^step)
        "mix":  v <- b2 v + (1 - b2) (theta h^2 + (1 - theta) g^2)    vh = v / (1 - b2^refreshes)
        "max":  v <- b2 v + (1 - b2) h^2,  s <- b2 s + (1 - b2) g^2
                vh = max( v / (1 - b2^refreshes), s / (1 - b2^step) )
        w <- (1 - lr weight_decay) w - lr clip( mh / (vh + damping mean(vh) + eps)^power )

    "mix" is Adam with eps inside the root at theta = 0, and LEHI at theta = 1. Between refreshes v does not change; s
    is updated at every step. At power 1, vh is replaced by B vh. `curvature_diagonal` estimates diag(GGN) under "max";
    under "mix" it is B vh too, an estimate of theta diag(GGN) + (1 - theta) B E[g^2].

    Args:
        params, lr, betas, eps, weight_decay: as in `LEHI`.
        hybrid: `"mix"` or `"max"` (a third state per parameter).
        theta: share of h^2 in the mixture, in [0, 1]; a group may set its own.
        options: all other options of `LEHI`.

    Raises:
        ValueError: for an option that is out of range, in the constructor or in a group.
        TypeError: for an option that is unknown; for a loss without a known factor; for complex parameters.

    Source: the name is from Zhu et al., arXiv 2605.06945; both rules are this project's reading (docs/lehi.md).
    """

    RULES = {
        **LEHI.RULES,
        "hybrid": (lambda v: v in HYBRIDS, f"one of {', '.join(HYBRIDS)}"),
        "theta": (lambda v: is_number(v, 0.0, 1.0), "a number in [0, 1]"),
    }
    SHARED = LEHI.SHARED | {"hybrid"}
    LAYOUT = ("hybrid",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        hybrid: str = "mix",
        theta: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, **options)
        self._add_defaults(hybrid=hybrid, theta=theta)

    @property
    def hybrid(self) -> str:
        """How the two second moments are combined."""
        hybrid: str = self.param_groups[0]["hybrid"]
        return hybrid

    def _init_state(self, param: Tensor) -> dict[str, Any]:
        state = super()._init_state(param)
        if self.hybrid == "max":
            state["squared_gradient"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return state

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
        foreach = self._use_foreach(group, params)
        momenta = [state["momentum"] for state in states]
        curvatures = [state["curvature"] for state in states]
        scales = self._curvature_scales(group, states)
        if self.hybrid == "mix":
            mix = _multi_tensor_mix if foreach else _single_tensor_mix
            mix(grads, samples, momenta, curvatures, beta1=beta1, beta2=beta2, theta=group["theta"])
        else:
            average = _multi_tensor_lehi if foreach else _single_tensor_lehi
            average(grads, samples, momenta, curvatures, beta1=beta1, beta2=beta2)
            corrections = [1 - beta2 ** state["refreshes"] for state in states]
            squares = [state["squared_gradient"] for state in states]
            square_corrections = [1 - beta2 ** state["step"] for state in states]
            larger = _multi_tensor_max if foreach else _single_tensor_max
            curvatures = larger(grads, curvatures, squares, corrections, square_corrections, beta2=beta2)
            # The bias is corrected already: what is left to divide by is 1, or 1/B at power 1.
            scales = [scale / correction for scale, correction in zip(scales, corrections, strict=True)]
        self._descend(group, params, states, curvatures, scales)


def _single_tensor_mix(
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    beta1: float,
    beta2: float,
    theta: float,
) -> None:
    """Update the averages of g and, at a refresh, of theta h^2 + (1 - theta) g^2, in place."""
    for grad, momentum in zip(grads, momenta, strict=True):
        momentum.lerp_(grad, 1 - beta1)
    if samples is not None:
        for grad, sample, curvature in zip(grads, samples, curvatures, strict=True):
            curvature.mul_(beta2).addcmul_(sample, sample, value=(1 - beta2) * theta)
            curvature.addcmul_(grad, grad, value=(1 - beta2) * (1 - theta))


def _multi_tensor_mix(
    grads: list[Tensor],
    samples: list[Tensor] | None,
    momenta: list[Tensor],
    curvatures: list[Tensor],
    *,
    beta1: float,
    beta2: float,
    theta: float,
) -> None:
    """`_single_tensor_mix` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    torch._foreach_lerp_(momenta, grads, 1 - beta1)
    if samples is not None:
        torch._foreach_mul_(curvatures, beta2)
        torch._foreach_addcmul_(curvatures, samples, samples, (1 - beta2) * theta)
        torch._foreach_addcmul_(curvatures, grads, grads, (1 - beta2) * (1 - theta))


def _single_tensor_max(
    grads: list[Tensor],
    curvatures: list[Tensor],
    squares: list[Tensor],
    corrections: list[float],
    square_corrections: list[float],
    *,
    beta2: float,
) -> list[Tensor]:
    """Update the averages of g^2 in place, and return the larger of the two bias-corrected second moments."""
    larger = []
    for grad, curvature, square, correction, square_correction in zip(
        grads, curvatures, squares, corrections, square_corrections, strict=True
    ):
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        larger.append(torch.maximum(curvature / correction, square / square_correction))
    return larger


def _multi_tensor_max(
    grads: list[Tensor],
    curvatures: list[Tensor],
    squares: list[Tensor],
    corrections: list[float],
    square_corrections: list[float],
    *,
    beta2: float,
) -> list[Tensor]:
    """`_single_tensor_max` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    larger = torch._foreach_div(curvatures, corrections)
    return list(torch._foreach_maximum(larger, torch._foreach_div(squares, square_corrections)))

"""What Hessian-free and SFN share: they are handed the mini-batch and evaluate it as often as they like.

They compute the gradient and the curvature themselves, from a function that returns outputs and targets, and fall back
from their method to something simpler where the numbers require it. Fallbacks are counted, by reason.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss, make_loss
from lehi_cli.optim.checked import CheckedOptimizer, shared_option
from lehi_cli.optim.options import CONVENTIONS, NOT_NEGATIVE, Rule, off

BAD_GRADIENT = "non-finite gradient"


class Forward(Protocol):
    """The function that a step is given, and calls as `forward()` or `forward(slice(0, 32))`."""

    def __call__(self, rows: slice = ..., /) -> tuple[Tensor, Tensor]:
        """Outputs of some rows of the mini-batch, with their graph when gradients are enabled, and their targets."""


def evaluated(closure: Forward | None) -> tuple[Forward, tuple[Tensor, Tensor]]:
    """The function that a step was given, and the outputs and targets of the whole mini-batch from its first call.

    Raises:
        TypeError: when it is not such a function; other optimizers' closures are not.
    """
    pair = closure() if callable(closure) else closure
    if closure is None or not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(
            "step takes a function that returns outputs and targets, "
            "step(lambda rows=slice(None): (model(x[rows]), y[rows])), and computes the loss from them; "
            f"got {type(pair).__name__}"
        )
    outputs, targets = pair
    return closure, (outputs, targets)


class WholeBatchOptimizer(CheckedOptimizer):
    """Base class of optimizers that evaluate the mini-batch themselves. All options but lr are shared by all groups.

    Attributes:
        REASONS: what `fallbacks` counts.
        diagnostics: numbers of the last step.
    """

    REASONS: ClassVar[tuple[str, ...]] = (BAD_GRADIENT,)
    RULES: ClassVar[dict[str, Rule]] = {
        **CONVENTIONS,
        "lr": NOT_NEGATIVE,
        "loss": (lambda v: isinstance(v, str), "the name of a loss"),
        "fallbacks": (lambda v: isinstance(v, dict), "counts by reason"),
        "maximize": off("the step is the minimum of a model of the loss, which has no maximum"),
        "foreach": off("all parameters are one vector here already"),
        "fused": off("there is no fused kernel"),
    }
    SHARED = frozenset(RULES) - {"lr"}

    def __init__(self, params: Iterable[Any], loss: str | nn.Module | Loss, **defaults: Any) -> None:
        self.loss = make_loss(loss)
        self.diagnostics: dict[str, float] = {}
        counts = dict.fromkeys(self.REASONS, 0)
        super().__init__(params, {**defaults, "loss": type(self.loss).__name__, "fallbacks": counts})

    damping = shared_option("damping", "What is added to the curvature at the coming step.")

    @property
    def fallbacks(self) -> dict[str, int]:
        """How often a step had to depart from the method, by reason."""
        return {reason: count for reason, count in self.param_groups[0]["fallbacks"].items() if count}

    def _fell_back(self, reason: str, times: int = 1) -> None:
        counts = self.param_groups[0]["fallbacks"]
        self._set_all(fallbacks={**counts, reason: counts.get(reason, 0) + times})

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _prepare(self, name: str) -> None:
        """Create zeros for the one vector that is kept from step to step, where there is none yet.

        This covers all parameters: torch.distributed.checkpoint reads back only what every parameter has.
        """
        for p in self._parameters():
            if p.requires_grad and name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p, memory_format=torch.preserve_format)

    def _restore(self, state_dict: dict[str, Any]) -> None:
        self._set_all(loss=type(self.loss).__name__)

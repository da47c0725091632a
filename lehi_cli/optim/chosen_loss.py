"""From an optimizer's `loss` and `factor` arguments to a loss and the kind of its factor."""

from typing import Any

from lehi_cli.curvature import FACTOR_KINDS, CustomLoss, Loss, make_loss
from lehi_cli.curvature.custom import FactorFunction
from lehi_cli.curvature.resolve import is_known
from lehi_cli.optim.options import check_options

CUSTOM = "custom"
"""The kind of a factor that the user gives as a function."""


def choose_loss(loss: Any, factor: str | FactorFunction) -> tuple[Loss, str]:
    """The loss, and the kind of its factor: one of `FACTOR_KINDS`, or `CUSTOM`.

    Raises:
        ValueError: for an unknown name of a loss or a factor, or a factor that the loss does not have.
        TypeError: for a loss without a known factor, or a factor that is neither a string nor callable.
    """
    if callable(factor):
        known = make_loss(loss) if is_known(loss) else loss
        return CustomLoss(known, factor, known.predictions if isinstance(known, Loss) else None), CUSTOM
    if factor == CUSTOM and isinstance(loss, CustomLoss):
        return loss, CUSTOM
    allowed = f"one of {', '.join(FACTOR_KINDS)} or a callable"
    if not isinstance(factor, str):
        raise TypeError(f"factor must be {allowed}, got {factor!r}")
    check_options({"factor": factor}, {"factor": (lambda v: v in FACTOR_KINDS, allowed)})
    resolved = make_loss(loss)
    resolved.require_factor(factor)
    return resolved, CUSTOM if isinstance(resolved, CustomLoss) else factor


def kind_of(factor: str) -> str:
    """The kind to ask `Loss.factor` for; a factor given as a function ignores it."""
    return FACTOR_KINDS[0] if factor == CUSTOM else factor

"""Options that many optimizers have, each worded once."""

from __future__ import annotations

from lehi_cli.registry.record import Option

POSITIVE = "[0, inf)"
COUNT = "[1, inf)"


def lr(default: float) -> Option:
    """The learning rate."""
    return Option("lr", default, "learning rate", within=POSITIVE)


def betas(default: tuple[float, float] = (0.9, 0.999)) -> Option:
    """Decay of two moments."""
    return Option("betas", default, "decay of the first and second moment", within="[0, 1)")


def eps(default: float, place: str = "added to the root of the second moment") -> Option:
    """The number that keeps a denominator from zero, and where it is added."""
    return Option("eps", default, place, within=POSITIVE)


def decay(default: float, how: str) -> Option:
    """Weight decay, and how it acts."""
    return Option("weight_decay", default, f"weight decay, {how}", within=POSITIVE)


L2 = "added to the gradient"
DECOUPLED = "decoupled from the gradient"


def factor(default: str) -> Option:
    """The factor of the loss Hessian that is pulled back."""
    return Option("factor", default, "factor of the loss Hessian that makes the auxiliary loss", FACTORS)


def curvature_every(default: int) -> Option:
    """The period of the auxiliary gradients."""
    return Option("curvature_every", default, "steps from one auxiliary gradient to the next", within=COUNT)


def curvature_warmup() -> Option:
    """The number of first steps that each take an auxiliary gradient."""
    return Option("curvature_warmup", 0, "first steps that each take an auxiliary gradient", within=POSITIVE)


FACTORS = ("rademacher", "true_vs_rest", "diagonal", "sampled")

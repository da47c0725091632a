"""Levenberg-Marquardt damping: trust the quadratic model as far as it has just been right.

The model predicts a change phi(u) of the loss; the step brings about another. Their ratio rho is near 1 where the model
is good, and then the damping goes down; rho is small or negative where the model is poor, and then the damping goes up.
"""

_RAISE, _LOWER = 3 / 2, 2 / 3
_POOR, _GOOD = 1 / 4, 3 / 4


def reduction_ratio(before: float, after: float, phi: float) -> float:
    """The ratio rho = (f(w + u) - f(w)) / phi(u), for a model that predicts phi(u) < 0."""
    return (after - before) / phi


def adjusted_damping(damping: float, rho: float) -> float:
    """3/2 of `damping` for rho < 1/4 (or nan), 2/3 of it for rho > 3/4, else unchanged. A damping of 0 stays 0."""
    if not rho >= _POOR:
        return damping * _RAISE
    return damping * _LOWER if rho > _GOOD else damping

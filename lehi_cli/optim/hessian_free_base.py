"""What plain and block-diagonal Hessian-free optimization share: the frame of a step, and one damped solve in it.

A step asks for the outputs of the mini-batch, differentiates the loss once, and hands (G + damping I) u = -g to the
conjugate gradients, for all parameters or for a block of them. What becomes of u is the optimizers' own affair.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss, make_loss
from lehi_cli.curvature.cg import NEGATIVE, NON_FINITE, CGResult, conjugate_gradient
from lehi_cli.curvature.loss import working_dtype
from lehi_cli.curvature.products import GaussNewton, flatten, unflatten
from lehi_cli.optim.checked import CheckedOptimizer
from lehi_cli.optim.damping import adjusted_damping, reduction_ratio
from lehi_cli.optim.options import check_flag, check_integer, check_number

COLD = "useless warm start"
BAD_GRADIENT = "non-finite gradient"


class Forward(Protocol):
    """What a step is given, and calls as `forward()` or `forward(slice(0, 32))`."""

    def __call__(self, rows: slice = ..., /) -> tuple[Tensor, Tensor]:
        """Outputs of some rows of the mini-batch, attached to their graph when gradients are on, and their targets."""


def evaluated(forward: Forward) -> tuple[Tensor, Tensor]:
    """Outputs and targets of the whole mini-batch, the first time they are asked for.

    Raises:
        TypeError: when `forward` is not such a function, as the closures of other optimizers are not.
    """
    pair = forward() if callable(forward) else forward
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(
            "step takes a function that returns outputs and targets, "
            "step(lambda rows=slice(None): (model(x[rows]), y[rows])), and computes the loss from them; "
            f"got {type(pair).__name__}"
        )
    outputs, targets = pair
    return outputs, targets


class HessianFreeBase(CheckedOptimizer):
    """Base of the optimizers that solve for their step by conjugate gradients.

    Subclasses implement `_advance`: the step, from a `Problem`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        loss: str | nn.Module | Loss,
        max_cg: int,
        eps_cg: float,
        zeta: float,
        damping: float,
        adaptive_damping: bool,
        curvature_fraction: float,
    ) -> None:
        check_integer("max_cg", max_cg, 1)
        check_number("eps_cg", eps_cg)
        check_number("zeta", zeta, most=1.0)
        check_number("damping", damping)
        check_number("curvature_fraction", curvature_fraction, most=1.0)
        if curvature_fraction == 0:
            raise ValueError("curvature_fraction must be in (0, 1], got 0")
        check_flag("adaptive_damping", adaptive_damping)
        self.loss = make_loss(loss)
        self.max_cg = max_cg
        self.eps_cg = eps_cg
        self.zeta = zeta
        self.damping = float(damping)
        self.adaptive_damping = adaptive_damping
        self.curvature_fraction = curvature_fraction
        self.fallbacks: dict[str, int] = {}
        self.diagnostics: dict[str, float] = {}
        super().__init__(params, {"lr": lr})

    def _check_group(self, options: dict[str, Any]) -> None:
        check_number("lr", options["lr"])

    def step(self, forward: Forward) -> Tensor:  # type: ignore[override]
        """One update from one mini-batch.

        Args:
            forward: `forward(rows=slice(None))` -> (outputs, targets) of those rows of the mini-batch, at the weights
                of the moment and, where gradients are on, attached to their graph. It is called several times, and
                must be the same function every time: the same dropout masks, BatchNorm not moved on. `.grad` is
                neither read nor written.

        Returns:
            The mini-batch's loss before the step, detached.

        Raises:
            RuntimeError: for sparse gradients, and for a model that cannot be differentiated twice.
        """
        with torch.enable_grad():
            places = [i for i, p in enumerate(self._parameters()) if p.requires_grad]
            params = [self._parameters()[i] for i in places]
            outputs, targets = evaluated(forward)
            loss = self.loss(outputs, targets)
            self.diagnostics = {"cg_iterations": 0.0, "products": 0.0, "damping": self.damping}
            if not params:
                return loss.detach()
            whole = self.curvature_fraction == 1.0
            gradient = self._gradient(loss, params, keep_graph=whole)
            if not bool(gradient.isfinite().all()):
                self._fell_back(BAD_GRADIENT)
            elif bool(gradient.any()):
                if not whole:
                    outputs, targets = forward(slice(max(1, round(self.curvature_fraction * len(targets)))))
                problem = Problem(params, places, loss.detach(), gradient, outputs, targets, forward)
                self._advance(problem)
        return loss.detach()

    @abstractmethod
    def _advance(self, problem: "Problem") -> None:
        """Move the parameters; the gradient is finite and not zero."""

    def state_dict(self) -> dict[str, Any]:
        """As in torch, and under `"hessian_free"` the damping reached and the fallbacks counted."""
        own = {"damping": self.damping, "fallbacks": dict(self.fallbacks)}
        return {**super().state_dict(), "hessian_free": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch; the next step is the one that the saved optimizer would have taken.

        Raises:
            ValueError: when `state_dict` comes from another kind of optimizer.
        """
        saved = self._saved(state_dict, "hessian_free")
        super().load_state_dict(state_dict)
        self.damping, self.fallbacks = saved["damping"], dict(saved["fallbacks"])

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _gradient(self, loss: Tensor, params: list[Tensor], keep_graph: bool) -> Tensor:
        """g, [d], in float32 or wider: what the conjugate gradients work in."""
        grads = torch.autograd.grad(loss, params, retain_graph=keep_graph, allow_unused=True)
        self._refuse_sparse(grads)
        flat = flatten([torch.zeros_like(p) if g is None else g for g, p in zip(grads, params, strict=True)])
        return flat.to(working_dtype(flat))

    def _solve(
        self, operator: GaussNewton, gradient: Tensor, preconditioner: Tensor | None = None, keep_iterates: bool = False
    ) -> CGResult:
        """A u with phi(u) < 0 for (G + damping I) u = -g, or u = 0; what went wrong is counted in `fallbacks`.

        The warm start is zeta times the last solution; one that leads nowhere (phi >= 0 at the end) is dropped, and the
        solve starts again from 0. From there every iterate has phi < 0, so without one the first product was at fault.
        If it was not finite, u = 0. If it showed negative curvature, u = -g / (|c| + damping) with c = p^T G p / p^T p,
        the curvature it showed.
        """

        def damped(vector: Tensor) -> Tensor:
            return operator.product(vector) + self.damping * vector

        start = self._warm_start(operator.params, gradient)
        products = 0
        for attempt in (start, None):
            result = conjugate_gradient(
                damped,
                gradient,
                attempt,
                max_iterations=self.max_cg,
                tolerance=self.eps_cg,
                preconditioner=preconditioner,
                keep_iterates=keep_iterates,
            )
            products += result.products
            if result.reason in (NEGATIVE, NON_FINITE):
                self._fell_back(result.reason)
            if result.phi < 0 or attempt is None:
                break
            self._fell_back(COLD)
        if not result.phi < 0:
            result = _without_iterate(result, gradient, self.damping)
        self.diagnostics["cg_iterations"] += result.iterations
        self.diagnostics["products"] += products
        self._remember(operator.params, result.solution)
        return result

    def _warm_start(self, params: list[Tensor], gradient: Tensor) -> Tensor | None:
        """Zeta times the last solution; None where that is 0."""
        if not any(p in self.state for p in params):
            return None
        last = [self.state[p]["solution"] if p in self.state else torch.zeros_like(p) for p in params]
        start = self.zeta * flatten(last).to(gradient.dtype)
        return start if bool(start.any()) else None

    def _remember(self, params: list[Tensor], solution: Tensor) -> None:
        for p, piece in zip(params, unflatten(solution, params), strict=True):
            self.state[p]["solution"] = piece.clone()

    def _fell_back(self, reason: str) -> None:
        self.fallbacks[reason] = self.fallbacks.get(reason, 0) + 1

    def _scaled(self, solution: Tensor, problem: "Problem") -> Tensor:
        """The solution times the learning rates of its parameters' groups."""
        rates = [float(group["lr"]) for group in self.param_groups for _ in group["params"]]
        if all(rates[place] == 1.0 for place in problem.places):
            return solution
        pieces = solution.split([p.numel() for p in problem.params])
        return torch.cat([rates[place] * piece for place, piece in zip(problem.places, pieces, strict=True)])

    def _adapt_damping(self, before: float, after: float, phi: float) -> None:
        """Follow rho; without a step that lowers the model (phi >= 0) the damping goes up."""
        rho = reduction_ratio(before, after, phi) if phi < 0 else math.nan
        if math.isfinite(rho):
            self.diagnostics["rho"] = rho
        self.damping = adjusted_damping(self.damping, rho)


@dataclass(frozen=True)
class Problem:
    """What a step starts from: the d trainable parameters, f, its gradient, and outputs on the curvature's rows.

    Attributes:
        params: the parameters that require a gradient.
        places: their positions among all parameters of the optimizer.
        loss: f(w).
        gradient: g, [d].
        outputs: outputs of the rows that the curvature is taken on, with their graph.
        targets: their targets.
        forward: as `step` was given it.
    """

    params: list[Tensor]
    places: list[int]
    loss: Tensor
    gradient: Tensor
    outputs: Tensor
    targets: Tensor
    forward: Forward


class Trial:
    """f(w + step) on the whole mini-batch, for one step after another from the same w."""

    def __init__(self, problem: Problem, loss: Loss) -> None:
        self._problem, self._loss = problem, loss
        self._origin = [p.detach().clone() for p in problem.params]

    @torch.no_grad()
    def __call__(self, step: Tensor) -> float:
        """f(w + step), infinite where it is no number."""
        self.settle(step)
        value = float(self._loss(*self._problem.forward()))
        return math.inf if math.isnan(value) else value

    @torch.no_grad()
    def settle(self, step: Tensor) -> None:
        """Set the parameters to w + step, [d]; the sum is taken in the step's dtype."""
        params = self._problem.params
        pieces = step.split([p.numel() for p in params])
        for p, start, piece in zip(params, self._origin, pieces, strict=True):
            p.copy_(start + piece.view(p.shape))


def _without_iterate(result: CGResult, gradient: Tensor, damping: float) -> CGResult:
    """What stands in for a solution that lowers the model, when the conjugate gradients from 0 found none."""
    if result.reason != NEGATIVE:
        return CGResult(torch.zeros_like(gradient), 0.0, 0, 0, result.reason, math.nan)
    scale = abs(result.curvature - damping) + damping
    solution = -gradient / scale if scale > 0 else torch.zeros_like(gradient)
    phi = 0.5 * float(gradient.dot(solution))  # of the model with |c| in the place of G
    return CGResult(solution, phi, 0, 0, result.reason, result.curvature, ((0, solution),))

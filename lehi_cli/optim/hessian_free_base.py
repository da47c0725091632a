"""What plain and block-diagonal Hessian-free optimization share: the outline of a step, and one damped solve in it.

A step asks for the outputs of the mini-batch, differentiates the loss once, and hands (G + damping I) u = -g to
conjugate gradients, for all parameters or for a block of them. What is done with u is up to each optimizer.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.cg import NEGATIVE, NON_FINITE, CGResult, conjugate_gradient
from lehi_cli.curvature.loss import working_dtype
from lehi_cli.curvature.products import GaussNewton, flatten, unflatten
from lehi_cli.optim.checked import eager, shared_option
from lehi_cli.optim.damping import adjusted_damping, reduction_ratio
from lehi_cli.optim.options import FLAG, NOT_NEGATIVE, is_integer, is_number
from lehi_cli.optim.whole_batch import BAD_GRADIENT, Forward, WholeBatchOptimizer, evaluated

COLD = "useless warm start"


class HessianFreeBase(WholeBatchOptimizer):
    """Base class of the optimizers that solve for their step by conjugate gradients.

    Subclasses implement `_advance`: the step, from a `Problem`. A parameter's state is its part of the last `solution`.
    """

    REASONS = (NEGATIVE, NON_FINITE, COLD, *WholeBatchOptimizer.REASONS)
    RULES = {
        **WholeBatchOptimizer.RULES,
        "max_cg": (lambda v: is_integer(v, 1), "an integer >= 1"),
        "eps_cg": NOT_NEGATIVE,
        "zeta": (lambda v: is_number(v, 0.0, 1.0), "a number in [0, 1]"),
        "damping": NOT_NEGATIVE,
        "adaptive_damping": FLAG,
        "curvature_fraction": (lambda v: is_number(v, 0.0, 1.0) and v > 0, "a number in (0, 1]"),
    }
    SHARED = frozenset(RULES) - {"lr"}

    max_cg = shared_option("max_cg", "Most conjugate gradient iterations per solve.")
    eps_cg = shared_option("eps_cg", "The stopping rule's least relative progress per iteration.")
    zeta = shared_option("zeta", "Decay of the last solution where the next starts.")
    adaptive_damping = shared_option("adaptive_damping", "Whether the damping follows rho.")
    curvature_fraction = shared_option("curvature_fraction", "Part of the mini-batch that G is taken on.")

    def __init__(self, params: Iterable[Any], *, loss: str | nn.Module | Loss, **options: Any) -> None:
        super().__init__(params, loss, **options)

    @eager
    def step(self, closure: Forward | None = None) -> Tensor | None:  # type: ignore[override]
        """One update from one mini-batch: `opt.step(lambda rows=slice(None): (model(x[rows]), y[rows]))`.

        Args:
            closure: `closure(rows=slice(None))` -> (outputs, targets) of those rows of the mini-batch, at the current
                weights and, where gradients are enabled, attached to their graph. It is called several times and must
                be the same function every time: the same dropout masks, no update of BatchNorm's statistics. `.grad`
                is neither read nor written.

        Returns:
            The mini-batch's loss before the step, detached.

        Raises:
            TypeError: for anything but such a function.
            RuntimeError: for sparse gradients, and for a model that cannot be differentiated twice.
        """
        if self._only_prepares(closure):
            self._prepare("solution")
            return None
        with torch.enable_grad():
            places = [i for i, p in enumerate(self._parameters()) if p.requires_grad]
            params = [self._parameters()[i] for i in places]
            forward, (outputs, targets) = evaluated(closure)
            loss: Tensor = self.loss(outputs, targets)
            self.diagnostics = {"cg_iterations": 0.0, "products": 0.0, "damping": self.damping}
            if not params:
                return loss.detach()
            self._prepare("solution")
            whole = self.curvature_fraction == 1.0
            gradient = self._gradient(loss, params, keep_graph=whole)
            if not bool(gradient.isfinite().all()):
                self._fell_back(BAD_GRADIENT)
            elif bool(gradient.any()):
                if not whole:
                    outputs, targets = forward(slice(max(1, round(self.curvature_fraction * len(targets)))))
                self._advance(Problem(params, places, loss.detach(), gradient, outputs, targets, forward))
        return loss.detach()

    @abstractmethod
    def _advance(self, problem: "Problem") -> None:
        """Move the parameters; the gradient is finite and not zero."""

    def _gradient(self, loss: Tensor, params: list[Tensor], keep_graph: bool) -> Tensor:
        """g, [d], in float32 or wider, the precision of the conjugate gradients."""
        grads = torch.autograd.grad(loss, params, retain_graph=keep_graph, allow_unused=True)
        self._refuse_sparse(grads)
        flat = flatten([torch.zeros_like(p) if g is None else g for g, p in zip(grads, params, strict=True)])
        return flat.to(working_dtype(flat))

    def _solve(
        self, operator: GaussNewton, gradient: Tensor, preconditioner: Tensor | None = None, keep_iterates: bool = False
    ) -> CGResult:
        """A u with phi(u) < 0 for (G + damping I) u = -g, or u = 0; what went wrong is counted in `fallbacks`.

        The warm start is zeta times the last solution; one that leads nowhere (phi >= 0 at the end) is dropped, and the
        solve starts again from 0. From 0 every iterate has phi < 0, so if there is none the first product was at fault.
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
        start = self.zeta * flatten([self.state[p]["solution"] for p in params]).to(gradient.dtype)
        return start if bool(start.any()) else None

    def _remember(self, params: list[Tensor], solution: Tensor) -> None:
        for p, piece in zip(params, unflatten(solution, params), strict=True):
            self.state[p]["solution"] = piece.clone()

    def _scaled(self, solution: Tensor, problem: "Problem") -> Tensor:
        """The solution times the learning rates of its parameters' groups."""
        rates = [float(group["lr"]) for group in self.param_groups for _ in group["params"]]
        if all(rates[place] == 1.0 for place in problem.places):
            return solution
        pieces = solution.split([p.numel() for p in problem.params])
        return torch.cat([rates[place] * piece for place, piece in zip(problem.places, pieces, strict=True)])

    def _adapt_damping(self, before: float, after: float, phi: float) -> None:
        """Adapt the damping to rho; without a step that lowers the model (phi >= 0) it goes up."""
        rho = reduction_ratio(before, after, phi) if phi < 0 else math.nan
        if math.isfinite(rho):
            self.diagnostics["rho"] = rho
        self._set_all(damping=adjusted_damping(self.damping, rho))


@dataclass(frozen=True)
class Problem:
    """What a step starts from: the d trainable parameters, f, its gradient, and the outputs of the curvature's rows.

    Attributes:
        params: the parameters that require a gradient.
        places: their positions among all parameters of the optimizer.
        loss: f(w).
        gradient: g, [d].
        outputs: outputs of the rows on which the curvature is taken, with their graph.
        targets: their targets.
        forward: the closure that `step` was given.
    """

    params: list[Tensor]
    places: list[int]
    loss: Tensor
    gradient: Tensor
    outputs: Tensor
    targets: Tensor
    forward: Forward


class Trial:
    """f(w + step) on the whole mini-batch, for several steps from the same w."""

    def __init__(self, problem: Problem, loss: Loss) -> None:
        self._problem, self._loss = problem, loss
        self._origin = [p.detach().clone() for p in problem.params]

    @torch.no_grad()
    def __call__(self, step: Tensor) -> float:
        """f(w + step); infinity where it is nan."""
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
    """The substitute for a solution when conjugate gradients from 0 found none that lowers the model."""
    if result.reason != NEGATIVE:
        return CGResult(torch.zeros_like(gradient), 0.0, 0, 0, result.reason, math.nan)
    scale = abs(result.curvature - damping) + damping
    solution = -gradient / scale if scale > 0 else torch.zeros_like(gradient)
    phi = 0.5 * float(gradient.dot(solution))  # of the model with |c| in place of G
    return CGResult(solution, phi, 0, 0, result.reason, result.curvature, ((0, solution),))

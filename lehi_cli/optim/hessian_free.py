"""Hessian-free optimization: Newton's step with the Gauss-Newton matrix, found by conjugate gradients.

Lowering the damped quadratic model phi(u) = g . u + 1/2 u^T (G + damping I) u takes a few dozen products G v, none of
which needs G itself. Two things keep the model of one mini-batch from leading astray: the damping follows how well the
model predicted the loss, and the step is shortened until the loss itself falls.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.cg import CGResult
from lehi_cli.curvature.products import GaussNewton
from lehi_cli.optim.checked import shared_option
from lehi_cli.optim.hessian_free_base import HessianFreeBase, Problem, Trial
from lehi_cli.optim.line_search import armijo, backtrack
from lehi_cli.optim.options import FLAG

NO_DECREASE = "line search found no decrease"
_EXPONENT = 0.75  # of the preconditioner: 1 would trust the diagonal more than it deserves


class HessianFree(HessianFreeBase):
    """Hessian-free optimization (Martens), all parameters in one system.

    With g the gradient of the mini-batch and G its Gauss-Newton matrix, both at w:

        u_0 = zeta u_previous;   u_1, ..., u_i by conjugate gradients on (G + damping I) u = -g
        rho = (f(w + u_i) - f(w)) / phi(u_i),   phi(u) = g . u + 1/2 u^T (G + damping I) u, the damping included
        damping <- 3/2 damping if rho < 1/4, 2/3 damping if rho > 3/4
        u = the best of the kept iterates, from u_i backwards as long as the loss falls      (backtracking)
        w <- w + a lr u,  a the first of 1, 0.8, 0.64, ... that lowers f by 0.01 a lr |g . u|, or 0  (line search)

    f, like g, is evaluated on the whole mini-batch. The last iterate u_i, not the one that backtracking chooses, starts
    the next solve and decides the damping, which takes effect at the next step. The first solve starts from 0.

    Cost: 1 gradient, 2/3 to prepare products, 2 per product (these two times `curvature_fraction`, which below 1 adds a
    forward pass on its rows), and 1/3 per evaluation of f: at least one.

    ```python
    optimizer = HessianFree(model.parameters(), loss="cross_entropy")
    loss = optimizer.step(lambda rows=slice(None): (model(x[rows]), y[rows]))
    ```

    `fallbacks` counts what went wrong, by reason: `"negative curvature"` and `"non-finite product"` (the solve ends
    with the last good iterate; if there is none, the step is the negative gradient divided by the curvature's magnitude
    plus the damping, or no step if the product was not finite), `"useless warm start"` (the solve is repeated from 0),
    `"line search found no decrease"` and `"non-finite gradient"` (no step). `diagnostics` holds the last step's
    `cg_iterations`, `products`, `damping`, `rho` and `step_scale` (a), as far as the step got to them.

    Args:
        params: parameters, named parameters, or parameter groups. A group may set its own lr.
        lr: factor on the step.
        loss: a name such as `"cross_entropy"`, `"bce"`, `"mse"` or `"huber"`, a loss of `torch.nn`, or
            a `lehi_cli.curvature.Loss`. It should be convex in the outputs, which makes G positive semi-definite.
        max_cg: maximum number of conjugate gradient iterations per step.
        eps_cg: the stopping rule's least relative progress per iteration, see `conjugate_gradient`.
        zeta: factor on the last solution, where the next solve starts; 0 starts from 0.
        damping: multiple of the identity added to G; with `adaptive_damping`, its initial value.
        adaptive_damping: adapt the damping to rho. A damping of 0 stays 0.
        line_search: shorten the step until the loss falls.
        backtracking: choose among the iterates by the loss.
        preconditioner: precondition with (mean_n g_n^2 + damping)^0.75, g_n the gradient of sample n (of the rows on
            which the curvature is taken). It costs one more gradient, taken sample by sample, so it does not suit a
            model with BatchNorm in training mode, or one that couples the rows of a mini-batch.
        curvature_fraction: the part of the mini-batch, its first rows, on which G is taken.
        foreach, maximize, capturable, differentiable, fused: as in `torch.optim`; an error when on.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group.
        TypeError: for an unknown loss; for complex parameters.

    Source: Martens, "Deep learning via Hessian-free optimization", 2010; Martens and Sutskever, "Training deep and
    recurrent networks with Hessian-free optimization", 2012 (zeta).
    """

    REASONS = (*HessianFreeBase.REASONS, NO_DECREASE)
    RULES = {**HessianFreeBase.RULES, "line_search": FLAG, "backtracking": FLAG, "preconditioner": FLAG}
    SHARED = frozenset(RULES) - {"lr"}

    line_search = shared_option("line_search", "Whether the step is shortened until the loss falls.")
    backtracking = shared_option("backtracking", "Whether the iterate is chosen by the loss.")
    preconditioner = shared_option("preconditioner", "Whether the conjugate gradients are preconditioned.")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        loss: str | nn.Module | Loss = "cross_entropy",
        max_cg: int = 250,
        eps_cg: float = 5e-4,
        zeta: float = 0.95,
        damping: float = 1.0,
        adaptive_damping: bool = True,
        line_search: bool = True,
        backtracking: bool = True,
        preconditioner: bool = False,
        curvature_fraction: float = 1.0,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            loss=loss,
            max_cg=max_cg,
            eps_cg=eps_cg,
            zeta=zeta,
            damping=damping,
            adaptive_damping=adaptive_damping,
            line_search=line_search,
            backtracking=backtracking,
            preconditioner=preconditioner,
            curvature_fraction=curvature_fraction,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )

    def _advance(self, problem: Problem) -> None:
        operator = GaussNewton(problem.outputs, problem.targets, self.loss, problem.params)
        diagonal = self._fisher_diagonal(problem) if self.preconditioner else None
        result = self._solve(operator, problem.gradient, diagonal, keep_iterates=self.backtracking)
        trial = Trial(problem, self.loss)
        trial.settle(self._chosen(result, problem, trial))

    def _chosen(self, result: CGResult, problem: Problem, trial: Trial) -> Tensor:
        """The step to take; the damping is adapted here too, because it needs the same losses."""
        before, full = float(problem.loss), None
        step = self._scaled(result.solution, problem)
        if self.adaptive_damping:
            after = trial(result.solution)
            self._adapt_damping(before, after, result.phi)
            full = after if step is result.solution else None
        if self.backtracking and result.iterates:
            steps = [self._scaled(iterate, problem) for _, iterate in result.iterates]
            step, full = backtrack(trial, steps, trial(step) if full is None else full)
        if self.line_search and bool(step.any()):
            scale = armijo(trial, step, before, float(problem.gradient.dot(step)), full)
            self.diagnostics["step_scale"] = scale
            if scale == 0.0:
                self._fell_back(NO_DECREASE)
            step = scale * step
        return step

    def _fisher_diagonal(self, problem: Problem) -> Tensor:
        """(mean_n g_n^2 + damping)^0.75, [d], positive.

        Raises:
            ValueError: when the mini-batch cannot be evaluated sample by sample.
        """
        total = torch.zeros_like(problem.gradient)
        for n in range(len(problem.targets)):
            outputs, targets = problem.forward(slice(n, n + 1))
            if len(targets) != 1:
                raise ValueError("preconditioner=True needs the mini-batch sample by sample, and it is only had whole")
            gradient = self._gradient(self.loss(outputs, targets), problem.params, keep_graph=False)
            total += gradient.square().nan_to_num_(0.0)  # a sample with all positions ignored has none
        diagonal = (total / len(problem.targets) + self.damping) ** _EXPONENT
        return torch.where(diagonal > 0, diagonal, 1.0)

"""Saddle-free Newton by a truncated series of Hessian-vector products.

Newton's method divides the gradient by the eigenvalues of the Hessian, and so walks towards saddle points along the
negative ones. Saddle-free Newton divides by their magnitudes. `lehi_cli.optim.series` computes that step from products
with the Hessian; this file turns it into an optimizer: what to do when the series fails, and how to set the damping.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.loss import working_dtype
from lehi_cli.curvature.products import Hessian, flatten, unflatten
from lehi_cli.optim.checked import DENSE, eager, shared_option
from lehi_cli.optim.options import FLAG, NOT_NEGATIVE, PART, POSITIVE, check_options, is_integer, is_number
from lehi_cli.optim.series import DIVERGED, NON_FINITE, partial_sums, shanks
from lehi_cli.optim.whole_batch import BAD_GRADIENT, Forward, WholeBatchOptimizer, evaluated

SCALE_DOUBLED = "scale doubled"
NOT_DESCENT = "not a descent direction"
UNDEFINED = "acceleration undefined"

_GOOD, _POOR = 3 / 4, 1 / 4


class SFN(WholeBatchOptimizer):
    """Saddle-free Newton by a truncated series.

    With g and H the gradient and the Hessian of the mini-batch's loss f, |H| = (H^2)^(1/2), and S_0, ..., S_{K-1} the
    partial sums of `series.partial_sums` for `terms` = K:

        d = V^(-1/2) Shanks_N(S_{K-1-2N}, ..., S_{K-1})  ~  (|H| + damping I)^-1 g
        delta <- lr d + momentum delta
        w <- w - delta
        V <- max(V, ||H (H g)|| / ||g||)                   before it is used; doubled when the series grows

    and with `adaptive`, from the same mini-batch at the new weights,

        rho = (f(w - delta) - f(w)) / M ,   M = 1/2 delta.(lr g) - delta.g  = -1/2 d.g at lr = 1
        damping <- omega damping                 where rho > 3/4
        damping <- damping / omega               where rho < 1/4, or f is no longer finite
        damping <- max(damping, damping_floor)

    The authors' adaptive method also solves for the rate and the momentum, from |H| d = g; under that very
    approximation the solution is 1 and 0 whatever the numbers are, so here they are 1 and 0 (lr scales the step).

    Truncation damps as well: with terms = 20 and V = 100 no direction moves by more than 0.50 times the gradient, as if
    no curvature were below 2. With terms = 1 this is gradient descent with momentum at the rate
    lr / (sqrt(V) + damping).

    `fallbacks` counts by reason:

    - "scale doubled": the series grew because V was too small; once for every doubling.
    - "series diverges": doubling V did not help; d = V^(-1/2) S_0, along g.
    - "non-finite product": the series ends at the previous term.
    - "acceleration undefined": two partial sums coincide; d = V^(-1/2) S_{K-1}.
    - "not a descent direction": g.d is not above 0; d = V^(-1/2) S_{K-1}, or if that fails too, V^(-1/2) g.
    - "non-finite gradient": nothing moves.

    Costs 1 + 4 (terms - 1) gradients per step (two products of 2 for each term), 1/3 more with `adaptive`, and at most
    4 (terms - 2) more for every doubling. Memory: 2 `shanks` + 6 copies of the parameters during a step, and the graph
    of the gradient; between steps, one with momentum and none without.

    `diagnostics` of the last step: `products`, `scale` (V) and `damping` as used, and `rho` where it is defined.

    Args:
        params: parameters, named parameters, or parameter groups. A group may set its own lr.
        lr: the rate: 1 is the full (damped) saddle-free Newton step. A rate of 2 or more leaves rho undefined and the
            damping unchanged.
        terms: K >= 2 `shanks` + 1, the number of terms in the series.
        shanks: N, the order of the acceleration; 0 for none.
        scale: the initial V, > 0. V > lambda_max(H)^2 / 2 is needed; where it does not hold, V is raised until it does.
        damping: added to the curvature, with `adaptive` its initial value; None is 1 with `adaptive`, 1e-4 without.
        momentum: in [0, 1); None is 0 with `adaptive`, where it must be 0, and 0.5 without.
        adaptive: let the damping follow how well the model predicts the loss.
        omega: in (0, 1], the factor by which the damping changes.
        damping_floor: the lowest value that the damping may be adapted to.
        sablonniere: use Sablonniere's modification of the acceleration, for slow convergence.
        loss: a name such as `"cross_entropy"`, `"bce"`, `"mse"` or `"huber"`, a loss of `torch.nn`, or
            a `lehi_cli.curvature.Loss`.
        foreach, maximize, capturable, differentiable, fused: as in `torch.optim`; an error when on.

    The groups hold `scale` and `damping` as the next step will use them; with momentum, a parameter's state is its part
    of the last `update`.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group.
        TypeError: for an unknown loss; for complex parameters.

    Source: Oldewage, Clarke and Hernandez-Lobato, "Series of Hessian-Vector Products for Tractable Saddle-Free Newton
    Optimisation of Neural Networks", TMLR 2024, arXiv 2310.14901.
    """

    REASONS = (SCALE_DOUBLED, DIVERGED, NON_FINITE, UNDEFINED, NOT_DESCENT, *WholeBatchOptimizer.REASONS)
    RULES = {
        **WholeBatchOptimizer.RULES,
        "terms": (lambda v: is_integer(v, 1), "an integer >= 1"),
        "shanks": (lambda v: is_integer(v, 0), "an integer >= 0"),
        "scale": POSITIVE,
        "damping": NOT_NEGATIVE,
        "momentum": PART,
        "adaptive": FLAG,
        "omega": (lambda v: is_number(v, 0.0, 1.0) and v > 0, "a number in (0, 1]"),
        "damping_floor": NOT_NEGATIVE,
        "sablonniere": FLAG,
    }
    SHARED = frozenset(RULES) - {"lr"}

    terms = shared_option("terms", "K, the terms of the series.")
    shanks = shared_option("shanks", "N, the order of the acceleration.")
    scale = shared_option("scale", "V, as the coming step starts with it.")
    momentum = shared_option("momentum", "What is kept of the last update.")
    adaptive = shared_option("adaptive", "Whether the damping follows how well the model predicts the loss.")
    omega = shared_option("omega", "The factor of the damping.")
    damping_floor = shared_option("damping_floor", "The least that the damping is lowered to.")
    sablonniere = shared_option("sablonniere", "Whether the acceleration is modified as Sablonniere's.")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        terms: int = 20,
        shanks: int = 1,
        scale: float = 100.0,
        damping: float | None = None,
        momentum: float | None = None,
        adaptive: bool = True,
        omega: float = 0.9,
        damping_floor: float = 1e-8,
        sablonniere: bool = False,
        loss: str | nn.Module | Loss = "cross_entropy",
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = {
            "lr": lr,
            "terms": terms,
            "shanks": shanks,
            "scale": scale,
            "damping": (1.0 if adaptive else 1e-4) if damping is None else damping,
            "momentum": (0.0 if adaptive else 0.5) if momentum is None else momentum,
            "adaptive": adaptive,
            "omega": omega,
            "damping_floor": damping_floor,
            "sablonniere": sablonniere,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_options(options, self.RULES)
        _check_together(options)
        super().__init__(params, loss, **options)

    @eager
    def step(self, closure: Forward | None = None) -> Tensor | None:  # type: ignore[override]
        """One update from one mini-batch: `opt.step(lambda rows=slice(None): (model(x[rows]), y[rows]))`.

        Args:
            closure: `closure(rows=slice(None))` -> (outputs, targets) of those rows of the mini-batch, at the current
                weights and, where gradients are enabled, attached to their graph, which must be twice differentiable.
                It is called once, and with `adaptive` once more; it must then be the same function: the same dropout
                masks, no update of BatchNorm's statistics. `.grad` is neither read nor written.

        Returns:
            The mini-batch's loss before the step, detached.

        Raises:
            TypeError: for anything but such a function.
            ValueError: for a momentum with `adaptive`, as set by a scheduler that cycles it.
            RuntimeError: for sparse gradients, and for a model that cannot be differentiated twice.
        """
        _check_together(self.param_groups[0])
        only_prepares = self._only_prepares(closure)
        if self.momentum > 0:
            self._prepare("update")
        if only_prepares:
            return None
        trainable = [(p, float(group["lr"])) for group in self.param_groups for p in group["params"] if p.requires_grad]
        params = [p for p, _ in trainable]
        with torch.enable_grad():
            forward, pair = evaluated(closure)
            loss: Tensor = self.loss(*pair)
            self.diagnostics = {"products": 0.0, "scale": self.scale, "damping": self.damping}
            if not params:
                return loss.detach()
            hessian = self._hessian(loss, params)
        loss = loss.detach()
        gradient = hessian.gradient.to(working_dtype(hessian.gradient))
        norm = float(torch.linalg.vector_norm(gradient))
        if not math.isfinite(norm):
            self._fell_back(BAD_GRADIENT)
            return loss
        with torch.no_grad():
            direction = self._direction(hessian, gradient) if norm > 0 else gradient
            del hessian  # and with it the graph: the next forward pass needs the memory
            rates = torch.cat([gradient.new_full((p.numel(),), lr) for p, lr in trainable])
            self._move(params, rates * direction)
            if self.adaptive:
                before = float(loss)
                self._adapt(before, float(self.loss(*forward())), rates, direction, gradient)
        return loss

    def _hessian(self, loss: Tensor, params: list[Tensor]) -> Hessian:
        try:
            return Hessian(loss, params)
        except RuntimeError as error:  # only torch knows which gradients are sparse, and only when they exist
            if "sparse" in str(error):
                raise RuntimeError(f"SFN does not support sparse gradients: {DENSE}") from error
            raise

    def _direction(self, hessian: Hessian, gradient: Tensor) -> Tensor:
        """The vector d, [d]; what went wrong is counted in `fallbacks`."""
        series = partial_sums(
            hessian.product,
            gradient,
            terms=self.terms,
            damping=self.damping,
            scale=self.scale,
            keep=2 * self.shanks + 1,
        )
        self._set_all(scale=series.scale)
        self.diagnostics |= {"products": float(series.products), "scale": self.scale}
        if series.restarts:
            self._fell_back(SCALE_DOUBLED, series.restarts)
        candidates = [series.sums[-1], gradient]
        if series.reason:
            self._fell_back(series.reason)
        elif self.shanks > 0:
            accelerated = shanks(series.sums, self.sablonniere)
            if accelerated is None:
                self._fell_back(UNDEFINED)
            else:
                candidates.insert(0, accelerated)
        for candidate in candidates[:-1]:
            if 0 < float(candidate.dot(gradient)) < math.inf:
                return candidate / math.sqrt(self.scale)
            self._fell_back(NOT_DESCENT)
        return gradient / math.sqrt(self.scale)

    def _move(self, params: list[Tensor], update: Tensor) -> None:
        """Move w by -delta, in the gradient's dtype or wider."""
        if self.momentum > 0:
            last = [self.state[p]["update"] for p in params]
            update = update + self.momentum * flatten(last).to(update)
            for p, piece in zip(params, unflatten(update, params), strict=True):
                self.state[p]["update"] = piece.clone()
        for p, piece in zip(params, update.split([p.numel() for p in params]), strict=True):
            p.copy_(p - piece.view(p.shape))

    def _adapt(self, before: float, after: float, rates: Tensor, direction: Tensor, gradient: Tensor) -> None:
        """Adapt the damping to rho; leave it alone when the model does not predict a fall."""
        promised = float(((0.5 * rates * rates - rates) * direction).dot(gradient))
        if not promised < 0 or not math.isfinite(promised):
            return
        rho = (after - before) / promised
        if math.isfinite(rho):
            self.diagnostics["rho"] = rho
        if rho > _GOOD:
            self._set_all(damping=max(self.omega * self.damping, self.damping_floor))
        elif not rho >= _POOR:
            self._set_all(damping=max(self.damping / self.omega, self.damping_floor))


def _check_together(options: Mapping[str, Any]) -> None:
    """Refuse options that do not go together.

    Raises:
        ValueError: naming them.
    """
    terms, shanks, momentum = options["terms"], options["shanks"], options["momentum"]
    if terms < 2 * shanks + 1:
        raise ValueError(f"terms must be >= 2 * shanks + 1 = {2 * shanks + 1} for shanks={shanks}, got {terms!r}")
    if options["adaptive"] and momentum != 0:
        raise ValueError(f"momentum must be 0 with adaptive=True, got {momentum!r}")

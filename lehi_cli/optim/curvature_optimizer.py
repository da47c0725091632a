"""What LEHI, LEHIBRID and Sophia share: the second backward pass, its accumulation, and the frame of a step.

One forward pass serves two backward passes. The first pulls a factor v of the loss's Hessian in the outputs back into
the optimizer's own buffer, h = J^T v; the second is the ordinary gradient g into `.grad`. What an optimizer makes of
(g, h) is its update rule, in a file of its own; this file only sees to it that E[h^2] = diag(GGN)/B whatever was done
in between: micro-batches, gradient scaling, ignored labels, a step skipped.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lehi_cli.curvature import FACTOR_KINDS, CustomLoss, Loss, make_loss
from lehi_cli.curvature.custom import FactorFunction
from lehi_cli.curvature.loss import working_dtype
from lehi_cli.curvature.resolve import is_known
from lehi_cli.optim.checked import CheckedOptimizer
from lehi_cli.optim.descent import _multi_tensor_descend, _single_tensor_descend
from lehi_cli.optim.options import (
    BETAS,
    FOREACH,
    NOT_NEGATIVE,
    Rule,
    check_integer,
    check_options,
    is_number,
)


class CurvatureOptimizer(CheckedOptimizer):
    """Base of the optimizers that precondition with samples of the Gauss-Newton diagonal.

    Subclasses implement `_update`, with the parameters of one group that have a gradient.
    """

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        *,
        loss: Any,
        factor: str | FactorFunction,
        sample_signs: bool,
        curvature_every: int,
        curvature_warmup: int,
        foreach: bool | None,
        seed: int,
    ) -> None:
        check_integer("curvature_every", curvature_every, 1)
        check_integer("curvature_warmup", curvature_warmup, 0)
        check_integer("seed", seed, 0)
        check_options({"foreach": foreach}, {"foreach": FOREACH})
        self.loss, self.factor = _resolve_loss(loss, factor)
        self.sample_signs = sample_signs
        self.curvature_every = curvature_every
        self.curvature_warmup = curvature_warmup
        self.foreach = foreach
        self.seed = seed
        self._generator: torch.Generator | None = None
        self._group: dist.ProcessGroup | None = None
        self._steps = 0
        self._overdue = False  # the last refresh was dropped: the next step makes up for it
        # The sample of the coming step: h by parameter, and its B; None until `backward` has taken one.
        self._samples: dict[Tensor, Tensor] = {}
        self._predictions: Tensor | None = None
        self._scaled = False
        super().__init__(params, defaults)

    @property
    def refresh_due(self) -> bool:
        """Whether the coming step takes a curvature sample, that is, whether `backward` makes its second pass."""
        after_warmup = self._steps - self.curvature_warmup
        return self._overdue or after_warmup < 0 or after_warmup % self.curvature_every == 0

    def average_over(self, group: "dist.ProcessGroup") -> None:
        """Tell the optimizer that the gradients are averaged over the ranks of `group`, as by DistributedDataParallel.

        Each step then combines the ranks' curvature samples as those of micro-batches of weight 1/R, and each of the R
        ranks draws random numbers of its own. Every rank's outputs must depend on the same parameters. Call it before
        the first step and before `load_state_dict`.
        """
        self._group = group
        self._generator = None

    def _check_group(self, options: dict[str, Any]) -> None:
        check_options(options, _OPTIONS)

    def backward(
        self, outputs: Tensor, targets: Tensor, *, weight: float = 1.0, scaler: torch.amp.GradScaler | None = None
    ) -> Tensor:
        """Differentiate `weight * loss(outputs, targets)` into `.grad`, and take the curvature sample when one is due.

        Several calls before one `step` accumulate. Call i, of weight c_i and B_i predictions, samples h_i with
        E[h_i^2] = diag(G_i)/B_i; the h_i are independent with mean 0, so for B = sum_i B_i

            h = sum_i sqrt(c_i B_i / B) h_i   has   E[h^2] = (1/B) sum_i c_i diag(G_i) = diag GGN(sum_i c_i f_i) / B,

        whatever the sizes. A loss of `reduction="sum"` counts each call as one prediction.
        On steps without a refresh (`refresh_due` is False) a plain `loss.backward()` does as well.

        Args:
            outputs: the network's outputs, still attached to their graph.
            targets: as the loss takes them.
            weight: c_i >= 0, what the loss counts for in the step's objective: 1/k for the mean over k micro-batches.
            scaler: the `torch.amp.GradScaler` in use; it scales both passes, and a curvature sample that overflowed is
                dropped and made up for at the next step.

        Returns:
            The unweighted loss, detached.

        Raises:
            TypeError: for outputs that are no tensor.
            ValueError: for a weight that is not a number >= 0.
            RuntimeError: for outputs without a graph.
        """
        if not weight >= 0:
            raise ValueError(f"weight must be a number >= 0, got {weight!r}")
        if not isinstance(outputs, Tensor):
            raise TypeError(f"outputs must be a tensor, got {type(outputs).__name__}: pass what the loss is taken of")
        loss = self.loss(outputs, targets)
        if not (outputs.requires_grad and loss.requires_grad):
            raise RuntimeError(
                "there is nothing to differentiate: compute the outputs and call backward outside torch.no_grad(), "
                "from parameters that require gradients, without detaching"
            )
        # Without gradients there is nothing to add to: what the buffer holds is left from a step that was skipped.
        if all(p.grad is None for group in self.param_groups for p in group["params"]):
            self._discard()
        if self.refresh_due:
            self._accumulate(outputs, targets, weight, scaler)
        objective = loss if weight == 1.0 else weight * loss
        torch.autograd.backward(objective if scaler is None else scaler.scale(objective))
        return loss.detach()

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        A parameter that the outputs do not depend on (it has a gradient from elsewhere) uses its gradient as h. A
        parameter moves from its first curvature sample on.

        Args:
            closure: clears the gradients, evaluates the model, calls `backward` and returns the loss.

        Raises:
            RuntimeError: when a refresh was due and `backward` was not called; for sparse gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        if not any(params for _, params in active):
            return loss
        self._refuse_sparse(p.grad for _, params in active for p in params)
        due = self.refresh_due
        refresh = due and self._complete_sample()
        inverse = self._inverse_predictions() if refresh else None
        for group, params in active:
            if not refresh:
                params = [p for p in params if p in self.state]
            if params:
                samples = [self._samples.get(p, p.grad) for p in params] if refresh else None
                states = self._advance(params, group["betas"][1], inverse)
                self._update(group, params, [p.grad for p in params], samples, states)
        self._steps += 1
        self._overdue = due and not refresh
        self._discard()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients and the curvature sample that goes with them."""
        super().zero_grad(set_to_none)
        self._discard()

    @torch.no_grad()
    def curvature_diagonal(self) -> dict[Tensor, Tensor]:
        """`{parameter: B vh}`, the bias-corrected average on the scale of the GGN's diagonal; {} before the first step.

        B may change from batch to batch, so what is divided by is the average of 1/B with the weights of v's average:
        for a constant GGN the expectation is exact, and for a constant B it is B vh.
        """
        return {p: state["curvature"] / _inverse_scale(state) for p, state in self.state.items()}

    def state_dict(self) -> dict[str, Any]:
        """As in torch, and under `"curvature"` the refresh schedule's position and the random numbers' state."""
        generator = None if self._generator is None else self._generator.get_state()
        return {
            **super().state_dict(),
            "curvature": {
                "steps": self._steps,
                "overdue": self._overdue,
                "generator": generator,
                "rank": self._rank,
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch; the continued run draws the random numbers that the saved one would have drawn.

        Raises:
            ValueError: when `state_dict` comes from another kind of optimizer.
        """
        saved = self._saved(state_dict, "curvature")
        super().load_state_dict(state_dict)
        self._restore_inverse_predictions(state_dict)
        self._steps, self._overdue = saved["steps"], saved["overdue"]
        self._generator = None
        if saved["generator"] is not None and saved["rank"] == self._rank:
            # A CUDA generator's state is not a CPU generator's: after a change of device the stream starts at the seed,
            # and so it does on a rank that loads another rank's file: ranks must not draw the same signs.
            generator = self._generator_on(self.param_groups[0]["params"][0].device)
            state = saved["generator"].cpu()
            if state.shape == generator.get_state().shape:
                generator.set_state(state)
        self._discard()

    def _restore_inverse_predictions(self, state_dict: dict[str, Any]) -> None:
        """Load the averages of 1/B once more: torch has rounded them to the parameters' own dtype."""
        params = [p for group in self.param_groups for p in group["params"]]
        places = [place for group in state_dict["param_groups"] for place in group["params"]]
        for p, place in zip(params, places, strict=True):
            if place in state_dict["state"]:
                average = state_dict["state"][place]["inverse_predictions"]
                self.state[p]["inverse_predictions"] = average.to(p.device, working_dtype(p), copy=True)

    @abstractmethod
    def _update(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        samples: list[Tensor] | None,
        states: list[dict[str, Any]],
    ) -> None:
        """One step of `params` from their gradients g and curvature samples h (None: no refresh at this step)."""

    def _init_state(self, param: Tensor) -> dict[str, Any]:
        """State of a parameter before its first step. Counters are numbers, not tensors: reading them never waits."""
        return {
            "step": 0,
            "refreshes": 0,
            "momentum": torch.zeros_like(param, memory_format=torch.preserve_format),
            "curvature": torch.zeros_like(param, memory_format=torch.preserve_format),
            # Average of 1/B with the weights of `curvature`'s; in half precision it would soon stand still.
            "inverse_predictions": torch.zeros((), dtype=working_dtype(param), device=param.device),
        }

    def _advance(self, params: list[Tensor], beta2: float, inverse: Tensor | None) -> list[dict[str, Any]]:
        """The states of `params`, made where missing, with their counters and their average of 1/B moved on."""
        for p in params:
            if p not in self.state:
                self.state[p] = self._init_state(p)
        states = [self.state[p] for p in params]
        for state in states:
            state["step"] += 1
            if inverse is not None:
                state["refreshes"] += 1
                average = state["inverse_predictions"]
                average.lerp_(inverse.to(average), 1 - beta2)
        return states

    def _curvature_scales(self, group: dict[str, Any], states: list[dict[str, Any]]) -> list[float] | list[Tensor]:
        """What to divide v by: its bias correction, or what makes it B vh where the power needs the true scale."""
        if group["power"] == 1:
            return [_inverse_scale(state) for state in states]
        return [1 - group["betas"][1] ** state["refreshes"] for state in states]

    def _descend(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        states: list[dict[str, Any]],
        curvatures: list[Tensor],
        curvature_scales: list[float] | list[Tensor],
    ) -> None:
        """Move `params` by the averages; `curvatures / curvature_scales` is what stands inside the power."""
        descend = _multi_tensor_descend if self._use_foreach(params) else _single_tensor_descend
        descend(
            params,
            [state["momentum"] for state in states],
            curvatures,
            [1 - group["betas"][0] ** state["step"] for state in states],
            curvature_scales,
            **{name: group[name] for name in ("lr", "weight_decay", "eps", "power", "clip", "damping")},
        )

    def _use_foreach(self, params: list[Tensor]) -> bool:
        return all(p.is_cuda for p in params) if self.foreach is None else self.foreach

    def _accumulate(self, outputs: Tensor, targets: Tensor, weight: float, scaler: torch.amp.GradScaler | None) -> None:
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        working = outputs.detach().to(working_dtype(outputs))
        v = self.loss.factor(
            working, targets, self.factor, self._generator_on(outputs.device), sample_signs=self.sample_signs
        )
        predictions = self.loss.predictions(working, targets)
        # h <- sqrt(B_before / B) h + sqrt(c_i B_i / B) h_i: normalised at every call, so a single one is left as it is.
        if self._predictions is None:
            self._predictions = predictions
            v = v * math.sqrt(weight)
        else:
            total = self._predictions + predictions
            divisor = total.clamp(min=torch.finfo(total.dtype).tiny)
            keep = (self._predictions / divisor).sqrt()
            self._samples = {p: sample * keep.to(sample) for p, sample in self._samples.items()}
            self._predictions = total
            v = v * (weight * predictions / divisor).sqrt()
        for p, sample in zip(params, self._pull_back(outputs, v, params, scaler), strict=True):
            if sample is not None:
                self._samples[p] = self._samples[p] + sample if p in self._samples else sample

    def _pull_back(
        self, outputs: Tensor, v: Tensor, params: list[Tensor], scaler: torch.amp.GradScaler | None
    ) -> Sequence[Tensor | None]:
        """J^T v for every parameter; None where the outputs do not depend on it. The graph is kept for the gradient."""
        if not params:
            return []  # all frozen: the gradient is for others
        if scaler is not None:
            self._scaled = True
            scale = scaler.scale(torch.ones((), device=outputs.device))
            v = v * scale
        samples = torch.autograd.grad(outputs, params, v.to(outputs.dtype), retain_graph=True, allow_unused=True)
        if scaler is None:
            return samples
        return [None if sample is None else sample / scale.to(sample) for sample in samples]

    def _complete_sample(self) -> bool:
        """Combine the ranks' samples; whether all is finite. Looked at only under a GradScaler, which waits anyway.

        Raises:
            RuntimeError: when there is no sample because `backward` was not called.
        """
        if self._predictions is None:
            raise RuntimeError(
                "this step refreshes the curvature, so it needs opt.backward(outputs, targets) in place of "
                "loss.backward() (opt.refresh_due says which steps do)"
            )
        if self._group is not None:
            own = self._predictions
            self._predictions = own.clone()
            dist.all_reduce(self._predictions, group=self._group)
            total = self._predictions.clamp(min=torch.finfo(own.dtype).tiny)
            share = (own / total / dist.get_world_size(self._group)).sqrt()
            for p, sample in self._samples.items():
                self._samples[p] = sample * share.to(sample)
                dist.all_reduce(self._samples[p], group=self._group)
        return not self._scaled or all(bool(sample.isfinite().all()) for sample in self._samples.values())

    def _inverse_predictions(self) -> Tensor:
        """1/B of the sample at hand. Without predictions h = 0, and 1/B counts as 0: the ratio of averages stays."""
        predictions = torch.as_tensor(self._predictions)
        return torch.where(predictions > 0, predictions.reciprocal(), 0.0)

    def _discard(self) -> None:
        self._samples = {}
        self._predictions = None
        self._scaled = False

    @property
    def _rank(self) -> int:
        return 0 if self._group is None else dist.get_rank(self._group)

    def _generator_on(self, device: torch.device) -> torch.Generator:
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(self.seed + self._rank)
        return self._generator


def _inverse_scale(state: dict[str, Any]) -> Tensor:
    """What v is divided by to give B vh: the average of 1/B, whose bias correction cancels v's."""
    average: Tensor = state["inverse_predictions"]
    return average.clamp(min=torch.finfo(average.dtype).tiny)  # not one prediction so far: 0/0 must be 0


_OPTIONS: dict[str, Rule] = {
    "lr": NOT_NEGATIVE,
    "betas": BETAS,
    "eps": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "power": (lambda v: v in (0.5, 1), "0.5 or 1"),
    "clip": (lambda v: v is None or (is_number(v, 0.0) and v > 0), "None or a number > 0"),
    "damping": NOT_NEGATIVE,
    "theta": (lambda v: is_number(v, 0.0, 1.0), "a number in [0, 1]"),
    "gamma": NOT_NEGATIVE,
}


def _resolve_loss(loss: Any, factor: str | FactorFunction) -> tuple[Loss, str]:
    """The loss and the kind of its factor, from what the constructor was given.

    Raises:
        ValueError: for an unknown name of a loss or a factor.
        TypeError: for a loss without a known factor, or a factor that is no string and not callable.
    """
    if callable(factor):
        known = make_loss(loss) if is_known(loss) else loss
        return CustomLoss(known, factor, known.predictions if isinstance(known, Loss) else None), FACTOR_KINDS[0]
    if not isinstance(factor, str):
        raise TypeError(f"factor must be one of {', '.join(FACTOR_KINDS)} or a callable, got {factor!r}")
    if factor not in FACTOR_KINDS:
        raise ValueError(f"factor must be one of {', '.join(FACTOR_KINDS)} or a callable, got {factor!r}")
    known = make_loss(loss)
    known.require_factor(factor)
    return known, factor

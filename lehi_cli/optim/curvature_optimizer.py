"""What LEHI, LEHIBRID and Sophia share: the second backward pass, its accumulation, and the outline of a step.

One forward pass serves two backward passes. The first pulls a factor v of the loss's Hessian in the outputs back into
the optimizer's own buffer, h = J^T v; the second is the ordinary gradient g into `.grad`. What an optimizer does with
(g, h) is its update rule, in a file of its own; this file only ensures that E[h^2] = diag(GGN)/B whatever happens in
between: micro-batches, several losses, gradient scaling, ignored labels, a skipped step, a checkpoint.
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lehi_cli.curvature import FACTOR_KINDS, CustomLoss, Loss
from lehi_cli.curvature.custom import FactorFunction
from lehi_cli.curvature.loss import working_dtype
from lehi_cli.optim.checked import CheckedOptimizer, eager
from lehi_cli.optim.chosen_loss import CUSTOM, choose_loss, kind_of
from lehi_cli.optim.criterion import Criterion, Scaler, check_outputs
from lehi_cli.optim.options import BETAS, FLAG, FOREACH, NOT_NEGATIVE, Rule, is_integer
from lehi_cli.optim.parallel import Parallel
from lehi_cli.optim.pull_back import opaque_functions
from lehi_cli.optim.witness import Witness, changed, seen

GRADIENT_USED = "gradient in place of the curvature sample"


class CurvatureOptimizer(CheckedOptimizer):
    """Base class of the optimizers that precondition with samples of the Gauss-Newton diagonal.

    Subclasses implement `_update`, for the parameters of one group that have a gradient.

    A parameter's state holds `step` and `refreshes` (counters), `momentum`, `curvature`, `inverse_predictions` (the
    average of 1/B) and, from `backward` to `step`, `sample`. The groups hold the options and three values that are the
    same in all of them: `steps` (the position in the refresh schedule), `overdue` and `fallbacks`; while a sample is
    being accumulated, the first group also holds `pending`. Random numbers are a function of seed, rank, step and call,
    so there is no generator to save.
    """

    RULES: ClassVar[dict[str, Rule]] = {
        "lr": NOT_NEGATIVE,
        "betas": BETAS,
        "eps": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "foreach": FOREACH,
        "loss": (lambda v: isinstance(v, str), "the name of a loss"),
        "factor": (lambda v: v in (*FACTOR_KINDS, CUSTOM), f"one of {', '.join(FACTOR_KINDS)}"),
        "sample_signs": FLAG,
        "curvature_every": (lambda v: is_integer(v, 1), "an integer >= 1"),
        "curvature_warmup": (lambda v: is_integer(v, 0), "an integer >= 0"),
        "seed": (lambda v: is_integer(v, 0), "an integer >= 0"),
        "steps": (lambda v: is_integer(v, 0), "an integer >= 0"),
        "overdue": FLAG,
        "fallbacks": (lambda v: is_integer(v, 0), "an integer >= 0"),
    }
    SHARED = frozenset(
        {"loss", "factor", "sample_signs", "curvature_every", "curvature_warmup", "seed"}
        | {"steps", "overdue", "fallbacks"}
    )

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
        maximize: bool,
        capturable: bool,
        differentiable: bool,
        fused: bool | None,
        seed: int,
    ) -> None:
        self.loss, kind = choose_loss(loss, factor)
        self._parallel = Parallel()
        self._generator: torch.Generator | None = None
        self._witness = Witness()
        self._task = -1  # the backward pass in which the last sample was taken
        self._opaque: set[str] = set()
        self._warned = False
        shared = {
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "loss": type(self.loss).__name__,
            "factor": kind,
            "sample_signs": sample_signs,
            "curvature_every": curvature_every,
            "curvature_warmup": curvature_warmup,
            "seed": seed,
            "steps": 0,
            "overdue": False,
            "fallbacks": 0,
        }
        super().__init__(params, {**defaults, **shared})

    @property
    def refresh_due(self) -> bool:
        """Whether the next step needs a curvature sample, that is, whether `backward` makes a second pass."""
        group = self.param_groups[0]
        after_warmup = group["steps"] - group["curvature_warmup"]
        return group["overdue"] or after_warmup < 0 or after_warmup % group["curvature_every"] == 0

    @property
    def fallbacks(self) -> dict[str, int]:
        """How many steps used a parameter's gradient as its h, by reason; see `step`."""
        count = self.param_groups[0]["fallbacks"]
        return {GRADIENT_USED: count} if count else {}

    def average_over(self, group: "torch.distributed.ProcessGroup | None") -> None:
        """Tell the optimizer that the gradients are averaged over the ranks of `group`, as by DistributedDataParallel.

        Each step then combines the ranks' curvature samples like those of micro-batches of weight 1/R, and each of the
        R ranks draws its own random numbers. None says that this process trains alone, or with others on the same
        samples (tensor parallelism). Without this call, more than one rank is an error, except for parameters sharded
        by `fully_shard` over a one-dimensional mesh, where the group is unambiguous. Call it before the first step.
        """
        self._parallel = Parallel(group, known=True)

    def criterion(
        self,
        loss: str | nn.Module | Loss | None = None,
        *,
        factor: str | FactorFunction | None = None,
        scaler: Scaler | None = None,
    ) -> Criterion:
        """A loss for loops that call `loss.backward()` themselves: Lightning, transformers, a closure.

        ```python
        criterion = optimizer.criterion(nn.CrossEntropyLoss())
        loss = criterion(model(x), y) + penalty
        loss.backward()  # also takes the curvature sample when one is due
        optimizer.step()
        ```

        One model may have several (heads with their own losses), and they may be added, scaled and accumulated. The
        objective's other terms add to the gradient but not to the curvature.

        Args:
            loss: the loss to compute, as for the constructor; None for the optimizer's own.
            factor: as for the constructor; None for the optimizer's own.
            scaler: the `torch.amp.GradScaler` that scales the objective, or a function that returns it if it is created
                later. A scaler that is in use but not given here is an error at the step.

        Raises:
            ValueError: for an unknown name of a loss or a factor, or a factor that the loss does not have.
            TypeError: for a loss without a known factor.
        """
        own: str = self.param_groups[0]["factor"]
        if loss is None and factor is None:
            return Criterion(self, self.loss, own, scaler)
        if factor is None and own == CUSTOM and not isinstance(loss, CustomLoss):
            raise ValueError("the optimizer's factor is a function, made for its own loss: give criterion a factor too")
        return Criterion(self, *choose_loss(self.loss if loss is None else loss, factor or own), scaler)

    @eager
    def backward(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        weight: float = 1.0,
        scaler: torch.amp.GradScaler | None = None,
        retain_graph: bool = False,
    ) -> Tensor:
        """Differentiate `weight * loss(outputs, targets)` into `.grad`, and take the curvature sample when one is due.

        Several calls before one `step` accumulate. Call i, with weight c_i and B_i predictions, samples h_i with
        E[h_i^2] = diag(G_i)/B_i; the h_i are independent with mean 0, so for B = sum_i B_i

            h = sum_i sqrt(c_i B_i / B) h_i   has   E[h^2] = (1/B) sum_i c_i diag(G_i) = diag GGN(sum_i c_i f_i) / B,

        whatever the sizes. A loss with `reduction="sum"` counts each call as one prediction.
        On steps without a refresh (`refresh_due` is False) a plain `loss.backward()` works as well.

        Args:
            outputs: the network's outputs, still attached to their graph.
            targets: as the loss takes them.
            weight: c_i >= 0, the loss's weight in the step's objective: 1/k for the mean over k micro-batches.
            scaler: the `torch.amp.GradScaler` in use; it scales both passes, and a curvature sample that overflows is
                dropped and made up for at the next step.
            retain_graph: keep the graph, as for a second head on the same trunk.

        Returns:
            The unweighted loss, detached.

        Raises:
            TypeError: for outputs that are not a tensor with a row for each sample.
            ValueError: for a weight that is not a number >= 0.
            RuntimeError: for outputs without a graph; for a parameter that the outputs reach in a way that gives it a
                gradient but no sample; for several ranks without a call of `average_over` to say what they share.
        """
        if not weight >= 0:
            raise ValueError(f"weight must be a number >= 0, got {weight!r}")
        check_outputs(outputs)
        loss = self.loss(outputs, targets)
        if not (outputs.requires_grad and loss.requires_grad):
            raise RuntimeError(
                "there is nothing to differentiate: compute the outputs and call backward outside torch.no_grad(), "
                "from parameters that require gradients, without detaching"
            )
        scale = None
        if scaler is not None and scaler.is_enabled():
            scale = scaler.scale(torch.ones((), device=outputs.device))
        unsampled: list[Tensor] = []
        if self.refresh_due:
            self._discard_cleared()
            unsampled = self._take_sample(self.loss, self.param_groups[0]["factor"], outputs, targets, weight, scale)
        if unsampled and self._parallel.averages_gradients:
            self._opaque |= opaque_functions(outputs)  # a gradient that arrives may be another rank's
            unsampled = []
        before = seen(unsampled)
        objective = loss if weight == 1.0 else weight * loss
        torch.autograd.backward(objective if scale is None else objective * scale, retain_graph=retain_graph)
        self._refuse_unsampled([p for p, gradient in before if changed(p, gradient)])
        self._observe()
        return loss.detach()

    @eager
    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        A parameter whose gradient does not come from the outputs (but from a penalty) uses its gradient as h. This is
        counted in `fallbacks`, with a warning the first time. A parameter first moves at its first curvature sample.

        Args:
            closure: clears the gradients, evaluates the model, calls `backward` and returns the loss.

        Raises:
            RuntimeError: when a refresh was due and no sample was taken; for sparse gradients; for a `GradScaler` that
                the criterion was not given.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if hasattr(self, "found_inf"):  # set by a GradScaler, see `_step_supports_amp_scaling`
            del self.found_inf, self.grad_scale  # type: ignore[attr-defined]
            raise RuntimeError(
                "the gradients are scaled by a GradScaler, and the curvature sample was taken without: hand it over, "
                "optimizer.backward(outputs, targets, scaler=scaler) or optimizer.criterion(loss, scaler=scaler)"
            )
        active = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        every = [p for _, params in active for p in params]
        self._refuse_sparse(p.grad for p in every)
        if not every:
            return loss
        due = self.refresh_due
        if self._only_prepares(closure):
            self._prepare(every)
            return loss
        refresh = due and self._complete_sample(every)
        predictions = self.param_groups[0]["pending"]["predictions"] if refresh else None
        for group, params in active:
            if not refresh:
                params = [p for p in params if "curvature" in self.state.get(p, ())]
            if params:
                self._step_group(group, params, predictions)
        self._set_all(steps=self.param_groups[0]["steps"] + 1, overdue=due and not refresh)
        self._discard()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients and the curvature sample that belongs to them."""
        super().zero_grad(set_to_none)
        self._discard()

    @torch.no_grad()
    def curvature_diagonal(self) -> dict[Tensor, Tensor]:
        """`{parameter: B vh}`, the bias-corrected average on the scale of the GGN's diagonal; {} before the first step.

        B may change from batch to batch, so v is divided by the average of 1/B with the same weights as in v's average:
        for a constant GGN the expectation is exact, and for a constant B the result is B vh.
        """
        return {p: state["curvature"] / _inverse_scale(state) for p, state in self._refreshed()}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as in torch, with its options checked.

        Raises:
            ValueError: for an option that is out of range, cannot be set by a group or looks misspelt, and for
                parameters on the meta device.
            TypeError: for complex parameters.
        """
        super().add_param_group(param_group)
        self._parallel = self._parallel.unseen()

    def _check_state_dict(self, state_dict: Any) -> None:
        super()._check_state_dict(state_dict)
        own, saved = self.param_groups[0]["factor"], state_dict["param_groups"][0]["factor"]
        if own != saved and CUSTOM in (own, saved):
            raise ValueError(f"factor is {own!r} here, and was {saved!r} where the state was saved")

    def _restore(self, state_dict: dict[str, Any]) -> None:
        # torch has cast the averages of 1/B to the parameters' dtype.
        for p, saved in self._saved_states(state_dict):
            if "inverse_predictions" in saved:
                average = saved["inverse_predictions"].to(p.device, working_dtype(p), copy=True)
                self.state[p]["inverse_predictions"] = average
        self._set_all(loss=type(self.loss).__name__)
        self._witness.forget()

    @abstractmethod
    def _update(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        samples: list[Tensor] | None,
        states: list[dict[str, Any]],
        predictions: Tensor | None,
    ) -> None:
        """One step of `params` from their gradients g and curvature samples h of B `predictions` (None: no refresh)."""

    def _init_state(self, param: Tensor) -> dict[str, Any]:
        """A parameter's state before its first step. Counters are numbers, not tensors, so reading them never waits."""
        return {
            "step": 0,
            "refreshes": 0,
            "momentum": torch.zeros_like(param, memory_format=torch.preserve_format),
            "curvature": torch.zeros_like(param, memory_format=torch.preserve_format),
            # Average of 1/B with the same weights as `curvature`; in half precision it would soon stop changing.
            "inverse_predictions": torch.zeros((), dtype=working_dtype(param), device=param.device),
        }

    def _prepare(self, params: list[Tensor]) -> list[dict[str, Any]]:
        """The states of `params`, created where missing."""
        for p in params:
            if "curvature" not in self.state[p]:
                self.state[p] |= self._init_state(p)
        return [self.state[p] for p in params]

    def _step_group(self, group: dict[str, Any], params: list[Tensor], predictions: Tensor | None) -> None:
        grads: list[Tensor] = [p.grad for p in params]  # type: ignore[misc]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        states = self._prepare(params)
        samples = None
        if predictions is not None:
            samples = [state.pop("sample", grad) for state, grad in zip(states, grads, strict=True)]
            # Without predictions h = 0 and 1/B counts as 0, so the ratio of the averages does not change.
            inverse = torch.where(predictions > 0, predictions.reciprocal(), 0.0)
            averages = [state["inverse_predictions"] for state in states]
            torch._foreach_lerp_(averages, [inverse.to(average) for average in averages], 1 - group["betas"][1])
        for state in states:
            state["step"] += 1
            state["refreshes"] += samples is not None
        self._update(group, params, grads, samples, states, predictions)

    def _use_foreach(self, group: dict[str, Any], params: list[Tensor]) -> bool:
        foreach: bool | None = group["foreach"]
        return all(p.is_cuda for p in params) if foreach is None else foreach

    def _trainable(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def _refreshed(self) -> Iterable[tuple[Tensor, dict[str, Any]]]:
        return ((p, state) for p, state in self.state.items() if state.get("refreshes"))

    # The sample for the next step: `sample` in the parameters' states, and its common values in the first group.

    @property
    def _pending(self) -> dict[str, Any] | None:
        """`predictions` B, the number of `calls` and whether the sample is `scaled`; None before the first call."""
        pending: dict[str, Any] | None = self.param_groups[0].get("pending")
        return pending

    @property
    def _step_supports_amp_scaling(self) -> bool:
        # Makes a GradScaler announce itself to `step`, which then raises because the sample was taken without it.
        return self._pending is not None and not self._pending["scaled"]

    def _sample_in_backward(
        self, loss: Loss, factor: str, outputs: Tensor, targets: Tensor, weight: Tensor, scale: Tensor | None
    ) -> None:
        """`_take_sample` from inside the user's backward pass, which goes on to compute the gradient."""
        task = torch._C._current_graph_task_id()
        if task != self._task:  # within one pass, a second loss is sampled before there is any gradient
            self._discard_cleared()
        self._task = task
        if self._take_sample(loss, factor, outputs, targets, weight, scale):
            self._opaque |= opaque_functions(outputs)
        torch.autograd.Variable._execution_engine.queue_callback(self._observe)

    @torch.no_grad()
    def _take_sample(
        self, loss: Loss, factor: str, outputs: Tensor, targets: Tensor, weight: Tensor | float, scale: Tensor | None
    ) -> list[Tensor]:
        """Add one loss's sample to the step's, and return the parameters that still have none."""
        params = self._trainable()
        if not params:
            return []  # all frozen: the gradient is for other parameters
        first = self._pending is None
        pending = self._pending or {"predictions": None, "calls": 0, "scaled": False}
        self._parallel.settle(outputs, params)
        working = outputs.detach().to(working_dtype(outputs))
        generator = self._draws(outputs.device, pending["calls"])
        group = self.param_groups[0]
        v = loss.factor(working, targets, kind_of(factor), generator, sample_signs=group["sample_signs"])
        predictions, share = self._parallel.share_before(loss.predictions(working, targets))
        weight = weight * share
        # h <- sqrt(B_before / B) h + sqrt(c_i B_i / B) h_i: normalised at every call, so a lone sample stays as it is.
        if first:
            total = predictions
            if not (isinstance(weight, float) and weight == 1.0):
                v = v * (math.sqrt(weight) if isinstance(weight, float) else weight.sqrt())
        else:
            total = pending["predictions"].to(predictions) + predictions
            divisor = total.clamp(min=torch.finfo(total.dtype).tiny)
            self._scale_samples(((total - predictions) / divisor).sqrt())
            v = v * (weight * predictions / divisor).sqrt()
        v = (v if scale is None else v * scale).to(outputs.dtype)
        for p, sample in zip(params, self._parallel.pull_back(outputs, v, params), strict=True):
            if sample is not None:
                self._add_sample(p, sample if scale is None else sample / scale.to(sample))
        scaled = pending["scaled"] or scale is not None
        group["pending"] = {"predictions": total, "calls": pending["calls"] + 1, "scaled": scaled}
        return [p for p in params if "sample" not in self.state.get(p, ())]

    def _add_sample(self, p: Tensor, sample: Tensor) -> None:
        state = self.state[p]
        state["sample"] = state["sample"] + sample if "sample" in state else sample

    def _scale_samples(self, factor: Tensor) -> None:
        for state in self.state.values():
            if "sample" in state:
                state["sample"] = state["sample"] * factor.to(state["sample"])

    def _complete_sample(self, active: list[Tensor]) -> bool:
        """Combine the ranks' samples, and return whether all are finite.

        That is checked only under a GradScaler, which waits for the device anyway; otherwise the answer is True.

        Raises:
            RuntimeError: when no sample was taken.
        """
        pending = self._pending
        if pending is None:
            raise RuntimeError(
                "this step refreshes the curvature, so it needs opt.backward(outputs, targets) in place of "
                "loss.backward(), or a loss computed by opt.criterion() (opt.refresh_due says which steps do)"
            )
        samples = {p: self.state[p]["sample"] for p in active if "sample" in self.state.get(p, ())}
        pending["predictions"], samples = self._parallel.combine(pending["predictions"], samples, active)
        for p, sample in samples.items():
            self.state[p]["sample"] = sample
        self._fall_back([p for p in active if p not in samples])
        return not pending["scaled"] or all(bool(sample.isfinite().all()) for sample in samples.values())

    def _fall_back(self, unsampled: list[Tensor]) -> None:
        """Count and warn about parameters with a gradient but no sample, or refuse if the outputs may reach them.

        Raises:
            RuntimeError: when the outputs' graph has functions whose backward autograd cannot see through, or the
                parameters are sharded.
        """
        if not unsampled:
            return
        if self._parallel.is_sharded:
            raise RuntimeError(
                f"{self._named(unsampled)}: a gradient, but no curvature sample. Under fully_shard a penalty needs a "
                "backward pass of its own, after optimizer.backward(outputs, targets), and the outputs must reach "
                "every parameter that it reaches"
            )
        if self._opaque:
            self._refuse_unsampled(unsampled)
        self._set_all(fallbacks=self.param_groups[0]["fallbacks"] + 1)
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._named(unsampled)}: a gradient, but no curvature sample, as the outputs of the loss do not "
                "depend on it. Its gradient takes the sample's place, as in Adam; `fallbacks` counts such steps",
                stacklevel=5,
            )

    def _refuse_unsampled(self, unsampled: Sequence[Tensor]) -> None:
        if unsampled:
            through = f" {', '.join(sorted(self._opaque))}" if self._opaque else ""
            raise RuntimeError(
                f"{self._named(unsampled)}: a gradient, but no curvature sample. The outputs reach it through a custom "
                f"function{through} that autograd does not see through: torch.utils.checkpoint needs "
                "use_reentrant=False, and FullyShardedDataParallel has to give way to fully_shard"
            )

    def _discard_cleared(self) -> None:
        """Drop a sample whose gradients were cleared other than by `zero_grad`."""
        waits = self._pending is not None
        if waits and self._witness.was_cleared(self._trainable(), in_place=self._parallel.is_alone):
            self._discard()

    def _observe(self) -> None:
        self._witness.look(p for p, state in self.state.items() if "sample" in state)

    def _discard(self) -> None:
        for p in [p for p, state in self.state.items() if "sample" in state]:
            del self.state[p]["sample"]
            if not self.state[p]:
                del self.state[p]
        self.param_groups[0].pop("pending", None)
        self._witness.forget()
        self._opaque = set()

    def _draws(self, device: torch.device, call: int) -> torch.Generator:
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device)
        group = self.param_groups[0]
        return self._generator.manual_seed(draw_seed(group["seed"], self._parallel.rank, group["steps"], call))

    def __getstate__(self) -> dict[str, Any]:
        # Generators and process groups cannot be copied: the first is created anew, the second has to be given again.
        fresh = {"_generator": None, "_parallel": self._parallel.without_group(), "_witness": Witness()}
        return {**super().__getstate__(), **fresh}


def draw_seed(seed: int, rank: int, step: int, call: int) -> int:
    """Seed of one sample's random numbers, in [0, 2^63): there is nothing to save, and nothing is drawn twice."""
    digest = blake2b(f"{seed} {rank} {step} {call}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _inverse_scale(state: dict[str, Any]) -> Tensor:
    """The divisor that turns v into B vh: the average of 1/B, whose bias correction cancels v's."""
    average: Tensor = state["inverse_predictions"]
    return average.clamp(min=torch.finfo(average.dtype).tiny)  # no prediction so far: 0/0 must be 0

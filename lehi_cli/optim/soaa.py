"""SOAA: Adam with a trust region, which follows how far the loss falls as predicted.

Where the second moment is small this is Adam with an extra factor d on the rate; where it is large, sqrt(v) gives way
to c v, a diagonal of the "Fisher" (an average of squared mini-batch gradients). After every step the model says by how
much the loss should fall; how much it did fall, against an average of past losses, scales d within bounds that narrow
over the run, which is why the number of steps must be known. The losses compared come from different mini-batches.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from lehi_cli.curvature.loss import working_dtype
from lehi_cli.optim.checked import CheckedOptimizer, eager, shared_option
from lehi_cli.optim.options import BETAS, COUNT, FLAG, FOREACH, NOT_NEGATIVE, PART, POSITIVE, is_integer


class SOAA(CheckedOptimizer):
    """Second-order adaptive Adam.

    With g the gradient (shapes of the parameter), f the loss at the weights before step t of T, and sums over all
    entries i of all parameters (with `scope="tensor"` of one tensor, and then c, d, rho and p are per tensor):

        m <- b1 m + (1 - b1) g                          mh = m / (1 - b1^t)
        v <- b2 v + (1 - b2) g^2                        vh = v / (1 - b2^t)
        c = 1 + sum_i mh_i^2 / sum_i (vh_i + eps)
        r = max(d c vh, sqrt(vh))                       elementwise
        u = d mh / (r + eps)
        w <- (1 - lr weight_decay) w - lr u
        lh <- lh + (1 - b1) / (1 - b1^t) (f - lh)       the bias-corrected average of the losses
        rho = (lh - f) / max(p, eps)                    p as the previous step left it, 0 at first
        d <- min(max(rho d, (1 - gamma)^q), 1 + gamma^q)   q = (t - 1) / T; d = 1 at first; for the next step
        p <- lr sum_i ( mh_i u_i - 1/2 vh_i u_i^2 )

    The paper's algorithm box leaves room for interpretation: where its readers differ there is an option, and the
    defaults are the readings that agree. A loss that is not finite leaves lh unchanged, and a rho that is not finite
    counts as 1. In mh and vh, t counts the parameter's own gradients.

    Memory: m and v, two copies of the parameters. Nothing waits for the device.

    Args:
        params: parameters, named parameters, or parameter groups. A group may set its own lr, weight_decay and foreach.
        lr: learning rate. The steps are d times Adam's, with d up to 2: compare at rates tuned for each.
        betas: decay of the averages of g (and f), and of g^2.
        eps: added to both denominators, and the floor of p; above 0.
        weight_decay: decoupled: parameters shrink by the factor 1 - lr * weight_decay per step.
        total_steps: T, the number of steps in the run.
        gamma: in [0, 1), the bounds of d: [1, 2] at first, [1 - gamma, 1 + gamma] at the end.
        scope: `"all"` or `"tensor"`: the loss is modelled for all parameters together, or for each tensor by itself.
        lhat: `"inclusive"`: f is part of the average it is compared with; `"previous"`: it is not (rho = 0 at t = 1).
        same_step: use the new d in the step whose f produced it, not only from the next one on.
        schedule: `"t-1"`: q = (t - 1) / T; `"t"`: q = t / T.
        foreach: one kernel per operation for all parameters of a group; None: when all of them are on CUDA.
        maximize: climb instead: g and f are replaced by -g and -f.
        capturable, differentiable, fused: as in `torch.optim`; an error when on.

    A parameter's state holds `step`, `momentum` (m) and `second_moment` (v); the groups hold `steps` (t) and `average`
    (lh). `trust` (d), `predicted` (p) and `rho` are in the groups, or in the state for `scope="tensor"`.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group.
        TypeError: for complex parameters.

    Source: Vo, "SOAA", arXiv 2410.02293, as reconstructed from two independent readers; its parent is Tadam (Neural
    Networks 167, 2023).
    """

    RULES = {
        "lr": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "betas": BETAS,
        "eps": POSITIVE,
        "total_steps": (lambda v: is_integer(v, 1), "an integer >= 1, the number of steps of the run"),
        "gamma": PART,
        "scope": (lambda v: v in ("all", "tensor"), "'all' or 'tensor'"),
        "lhat": (lambda v: v in ("inclusive", "previous"), "'inclusive' or 'previous'"),
        "same_step": FLAG,
        "schedule": (lambda v: v in ("t-1", "t"), "'t-1' or 't'"),
        "foreach": FOREACH,
        "steps": COUNT,
    }
    SHARED = frozenset(
        {"betas", "eps", "total_steps", "gamma", "scope", "lhat", "same_step", "schedule", "maximize"}
        | {"steps", "average", "trust", "predicted", "rho"}
    )
    LAYOUT = ("scope",)

    betas = shared_option("betas", "Decay of the averages of g (and f), and of g^2.")
    eps = shared_option("eps", "What is added to both denominators.")
    total_steps = shared_option("total_steps", "T, the number of steps of the run.")
    gamma = shared_option("gamma", "How far d may go.")
    scope = shared_option("scope", "Whether the model of the loss is of all parameters, or of every tensor by itself.")
    lhat = shared_option("lhat", "Whether f is part of the average that it is compared with.")
    same_step = shared_option("same_step", "Whether the new d serves in the step of the f that made it.")
    schedule = shared_option("schedule", "Where in the run the first step is.")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        total_steps: int,
        gamma: float = 0.1,
        scope: str = "all",
        lhat: str = "inclusive",
        same_step: bool = False,
        schedule: str = "t-1",
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "total_steps": total_steps,
            "gamma": gamma,
            "scope": scope,
            "lhat": lhat,
            "same_step": same_step,
            "schedule": schedule,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "steps": 0,
        }
        super().__init__(params, defaults)
        scalar = _scalar(self.param_groups[0]["params"])
        self._set_all(average=scalar)
        if scope == "all":
            self._set_all(**_first_model(scalar))

    @property
    def diagnostics(self) -> dict[str, Tensor]:
        """`trust`, the d of the next step, and `rho` of the last, as means over the tensors; {} before the first.

        They are 0-dim tensors on the device: nothing waits until their values are read.
        """
        if self.param_groups[0]["steps"] == 0:
            return {}
        owners = self.param_groups[:1] if self.scope == "all" else list(self.state.values())
        home = owners[0]["trust"]
        return {name: torch.stack([owner[name].to(home) for owner in owners]).mean() for name in ("trust", "rho")}

    @eager
    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Tensor | float | Callable[[], Tensor | float] | None = None
    ) -> Tensor | float | None:
        """Update every parameter that has a gradient.

        Args:
            closure: the loss whose gradients these are, at the weights before the step: a number, a tensor of one
                element, or a closure that clears the gradients, evaluates the model, calls `backward` and returns it.

        Returns:
            The loss as given, or as the closure returned it.

        Raises:
            TypeError: without a loss.
            ValueError: for a loss of more than one element.
            RuntimeError: for a step beyond `total_steps`; for sparse gradients.
        """
        if self._only_prepares(closure):
            self._prepare(self._active())
            return None
        if closure is None:
            raise TypeError("SOAA compares the loss with what it predicted: call step(loss), or step(closure)")
        steps, total_steps = self.param_groups[0]["steps"], self.total_steps
        if steps >= total_steps:
            raise RuntimeError(
                f"this is step {steps + 1}, and total_steps={total_steps}: the bounds of the trust region end there; "
                "build SOAA with the number of steps of the run"
            )
        with torch.enable_grad():
            loss = closure() if not isinstance(closure, Tensor) and callable(closure) else closure
        if isinstance(loss, Tensor) and loss.numel() != 1:
            raise ValueError(f"loss must be one number, got a tensor of shape {list(loss.shape)}")
        params = self._active()
        self._refuse_sparse(p.grad for p in params)
        if params:
            self._prepare(params)
            self._advance(loss, params)
        return loss

    def _advance(self, loss: Tensor | float, params: list[Tensor]) -> None:
        scalar = _scalar(params)
        value = loss.detach().reshape(()).to(scalar) if isinstance(loss, Tensor) else scalar + loss
        if self.param_groups[0]["maximize"]:
            value = -value
        self._set_all(steps=self.param_groups[0]["steps"] + 1)
        before, after = self._judge(value, params)
        trust = after if self.same_step else before
        batches = [self._average_moments(group, scalar) for group in self.param_groups]
        moments = torch.stack([total for _, batch in batches for total in batch])
        if self.scope == "all":
            moments = moments.sum(0, keepdim=True)
        scales = fisher_scale(moments[:, 0], moments[:, 1])
        predicted: list[Tensor] = []
        for group, (active, _) in zip(self.param_groups, batches, strict=True):
            first = len(predicted)
            per_tensor = slice(first, first + len(active)) if self.scope == "tensor" else slice(0, 1)
            predicted += self._move(group, active, trust[per_tensor], scales[per_tensor], scalar)
        together = torch.stack(predicted)
        together = together.sum(0, keepdim=True) if self.scope == "all" else together
        self._write("trust", after, params)
        self._write("predicted", together, params)

    def _judge(self, loss: Tensor, params: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Take in the loss, and return d before and after it, for all parameters [1] or for each [k]."""
        group = self.param_groups[0]
        beta1, t, gamma = group["betas"][0], group["steps"], group["gamma"]
        trust = self._read("trust", params, loss)
        past = loss if t == 1 else group["average"].to(loss)
        # An average, not b1 lbar + (1 - b1) f over 1 - b1^t: so at t = 1 it is f to the last bit, and rho exactly 0.
        average = torch.lerp(past, loss, (1 - beta1) / (1 - beta1**t))
        average = torch.where(past.isfinite(), average, loss)
        average = torch.where(loss.isfinite(), average, past)
        self._set_all(average=average)
        expected = average if group["lhat"] == "inclusive" else past
        rho = (expected - loss) / self._read("predicted", params, loss).clamp(min=group["eps"])
        self._write("rho", rho, params)
        q = (t if group["schedule"] == "t" else t - 1) / group["total_steps"]
        return trust, next_trust(trust, rho, (1 - gamma) ** q, 1 + gamma**q)

    def _average_moments(self, group: dict[str, Any], scalar: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Update m and v; return the parameters with a gradient, and for each (sum mh^2, sum (vh + eps)), [2]."""
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return [], []
        for p in params:
            self.state[p]["step"] += 1
        grads: list[Tensor] = [p.grad for p in params]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        momenta, seconds = self._moments(params)
        average = _multi_tensor_average if _use_foreach(group, params) else _single_tensor_average
        average(grads, momenta, seconds, beta1=group["betas"][0], beta2=group["betas"][1])
        # Taken as norms, the first one squared: one kernel each, and no tensor of squares.
        widest = reduce(torch.promote_types, (p.dtype for p in params), scalar.dtype)
        mean_norms = torch._foreach_norm(momenta, 2, dtype=widest)
        square_norms = torch._foreach_norm(seconds, 1, dtype=widest)
        scales = [self._corrections(p) for p in params]
        torch._foreach_div_(mean_norms, [scale for scale, _ in scales])
        torch._foreach_div_(square_norms, [scale for _, scale in scales])
        torch._foreach_add_(square_norms, [group["eps"] * p.numel() for p in params])
        pairs = zip(mean_norms, square_norms, strict=True)
        return params, [torch.stack([mean * mean, square]).to(scalar) for mean, square in pairs]

    def _move(
        self, group: dict[str, Any], params: list[Tensor], trust: Tensor, scales: Tensor, scalar: Tensor
    ) -> list[Tensor]:
        """Move parameters of a group, and return the predicted fall of the loss for each, 0-dim."""
        if not params:
            return []
        move = _multi_tensor_soaa if _use_foreach(group, params) else _single_tensor_soaa
        corrections = [self._corrections(p) for p in params]
        falls = move(
            params,
            *self._moments(params),
            [scale for scale, _ in corrections],
            [scale for _, scale in corrections],
            trust.unbind(),
            scales.unbind(),
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            dtype=scalar.dtype,
        )
        return [group["lr"] * fall.to(scalar.device) for fall in falls]

    def _restore(self, state_dict: dict[str, Any]) -> None:
        # torch has cast d, p and rho to the parameters' dtype.
        for p, saved in self._saved_states(state_dict):
            exact = {name: saved[name].to(p.device, copy=True) for name in _MODEL if name in saved}
            self.state[p] |= exact

    def _active(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]

    def _prepare(self, params: list[Tensor]) -> None:
        """Create missing states."""
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["momentum"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                state["second_moment"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                if self.scope == "tensor":
                    state |= _first_model(_scalar(params))

    def _read(self, name: str, params: list[Tensor], like: Tensor) -> Tensor:
        """A value of the model for all parameters [1] or for each [k], on the device and in the dtype of `like`."""
        owners = self.param_groups[:1] if self.scope == "all" else [self.state[p] for p in params]
        return torch.stack([owner[name].to(like) for owner in owners])

    def _write(self, name: str, values: Tensor, params: list[Tensor]) -> None:
        if self.scope == "all":
            self._set_all(**{name: values[0]})
            return
        for p, value in zip(params, values.unbind(), strict=True):
            self.state[p][name] = value

    def _moments(self, params: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        states = [self.state[p] for p in params]
        return [state["momentum"] for state in states], [state["second_moment"] for state in states]

    def _corrections(self, param: Tensor) -> tuple[float, float]:
        """The bias corrections of m and v, by which they are divided."""
        beta1, beta2 = self.betas
        t = self.state[param]["step"]
        return 1 - beta1**t, 1 - beta2**t


_MODEL = ("trust", "predicted", "rho")


def _first_model(scalar: Tensor) -> dict[str, Tensor]:
    """The values of d, p and rho before the first step: separate tensors, because checkpoints are read into them."""
    return {"trust": torch.ones_like(scalar), "predicted": torch.zeros_like(scalar), "rho": torch.zeros_like(scalar)}


def _scalar(params: Sequence[Tensor]) -> Tensor:
    """0, in the dtype and on the device used to judge the loss."""
    return torch.zeros((), dtype=working_dtype(params[0]), device=params[0].device)


def _use_foreach(group: dict[str, Any], params: list[Tensor]) -> bool:
    foreach: bool | None = group["foreach"]
    return all(p.is_cuda for p in params) if foreach is None else foreach


def fisher_scale(mean_total: Tensor, square_total: Tensor) -> Tensor:
    """The factor c = 1 + sum mh^2 / sum (vh + eps); 1 where an overflow leaves no finite ratio."""
    ratio = mean_total / square_total
    return 1 + torch.where(ratio.isfinite(), ratio, 0.0)


def next_trust(trust: Tensor, rho: Tensor, low: float, high: float) -> Tensor:
    """The trust-region size after a step: rho d, or d where rho is not finite, clamped to [low, high]."""
    return torch.where(rho.isfinite(), rho * trust, trust).clamp(low, high)


def soaa_step(mean: Tensor, square: Tensor, trust: Tensor, scale: Tensor, eps: float | Tensor) -> Tensor:
    """The step before the learning rate: u = d mh / (max(d c vh, sqrt(vh)) + eps).

    A pure function of mh, vh (any one shape) and the 0-dim d, c; `torch.vmap` maps it over stacked runs.
    """
    return (mean * trust) / (torch.maximum(square * (trust * scale), square.sqrt()) + eps)


def predicted_fall(mean: Tensor, square: Tensor, step: Tensor, dtype: torch.dtype) -> Tensor:
    """The fall of the loss that the model predicts, per unit of lr: sum (mh u - 1/2 vh u^2), 0-dim."""
    return torch.addcmul(mean, square, step, value=-0.5).mul_(step).sum(dtype=dtype)


def _single_tensor_average(
    grads: list[Tensor], momenta: list[Tensor], seconds: list[Tensor], *, beta1: float, beta2: float
) -> None:
    """Update the averages of g and g^2, in place."""
    for grad, momentum, second in zip(grads, momenta, seconds, strict=True):
        momentum.lerp_(grad, 1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)


def _multi_tensor_average(
    grads: list[Tensor], momenta: list[Tensor], seconds: list[Tensor], *, beta1: float, beta2: float
) -> None:
    """`_single_tensor_average` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    torch._foreach_lerp_(momenta, grads, 1 - beta1)
    torch._foreach_mul_(seconds, beta2)
    torch._foreach_addcmul_(seconds, grads, grads, 1 - beta2)


def _single_tensor_soaa(
    params: list[Tensor],
    momenta: list[Tensor],
    seconds: list[Tensor],
    mean_scales: list[float],
    square_scales: list[float],
    trusts: Sequence[Tensor],
    scales: Sequence[Tensor],
    *,
    lr: float,
    weight_decay: float,
    eps: float,
    dtype: torch.dtype,
) -> list[Tensor]:
    """Move the parameters in place, and return the predicted fall for each. One d and c for all, or one for each."""
    falls = []
    for i, (p, momentum, second) in enumerate(zip(params, momenta, seconds, strict=True)):
        mean, square = momentum / mean_scales[i], second / square_scales[i]
        own = i if len(trusts) > 1 else 0
        step = soaa_step(mean, square, trusts[own].to(p.device), scales[own].to(p.device), eps)
        falls.append(predicted_fall(mean, square, step, dtype))
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        p.add_(step, alpha=-lr)
    return falls


def _multi_tensor_soaa(
    params: list[Tensor],
    momenta: list[Tensor],
    seconds: list[Tensor],
    mean_scales: list[float],
    square_scales: list[float],
    trusts: Sequence[Tensor],
    scales: Sequence[Tensor],
    *,
    lr: float,
    weight_decay: float,
    eps: float,
    dtype: torch.dtype,
) -> list[Tensor]:
    """`_single_tensor_soaa` with one kernel per operation for all parameters: bitwise the same on a CPU."""
    means = torch._foreach_div(momenta, mean_scales)
    squares = torch._foreach_div(seconds, square_scales)
    denominators = _times(squares, [trust * scale for trust, scale in zip(trusts, scales, strict=True)])
    torch._foreach_maximum_(denominators, torch._foreach_sqrt(squares))
    torch._foreach_add_(denominators, eps)
    steps = _times(means, trusts)
    torch._foreach_div_(steps, denominators)
    falls = [predicted_fall(*each, dtype) for each in zip(means, squares, steps, strict=True)]
    if weight_decay != 0:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_add_(params, steps, alpha=-lr)
    return falls


def _times(tensors: list[Tensor] | tuple[Tensor, ...], factors: Sequence[Tensor]) -> list[Tensor]:
    """Every tensor times its own 0-dim factor, or times the only one there is."""
    if len(factors) > 1:
        return [tensor * factor.to(tensor.device) for tensor, factor in zip(tensors, factors, strict=True)]
    if any(tensor.device != factors[0].device for tensor in tensors):
        return [tensor * factors[0].to(tensor.device) for tensor in tensors]
    return list(torch._foreach_mul(tensors, factors[0]))

"""Muon for the hidden matrices, AdamW for everything else, behind one optimizer.

Muon replaces a matrix's averaged gradient by the nearest semi-orthogonal matrix, which is meant for matrices that map
hidden units to hidden units. Embeddings, the output layer, norms and biases are left to AdamW. Each group is for one or
the other, and torch's own functions do the update.
"""

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim._muon import muon
from torch.optim.adamw import adamw

from lehi_cli.optim.checked import CheckedOptimizer, eager
from lehi_cli.optim.options import BETAS, FLAG, FOREACH, NOT_NEGATIVE, is_integer


class MuonAdamW(CheckedOptimizer):
    """`torch.optim.Muon` for `matrices` and `torch.optim.AdamW` for `rest`, bit for bit.

    For a matrix, with g its gradient (n x k), mu `momentum`, NS the Newton-Schulz iteration towards U V^T:

        B <- mu B + (1 - mu) g,   O = NS( mu B + (1 - mu) g ) with Nesterov, NS(B) without
        w <- (1 - lr weight_decay) w - lr' O,   lr' = 0.2 lr sqrt(max(n, k)) for "match_rms_adamw"

    so that one lr, in AdamW's unit (about one lr per coordinate and step), serves both. With no matrices it is AdamW;
    with nothing else it is Muon.

    Args:
        matrices: named tensors, all 2-D, or plain tensors, or groups of them.
        rest: named tensors, or plain tensors, or groups of them. A group may set any option of its own. A group added
            later says whether it is for Muon: `use_muon=True` or `False`.
        lr: learning rate of both.
        weight_decay: decoupled weight decay of both; the default is `torch.optim.Muon`'s.
        momentum: mu.
        nesterov: whether the direction looks one step ahead.
        ns_steps: Newton-Schulz iterations.
        adjust_lr_fn: how lr' depends on the shape, as for `torch.optim.Muon`.
        betas: AdamW's.
        eps: AdamW's, outside the root.
        foreach: AdamW's: one kernel per operation for all parameters of a group; None: as torch chooses.
        maximize: climb instead: g is replaced by -g.
        capturable, differentiable, fused: as in `torch.optim`; an error when on.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group; for a matrix that
            does not have two dimensions; when there are no parameters at all.
        TypeError: for complex parameters.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

    RULES = {
        "lr": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "momentum": NOT_NEGATIVE,
        "nesterov": FLAG,
        "ns_steps": (lambda v: is_integer(v, 1) and v < 100, "an integer in [1, 99]"),
        "adjust_lr_fn": (lambda v: _is_known(v), "one that torch.optim.Muon knows"),
        "betas": BETAS,
        "eps": NOT_NEGATIVE,
        "foreach": FOREACH,
        "use_muon": FLAG,
    }
    LAYOUT = ("use_muon",)

    def __init__(
        self,
        matrices: Iterable[Any],
        rest: Iterable[Any],
        lr: float = 1e-3,
        *,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "betas": betas,
            "eps": eps,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "use_muon": False,
        }
        super().__init__([*_groups(matrices, use_muon=True), *_groups(rest, use_muon=False)], defaults)

    @classmethod
    def for_model(cls, model: nn.Module, **options: Any) -> "MuonAdamW":
        """The optimizer of a model's parameters as split by `split_matrices`; `options` as in the constructor."""
        return cls(*split_matrices(model), **options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as in torch, with its options checked.

        Raises:
            ValueError: for an option that is out of range or looks misspelt; for a group with matrices that does not
                say whether it is for Muon; for a parameter that is not a matrix in a group for Muon.
            TypeError: for complex parameters.
        """
        undecided = "use_muon" not in param_group
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_shapes(group, undecided)
        except ValueError:
            self.param_groups.pop()
            raise

    @eager
    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update every parameter that has a gradient; the closure, if any, is called once.

        Raises:
            RuntimeError: for sparse gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = [(group, [p for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        self._refuse_sparse(p.grad for _, params in active for p in params)
        for group, params in active:
            update = self._muon if group["use_muon"] else self._adamw
            if params:
                update(group, params, [p.grad for p in params])
        return loss

    def _muon(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        for p, grad in zip(params, grads, strict=True):
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        muon(
            params,
            list(torch._foreach_neg(grads)) if group["maximize"] else grads,
            [self.state[p]["momentum_buffer"] for p in params],
            **{name: group[name] for name in ("lr", "weight_decay", "momentum", "nesterov", "ns_steps")},
            adjust_lr_fn=group["adjust_lr_fn"],
            has_complex=False,
            **_TORCHS_DEFAULTS,
        )

    def _adamw(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        for p in params:
            if "step" not in self.state[p]:
                self.state[p] |= {
                    "step": torch.tensor(0.0, dtype=torch.float32),
                    "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
                }
        states = [self.state[p] for p in params]
        beta1, beta2 = group["betas"]
        # torch's fast path only takes a number.
        lr = float(group["lr"]) if group["foreach"] else group["lr"]
        adamw(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=group["foreach"],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def _defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in signature(function).parameters.items()
        if parameter.default is not Parameter.empty
    }


# The other arguments that the installed torch's function takes, with the defaults of torch's class.
_TORCHS_DEFAULTS = {
    name: value
    for name, value in _defaults_of(torch.optim.Muon).items()
    if name in signature(muon).parameters and name not in MuonAdamW.RULES.keys() - {"eps"}
}


def _is_known(adjust_lr_fn: Any) -> bool:
    try:
        torch.optim.Muon([torch.zeros(1, 1)], adjust_lr_fn=adjust_lr_fn)
    except ValueError:
        return False
    return True


def _groups(params: Iterable[Any], use_muon: bool) -> list[dict[str, Any]]:
    items = list(params)
    if items and isinstance(items[0], dict):
        return [{**item, "use_muon": use_muon} for item in items]
    return [{"params": items, "use_muon": use_muon}] if items else []


def _check_shapes(group: dict[str, Any], undecided: bool) -> None:
    if undecided and any(p.ndim == 2 for p in group["params"]):
        raise ValueError(
            "this group has matrices: say use_muon=True for those between hidden layers, or use_muon=False for "
            "embeddings and the output layer"
        )
    for p in group["params"]:
        if group["use_muon"] and p.ndim != 2:
            raise ValueError(f"Muon takes 2D parameters, got one of shape {list(p.shape)}: that is for AdamW")


def split_matrices(model: nn.Module) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """A model's trainable parameters as (matrices for Muon, rest).

    Matrices are the parameters with exactly two dimensions, except embeddings and the output layer, which is taken to
    be the 2-D parameter registered last. A weight that the output layer shares with an embedding counts as both.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    # Duplicates included: a tied output layer is the embedding's weight under a second name.
    output = [id(p) for _, p in model.named_parameters(remove_duplicate=False) if p.ndim == 2][-1:]
    excluded = embeddings | set(output)
    trainable: list[tuple[str, Tensor]] = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [(name, p) for name, p in trainable if p.ndim == 2 and id(p) not in excluded]
    chosen = {id(p) for _, p in matrices}
    return matrices, [(name, p) for name, p in trainable if id(p) not in chosen]

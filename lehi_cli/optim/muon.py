"""Muon for the hidden matrices, AdamW for everything else, behind one optimizer.

Muon replaces a matrix's averaged gradient by the nearest semi-orthogonal matrix, which is meant for matrices that map
hidden units to hidden units. Embeddings, the output layer, norms and biases want AdamW. Both run here side by side.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for `matrices` and `torch.optim.AdamW` for `rest`.

    For a matrix, with g its gradient (n x k), mu `momentum`, NS the Newton-Schulz iteration towards U V^T:

        B <- mu B + (1 - mu) g,   O = NS( mu B + (1 - mu) g ) with Nesterov, NS(B) without
        w <- (1 - lr weight_decay) w - lr' O,   lr' = 0.2 lr sqrt(max(n, k)) for "match_rms_adamw"

    so that one lr, in AdamW's unit (about one lr per coordinate and step), serves both. The parameter groups are the
    children's own, so a scheduler moves both. Without matrices it is AdamW, without others Muon.

    Args:
        matrices: names and tensors, all 2-D, or plain tensors.
        rest: names and tensors, or plain tensors.
        lr: learning rate of both.
        weight_decay: decoupled weight decay of both; the default is `torch.optim.Muon`'s.
        momentum: mu.
        nesterov: whether the direction looks one step ahead.
        ns_steps: Newton-Schulz iterations.
        adjust_lr_fn: how lr' depends on the shape, as `torch.optim.Muon` takes it.
        betas: AdamW's.
        eps: AdamW's, outside the root.

    Raises:
        ValueError: when there is no parameter at all, or as the children do.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """

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
    ) -> None:
        matrices, rest = list(matrices), list(rest)
        self._children: list[torch.optim.Optimizer] = []
        if matrices:
            self._children.append(
                torch.optim.Muon(
                    matrices,
                    lr,
                    weight_decay,
                    momentum,
                    nesterov,
                    ns_steps=ns_steps,
                    adjust_lr_fn=adjust_lr_fn,
                )
            )
        if rest:
            self._children.append(torch.optim.AdamW(rest, lr, betas, eps, weight_decay))
        groups = [group for child in self._children for group in child.param_groups]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self._share()

    @classmethod
    def for_model(cls, model: nn.Module, **options: Any) -> "MuonAdamW":
        """The optimizer of a model's parameters, split by `split_matrices`; `options` as in the constructor."""
        return cls(*split_matrices(model), **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step of both children; the closure, if any, is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for child in self._children:
            child.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch."""
        super().load_state_dict(state_dict)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_children": self._children}

    def _share(self) -> None:
        """Give the children this optimizer's groups and state: there is one copy of each, and torch saves it."""
        groups = iter(self.param_groups)
        for child in self._children:
            child.param_groups = [next(groups) for _ in child.param_groups]
            child.state = self.state


def split_matrices(model: nn.Module) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """A model's trainable parameters as (matrices for Muon, rest).

    Matrices are the parameters with exactly two dimensions, except embeddings and the output layer, which is taken to
    be the 2-D parameter registered last. A weight that the output layer shares with an embedding counts as both.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    # With duplicates: a tied output layer is the embedding's weight under its second name.
    output = [id(p) for _, p in model.named_parameters(remove_duplicate=False) if p.ndim == 2][-1:]
    excluded = embeddings | set(output)
    trainable: list[tuple[str, Tensor]] = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [(name, p) for name, p in trainable if p.ndim == 2 and id(p) not in excluded]
    chosen = {id(p) for _, p in matrices}
    return matrices, [(name, p) for name, p in trainable if id(p) not in chosen]

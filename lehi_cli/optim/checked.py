"""What every optimizer written here has in common: what it refuses, and copies and checkpoints that are whole."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

DENSE = "make the embedding that they come from with sparse=False"
_FREE = {"params", "param_names", "name", "initial_lr"}
_TORCHS_OWN = ("_optimizer", "_zero", "step")


class CheckedOptimizer(torch.optim.Optimizer, ABC):
    """A `torch.optim.Optimizer` that refuses options it does not have, and parameters it cannot move."""

    @abstractmethod
    def _check_group(self, options: dict[str, Any]) -> None:
        """Check a group's options, defaults filled in.

        Raises:
            ValueError: naming the option, its value and what is allowed.
        """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as in torch, with its options checked.

        Raises:
            ValueError: for an option that is unknown or out of range, and for parameters on the meta device.
            TypeError: for complex parameters.
        """
        unknown = sorted(set(param_group) - _FREE - set(self.defaults))
        if unknown:
            raise ValueError(f"a parameter group may set {', '.join(sorted(self.defaults))}; got {', '.join(unknown)}")
        self._check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_params(group["params"])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        # In-place operations take 0-dim scalars only; as views they follow whoever changes the tensor in place.
        group |= {name: group[name].squeeze() for name in self.defaults if isinstance(group[name], Tensor)}

    def _saved(self, state_dict: dict[str, Any], name: str) -> dict[str, Any]:
        """What a state_dict holds under `name`, the part that torch does not know.

        Raises:
            ValueError: for the state_dict of another kind of optimizer.
        """
        options = set(self.defaults).intersection(*state_dict["param_groups"])
        missing = [*({name} - set(state_dict)), *sorted(set(self.defaults) - options)]
        if missing:
            raise ValueError(f"this state_dict is not that of a {type(self).__name__}: it has no {', '.join(missing)}")
        saved: dict[str, Any] = state_dict[name]
        return saved

    def _refuse_sparse(self, grads: Iterable[Tensor | None]) -> None:
        if any(grad is not None and grad.is_sparse for grad in grads):
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients: {DENSE}")

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles: the hooks stay behind, as in torch, and a `step` that a scheduler has wrapped.
        own = {name: value for name, value in self.__dict__.items() if not name.startswith(_TORCHS_OWN)}
        return {**own, **super().__getstate__()}


def _check_params(params: list[Tensor]) -> None:
    if any(p.is_complex() for p in params):
        raise TypeError("complex parameters are not supported: pass torch.view_as_real(parameter)")
    if any(p.is_meta for p in params):
        raise ValueError(
            "parameters on the meta device have no values: give the model some first, model.to_empty(device=...)"
        )

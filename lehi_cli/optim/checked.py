"""What every optimizer written here has in common: parameter groups that are checked, and copies that are whole."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

_FREE = {"params", "param_names", "name", "initial_lr"}
_TORCHS_OWN = ("_optimizer", "_zero", "step")


class CheckedOptimizer(torch.optim.Optimizer, ABC):
    """A `torch.optim.Optimizer` that refuses groups with options it does not have, and complex parameters."""

    @abstractmethod
    def _check_group(self, options: dict[str, Any]) -> None:
        """Check a group's options, defaults filled in.

        Raises:
            ValueError: naming the option, its value and what is allowed.
        """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as in torch, with its options checked.

        Raises:
            ValueError: for an option that is unknown or out of range.
            TypeError: for complex parameters.
        """
        unknown = sorted(set(param_group) - _FREE - set(self.defaults))
        if unknown:
            raise ValueError(f"a parameter group may set {', '.join(sorted(self.defaults))}; got {', '.join(unknown)}")
        self._check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)
        if any(p.is_complex() for p in param_group["params"]):
            self.param_groups.pop()
            raise TypeError("complex parameters are not supported: pass torch.view_as_real(parameter)")

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles: the hooks stay behind, as in torch, and a `step` that a scheduler has wrapped.
        own = {name: value for name, value in self.__dict__.items() if not name.startswith(_TORCHS_OWN)}
        return {**own, **super().__getstate__()}


def check_number(name: str, value: Any, most: float = math.inf) -> None:
    """Refuse what is not a number >= 0 (a tensor of one element counts), or more than `most`.

    Raises:
        ValueError: naming the option, its value and what is allowed.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    number = number or (isinstance(value, Tensor) and value.numel() == 1)
    if not (number and 0 <= value <= most and math.isfinite(value)):
        allowed = "a number >= 0" if most == math.inf else f"a number in [0, {most:g}]"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def check_flag(name: str, value: Any) -> None:
    """Refuse what is not True or False.

    Raises:
        ValueError: naming the option and its value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")

"""Checks of tensors' values: an error where looking is free, a NaN loss where it would wait for the device.

On the CPU a wrong entry raises an error that says what is wrong, at every call. On an accelerator the answer would have
to be fetched at every step, so the loss itself is multiplied by NaN: the loss shows that something is wrong, and the
same batch on the CPU shows what.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def looking_is_free(tensor: Tensor) -> bool:
    """Whether the values of `tensor` can be read without waiting for a device."""
    return tensor.device.type == "cpu"


def require(values: Tensor, wrong: Callable[[Tensor], Tensor], error: Callable[[], Exception]) -> None:
    """Raise `error()` if looking is free and an entry of `wrong(values)` is true; otherwise compute nothing."""
    if looking_is_free(values) and bool(wrong(values).any()):
        raise error()


def nan_where(values: Tensor, wrong: Callable[[Tensor], Tensor], loss: Tensor) -> Tensor:
    """The scalar `loss`, times NaN if an entry of `wrong(values)` is true and `require` could not look."""
    return loss if looking_is_free(values) else loss * torch.where(wrong(values).any(), math.nan, 1.0)


def outside(values: Tensor, low: float, high: float) -> Tensor:
    """A mask of the `values` outside [low, high], NaN included."""
    return ~((values >= low) & (values <= high))


def range_error(name: str, values: Tensor, low: float, high: float) -> ValueError:
    """The error to raise when one of `values` is `outside`; it names the first."""
    first = values[outside(values, low, high)][0].item()
    interval = f"[{low:g}, {'inf)' if high == math.inf else f'{high:g}]'}"
    return ValueError(f"{name} must be in {interval}, got {first:.6g}")


def require_weight(name: str, weight: Tensor | None) -> Tensor | None:
    """`weight`, checked because its square root will be taken.

    Raises:
        TypeError: when it is not a tensor.
        ValueError: when an entry is negative or not finite.
    """
    if weight is None:
        return None
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} must be a tensor or None, got {weight!r}")
    wrong = ~(weight.isfinite() & (weight >= 0))
    if bool(wrong.any()):
        raise ValueError(f"{name} must hold finite numbers >= 0, got {weight[wrong][0].item()}")
    return weight


def require_number(name: str, value: Any, above: float | None = None) -> float:
    """`value`, a finite number >= 0, or > `above`.

    Raises:
        TypeError: when it is not a number.
        ValueError: when it is out of range.
    """
    allowed = "a finite number >= 0" if above is None else f"a finite number > {above:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if not math.isfinite(value) or value < 0 or (above is not None and value <= above):
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return float(value)


def require_flag(name: str, value: Any) -> bool:
    """`value`, True or False.

    Raises:
        TypeError: when it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value

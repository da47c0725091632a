"""The tensors in the nested state of a recurrent model or an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor
from torch.optim import Optimizer


def detached(state: object) -> object:
    """A recurrent state, detached from the graph that made it: truncated backpropagation through time."""
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(map(detached, state)) if isinstance(state, tuple | list) else state


def state_bytes(optimizer: Optimizer) -> int:
    """Memory the optimizer keeps between steps, in bytes, including scalars such as step counters."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(optimizer.state_dict()["state"]))


def tensors_in(state: object) -> Iterator[Tensor]:
    """The tensors in nested dictionaries and lists."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for part in state.values() if isinstance(state, Mapping) else state:
            yield from tensors_in(part)

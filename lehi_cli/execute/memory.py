"""Peak memory of a training step: the allocations on a CUDA device, or elsewhere the tensors that are alive.

A CPU's allocator cannot be asked, so every tensor that an operation takes or makes is counted from the moment it is
seen until its storage is freed; tensors that share a storage count once. Parameters, buffers, gradients, optimizer
state and the batch are counted from the beginning. A kernel's scratch space, and what the allocator rounds up or keeps,
are not tensors and are not counted.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from lehi_cli.training.loop import Training

Batch = tuple[Tensor, Tensor]

WARMUP = 2
ALLOCATED = "peak memory: all that torch had allocated on the device during a step, the data set included"
COUNTED = (
    "peak memory: tensors alive during a step (parameters, gradients, optimizer state, batch, activations), "
    "without the scratch space of kernels"
)


def peak_memory(begin: Callable[[], Training], device: str, steps: int = 1) -> int:
    """Peak bytes over some steps of a training.

    Args:
        begin: builds the training; on a CUDA device no other may be alive then, because it would be counted too.
        device: the device it runs on.
        steps: number of steps to watch, after two that are not watched.
    """
    _release()
    try:
        return _peak(begin(), device, steps)
    finally:
        _release()


def memory_in_words(device: str) -> str:
    """The meaning of `peak_memory` on a device."""
    return ALLOCATED if device.startswith("cuda") else COUNTED


def _release() -> None:
    """Free garbage, on the device too."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _peak(training: Training, device: str, steps: int) -> int:
    batches = training.batches()
    for batch in itertools.islice(batches, WARMUP):
        training.step(*batch)
    measure = _allocated if device.startswith("cuda") else _counted
    return measure(training, itertools.islice(batches, steps), device)


def _allocated(training: Training, batches: Iterable[Batch], device: str) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    for batch in batches:
        training.step(*batch)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def _counted(training: Training, batches: Iterable[Batch], _: str) -> int:
    parameters = list(training.model.parameters())
    counter = TensorCounter()
    counter.count([parameters, list(training.model.buffers()), [parameter.grad for parameter in parameters]])
    counter.count([dict(state) for state in training.optimizer.state.values()])
    for batch in batches:
        with counter.lent(batch), counter:
            training.step(*batch)
    return counter.peak


class TensorCounter(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive while it is entered.

    Attributes:
        live: bytes now.
        peak: most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def count(self, tensors: object) -> None:
        """Count the storages, if not counted yet, of all tensors in a nested structure."""
        for tensor in tree_iter(tensors):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())

    def _count(self, storage: torch.UntypedStorage) -> None:
        # Torch keeps one Python object for a storage as long as the storage lives, even if only autograd holds it.
        if id(storage) in self._known:
            return
        self._known.add(id(storage))
        self._add(storage.nbytes())
        weakref.finalize(storage, self._freed, id(storage), storage.nbytes()).atexit = False

    def _add(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)

    def _freed(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.live -= size

    @contextmanager
    def lent(self, batch: Batch) -> Iterator[None]:
        """Count a batch by its own size while entered: it may be a view of the whole data set."""
        size = sum(tensor.nbytes for tensor in batch)
        storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in batch)}
        fresh = storages.keys() - self._known
        self._known |= fresh
        self._add(size)
        try:
            yield
        finally:
            self._known -= fresh
            self.live -= size

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.count((args, dict(kwargs or {})))
        result = func(*args, **(kwargs or {}))
        self.count(result)
        return result

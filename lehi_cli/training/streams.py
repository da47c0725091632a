"""Random streams, one for each purpose of a run; torch's global one is kept apart where two parties draw from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

RandomState = tuple[Tensor, Tensor | None]


def stream(seed: int, purpose: str) -> int:
    """Seed of the random stream for one purpose, in [0, 2^63)."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()) >> 1


def random_state(device: torch.device) -> RandomState:
    """State of torch's global generators, of the CPU and of `device`."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Set what `random_state` returned."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def seed_global(seed: int, device: torch.device | str) -> None:
    """Seed torch's global generators of the CPU and of `device`; `torch.manual_seed` would queue a call to CUDA too."""
    torch.default_generator.manual_seed(seed)
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif kind == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def preserved_random(device: torch.device) -> Iterator[None]:
    """Restore torch's global generators on leaving, whatever is drawn inside."""
    outside = random_state(device)
    try:
        yield
    finally:
        set_random_state(outside, device)


def draw_apart(optimizer: Optimizer, seed: int, device: torch.device) -> None:
    """Make an optimizer that draws from the global generators draw from its own stream instead.

    Dropout draws from the global ones too, so at one seed its masks would otherwise differ between optimizers.
    """
    with preserved_random(device):
        seed_global(seed, device)
        own = random_state(device)
    outside = own

    def enter(*_: Any) -> None:
        nonlocal outside
        outside = random_state(device)
        set_random_state(own, device)

    def leave(*_: Any) -> None:
        nonlocal own
        own = random_state(device)
        set_random_state(outside, device)

    optimizer.register_step_pre_hook(enter)
    optimizer.register_step_post_hook(leave)

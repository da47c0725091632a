"""Price of `step` alone, gradients and samples at hand, against torch's Adam, and peak memory of training.

    python benchmarks/bench_update.py

A step without a refresh should cost no more than Adam's `foreach`, one with a refresh at most 1.25 of it, and training
should need at most 1.15 of Adam's memory. Memory is the largest resident size of a separate process (which only Linux
reports), and the part of it that came after the model was made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from measure import ratios, save, seconds_in_turn, show
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from lehi_cli.models.llama import Llama
from lehi_cli.optim import LEHI, LEHIBRID

ROUNDS, STEPS, MEMORY_ROUNDS, MEMORY_STEPS = 15, 4, 3, 4
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam foreach": lambda model: torch.optim.Adam(model.parameters(), foreach=True),
    "adam fused": lambda model: torch.optim.Adam(model.parameters(), fused=True),
    "lehi with refresh": lambda model: LEHI(model.parameters(), foreach=True),
    "lehi without refresh": lambda model: LEHI(model.parameters(), foreach=True, curvature_every=10**9),
    "lehibrid with refresh": lambda model: LEHIBRID(model.parameters(), foreach=True),
}


def transformer() -> nn.Module:
    """A Llama of 11 M parameters."""
    return Llama(symbols=4096, width=256, layers=8, heads=4, hidden=768, tied=True, theta=10_000.0)


MODELS: dict[str, Callable[[], nn.Module]] = {"ResNet-18": resnet18, "transformer": transformer}


def batch(model: str) -> tuple[Tensor, Tensor]:
    """A mini-batch for it."""
    if model == "ResNet-18":
        return torch.randn(16, 3, 64, 64), torch.randint(1000, (16,))
    return torch.randint(4096, (8, 64)), torch.randint(4096, (8, 64))


def updates(model: nn.Module, build: Callable[[nn.Module], torch.optim.Optimizer]) -> Callable[[], None]:
    """A function that takes `STEPS` steps with the same gradients and samples."""
    optimizer = build(model)
    for p in model.parameters():
        p.grad = 1e-3 * torch.randn_like(p)
    samples = {p: 1e-3 * torch.randn_like(p) for p in model.parameters()}

    def run() -> None:
        for _ in range(STEPS):
            if isinstance(optimizer, LEHI) and optimizer.refresh_due:
                for p, sample in samples.items():
                    optimizer.state[p]["sample"] = sample
                pending = {"predictions": torch.tensor(64.0), "calls": 1, "scaled": False}
                optimizer.param_groups[0]["pending"] = pending
            optimizer.step()

    return run


def resident(which: str) -> float:
    """Resident bytes of this process: `VmRSS` now, `VmHWM` at most since it was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(which))


def largest(model_name: str, optimizer_name: str) -> dict[str, float]:
    """The most bytes of this process while it trains, in all and without those it had before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, targets = batch(model_name)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the maximum
    model = MODELS[model_name]()
    optimizer = OPTIMIZERS[optimizer_name](model)
    for _ in range(MEMORY_STEPS):
        optimizer.zero_grad()
        outputs = model(inputs)
        if isinstance(optimizer, LEHI):
            optimizer.backward(outputs, targets)
        else:
            cross_entropy(outputs.flatten(0, -2), targets.flatten()).backward()
        optimizer.step()
    most = resident("VmHWM")
    return {"process": most, "training": most - before}


def memory(model: str) -> dict[str, dict[str, float]]:
    """LEHI's largest memory over Adam's, medians of processes in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("adam foreach", "lehi with refresh")}
    for _ in range(MEMORY_ROUNDS):
        for name, values in found.items():
            command = [sys.executable, __file__, "--model", model, "--optimizer", name]
            values.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    rows = {}
    for what in ("process", "training"):
        adam, lehi = (median(value[what] for value in values) for values in found.values())
        rows[what] = {"adam": adam, "lehi": lehi, "ratio": lehi / adam}
    return rows


def main() -> None:
    """Measure every model, or one process's memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--optimizer")
    chosen = parser.parse_args()
    if chosen.model:
        print(json.dumps(largest(chosen.model, chosen.optimizer)))
        return
    torch.set_num_threads(1)
    steps, bytes_ = {}, {}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        actions = {kind: updates(make(), build) for kind, build in OPTIMIZERS.items()}
        steps[name] = ratios(seconds_in_turn(actions, ROUNDS), "adam foreach")
        show(f"{STEPS} steps of {name}", steps[name], "adam foreach")
        bytes_[name] = memory(name)
        for kind, row in bytes_[name].items():
            print(
                f"  memory of {kind:22s} {row['ratio']:6.2f}  {row['lehi'] / 1e6:.0f} MB to {row['adam'] / 1e6:.0f} MB"
            )
    save("update", {"steps": STEPS, "rounds": ROUNDS, "models": steps, "memory": bytes_})


if __name__ == "__main__":
    main()

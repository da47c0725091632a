"""Price of a training step: LEHI and LEHIBRID against torch's Adam, one thread, the whole step and nothing else.

    python benchmarks/bench_step.py

By passes LEHI should cost 5/3 of Adam, and 1.07 with a refresh every tenth step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from measure import ratios, save, seconds_in_turn, show
from torch import nn
from torch.nn.functional import cross_entropy

from lehi_cli.optim import LEHI, LEHIBRID

STEPS, ROUNDS = 50, 21
NETS = {"2x32, batch 32": (2, 32, 32), "2x128, batch 64": (2, 128, 64), "6x256, batch 512": (6, 256, 512)}
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam": lambda model: torch.optim.Adam(model.parameters()),
    "lehi": lambda model: LEHI(model.parameters()),
    "lehibrid": lambda model: LEHIBRID(model.parameters()),
    "lehibrid max": lambda model: LEHIBRID(model.parameters(), hybrid="max"),
    "lehi factor=true_vs_rest": lambda model: LEHI(model.parameters(), factor="true_vs_rest"),
    "lehi curvature_every=10": lambda model: LEHI(model.parameters(), curvature_every=10),
    "lehi foreach=true": lambda model: LEHI(model.parameters(), foreach=True),
}


def steps(
    build: Callable[[nn.Module], torch.optim.Optimizer], depth: int, width: int, batch: int
) -> Callable[[], None]:
    """A function that takes `STEPS` training steps on one batch."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    inputs, targets = torch.randn(batch, 64), torch.randint(10, (batch,))
    optimizer = build(model)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            if isinstance(optimizer, LEHI | LEHIBRID):
                optimizer.backward(model(inputs), targets)
            else:
                cross_entropy(model(inputs), targets).backward()
            optimizer.step()

    return run


def main() -> None:
    """Measure every net."""
    torch.set_num_threads(1)
    results = {}
    for net, shape in NETS.items():
        actions = {name: steps(build, *shape) for name, build in OPTIMIZERS.items()}
        summary = ratios(seconds_in_turn(actions, ROUNDS), "adam")
        show(f"{STEPS} steps of {net}", summary, "adam")
        results[net] = summary
    save("step", {"steps": STEPS, "rounds": ROUNDS, "nets": results})


if __name__ == "__main__":
    main()

"""What lehi is told: the record of an optimizer, and a task. Neither imports torch, so that lists stay quick."""

from lehi_cli.registry.optimizers import OptimizerRecord, Option

EXAMPLE = OptimizerRecord(
    name="example",
    summary="gradient descent with momentum, each tensor's step of one length",
    factory="lehi_example.optimizer:NormalizedMomentum",
    options=(
        Option("lr", 0.01, "root mean square of a step", within="[0, inf)"),
        Option("momentum", 0.9, "decay of the mean of gradients", within="[0, 1)"),
    ),
    state="1",
    source="an example",
    formula="m <- momentum m + (1 - momentum) g\nw <- w - lr m / rms(m)",
    space={"lr": "1e-4..1e-1/log", "momentum": "0.5,0.9,0.95"},
)

RINGS = {
    "name": "rings",
    "summary": "which of three rings a point lies in",
    "data": {"source": "lehi_example.task:rings"},
    "model": {"kind": "lehi_example.task:net", "width": 32},
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "batch_size": 64,
    "budget": {"epochs": 20},
    "evaluations": 10,
    "threads": 1,
}

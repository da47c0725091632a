"""LEHI and LEHIBRID."""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import COUNT, DECOUPLED, POSITIVE, betas, decay, eps, lr

_CURVATURE = (
    lr(1e-3),
    betas(),
    eps(1e-8, "added to the second moment, inside the power"),
    decay(0.0, DECOUPLED),
    Option(
        "factor",
        "rademacher",
        "factor of the loss Hessian that makes the auxiliary loss",
        ("rademacher", "true_vs_rest", "diagonal", "sampled"),
    ),
    Option("sample_signs", True, "random sign per sample for the factors that have none of their own"),
    Option("power", 0.5, "power of the curvature in the denominator", (0.5, 1.0)),
    Option("clip", None, "elementwise bound on the update before the learning rate", type="float", within="(0, inf)"),
    Option("damping", 0.0, "adds this times the tensor's mean curvature to the denominator", within=POSITIVE),
    Option("curvature_every", 1, "steps from one auxiliary gradient to the next", within=COUNT),
    Option("curvature_warmup", 0, "first steps that all take an auxiliary gradient", within=POSITIVE),
)
_SHARED_CODE = ("lehi_cli.optim.curvature_optimizer", "lehi_cli.optim.descent", "lehi_cli.curvature")
_LEHI_SOURCE = "Zhu et al. 2026, arXiv 2605.06945 (reconstruction)"

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "lehi",
        "Adam with the squared gradient replaced by the squared gradient of an auxiliary loss",
        "lehi_cli.optim:LEHI",
        _CURVATURE,
        kind="curvature",
        passes="5/3 (1 + 2/3k with curvature_every=k)",
        state="2",
        source=_LEHI_SOURCE,
        code=("lehi_cli.optim.lehi", *_SHARED_CODE),
    ),
    OptimizerRecord(
        "lehibrid",
        "LEHI with Adam's squared gradient mixed into the second moment",
        "lehi_cli.optim:LEHIBRID",
        (
            *_CURVATURE,
            Option("hybrid", "mix", "how the two second moments are joined", ("mix", "max")),
            Option("theta", 0.5, "weight of the curvature in the mix: 0 is Adam, 1 is LEHI", within="[0, 1]"),
        ),
        kind="curvature",
        passes="5/3 (1 + 2/3k with curvature_every=k)",
        state="2 (3 with hybrid=max)",
        source=_LEHI_SOURCE,
        code=("lehi_cli.optim.lehibrid", *_SHARED_CODE),
    ),
)

"""LEHI and LEHIBRID."""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import (
    DECOUPLED,
    POSITIVE,
    betas,
    curvature_every,
    curvature_warmup,
    decay,
    eps,
    factor,
    lr,
)

_CURVATURE = (
    lr(1e-3),
    betas(),
    eps(1e-8, "added to the second moment, inside the power"),
    decay(0.0, DECOUPLED),
    factor("rademacher"),
    Option("sample_signs", True, "random sign per sample for the factors that have none of their own"),
    Option("power", 0.5, "power of the curvature in the denominator", (0.5, 1.0)),
    Option("clip", None, "elementwise bound on the update before the learning rate", type="float", within="(0, inf)"),
    Option("damping", 0.0, "adds this times the tensor's mean curvature to the denominator", within=POSITIVE),
    curvature_every(1),
    curvature_warmup(),
)
_PASSES = "5/3 (1 + 2/3k with curvature_every=k)"
_SPACE = {"lr": "1e-5..1e-1/log", "eps": "1e-12..1e-2/log", "betas": "0.9/0.99,0.9/0.999,0.95/0.999"}
_LEHI_SOURCE = "Zhu et al. 2026, arXiv 2605.06945 (reconstruction)"

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "lehi",
        "Adam with the squared gradient replaced by the squared gradient of an auxiliary loss",
        "lehi_cli.optim:LEHI",
        _CURVATURE,
        kind="curvature",
        passes=_PASSES,
        state="2",
        source=_LEHI_SOURCE,
        formula="""
m <- b1 m + (1 - b1) g,      mh = m / (1 - b1^t)
v <- b2 v + (1 - b2) h^2,    vh = v / (1 - b2^refreshes)      h: the auxiliary gradient
w <- (1 - lr weight_decay) w - lr clip( mh / (vh + damping mean(vh) + eps)^power )
at power 1, vh is replaced by B vh, the estimate of the Gauss-Newton diagonal
""".strip(),
        space=_SPACE,
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
        passes=_PASSES,
        state="2 (3 with hybrid=max)",
        source=_LEHI_SOURCE,
        formula="""
m <- b1 m + (1 - b1) g,      mh = m / (1 - b1^t)
mix: v <- b2 v + (1 - b2) (theta h^2 + (1 - theta) g^2),   vh = v / (1 - b2^refreshes)
max: vh = the larger of the corrected averages of h^2 and of g^2
w <- (1 - lr weight_decay) w - lr clip( mh / (vh + damping mean(vh) + eps)^power )
""".strip(),
        space={**_SPACE, "theta": "0..1/lin"},
    ),
)

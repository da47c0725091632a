"""Sophia-G."""

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

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "sophia",
        "momentum over a sampled Gauss-Newton diagonal, clipped to a sign step (Sophia-G)",
        "lehi_cli.optim:Sophia",
        (
            lr(1e-4),
            betas((0.965, 0.99)),
            Option("gamma", 0.04, "scale of the curvature: the smaller, the more is clipped", within=POSITIVE),
            eps(1e-15, "floor of the denominator"),
            decay(0.1, DECOUPLED),
            factor("sampled"),
            curvature_every(10),
            curvature_warmup(),
        ),
        kind="curvature",
        passes="16/15 (1 + 2/3k with curvature_every=k)",
        state="2",
        source="Liu et al. 2024, arXiv 2305.14342",
        formula="""
m <- b1 m + (1 - b1) g
h <- b2 h + (1 - b2) B ghat^2    every curvature_every steps; ghat: gradient for labels drawn from the model
w <- (1 - lr weight_decay) w - lr clip( m / max(gamma h, eps), -1, 1 )
""".strip(),
        space={"lr": "1e-5..1e-1/log", "gamma": "1e-3..1/log", "weight_decay": "1e-4..1/log"},
    ),
)

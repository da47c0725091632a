"""Hessian-free optimization, plain and block-diagonal."""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import COUNT, POSITIVE, lr


def _shared(max_cg: int, adaptive_damping: bool, curvature_fraction: float) -> tuple[Option, ...]:
    return (
        Option("max_cg", max_cg, "maximum conjugate-gradient iterations per step and system", within=COUNT),
        Option("eps_cg", 5e-4, "stop when an iteration lowers the model by less than this fraction", within=POSITIVE),
        Option("zeta", 0.95, "the next solve starts from this times the last solution", within="[0, 1]"),
        Option("damping", 1.0, "multiple of the identity added to the curvature, or its first value", within=POSITIVE),
        Option("adaptive_damping", adaptive_damping, "adapt the damping to how well the model predicts the loss"),
        Option(
            "curvature_fraction", curvature_fraction, "fraction of the mini-batch used for curvature", within="(0, 1]"
        ),
    )


_SPACE = {"damping": "1e-3..1e2/log", "lr": "0.1..1/log"}
_PATENT = (
    "US patent 11,386,327 B2 (granted 12 July 2022, assignee Salesforce) claims training a network by dividing it "
    "into blocks of adjacent layers, setting the curvature between blocks to zero, and running conjugate gradients "
    "per block on curvature mini-batches; anyone distributing an implementation should take advice"
)

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "hf",
        "Newton's step with the Gauss-Newton matrix, by conjugate gradients, with adaptive damping and line search",
        "lehi_cli.optim.hessian_free:HessianFree",
        (
            lr(1.0),
            *_shared(250, adaptive_damping=True, curvature_fraction=1.0),
            Option("line_search", True, "shorten the step until the loss falls"),
            Option("backtracking", True, "choose among the conjugate-gradient iterates by the loss"),
            Option(
                "preconditioner", False, "precondition with the squared gradients of the samples, to the power 0.75"
            ),
        ),
        kind="whole",
        passes="5/3+2k+e/3 (k CG iterations, e evaluations of the loss; from the second step on one more iteration for "
        "the warm start; 1+c+2ck+e/3 with curvature_fraction=c; 1 more with preconditioner)",
        state="1",
        source="Martens 2010, Deep learning via Hessian-free optimization",
        formula="phi(u) = g . u + 1/2 u^T (G + damping I) u,  G the Gauss-Newton matrix of the mini-batch\n"
        "u by conjugate gradients on (G + damping I) u = -g, from zeta * the last u\n"
        "rho = (f(w + u) - f(w)) / phi(u);  damping *= 3/2 if rho < 1/4, 2/3 if rho > 3/4\n"
        "back to an earlier iterate while f falls\n"
        "w <- w + a lr u,  a the first of 1, 0.8, 0.64, ... that lowers f enough",
        space=_SPACE,
    ),
    OptimizerRecord(
        "bdhf",
        "Hessian-free with a system of its own for every layer or block of layers",
        "lehi_cli.optim.block_hessian_free:BlockHessianFree.for_model",
        (
            lr(1.0),
            Option("blocks", "layer", "a block per layer, or patterns of parameter names joined by /"),
            *_shared(30, adaptive_damping=False, curvature_fraction=0.25),
        ),
        kind="whole",
        takes="model",
        passes="1+c+2ck (k CG iterations over all blocks, c=curvature_fraction; from the second step on one more "
        "iteration per block for the warm start; 1/3 more with adaptive_damping; with c=1, 2/3 in place of c)",
        state="1",
        source="Zhang, Xiong, Bradbury and Socher 2017, arXiv 1712.07296",
        formula="for every block b:  u_b by conjugate gradients on (G_bb + damping I) u_b = -g_b,\n"
        "    from zeta * the last u_b;  G_bb: block b of the Gauss-Newton matrix of part of the mini-batch\n"
        "with adaptive_damping:  rho = (f(w + u) - f(w)) / sum_b phi_b(u_b),  damping *= 3/2, 1 or 2/3\n"
        "w <- w + lr u",
        space=_SPACE,
        notice=_PATENT,
    ),
)

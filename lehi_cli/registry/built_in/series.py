"""Saddle-free Newton by series, and SOAA."""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import COUNT, DECOUPLED, POSITIVE, betas, decay, lr


def _sfn(damping: float, what: str) -> tuple[Option, ...]:
    return (
        lr(1.0),
        Option("terms", 20, "terms of the series; each but the first takes two Hessian-vector products", within=COUNT),
        Option("shanks", 1, "order of the acceleration, at most (terms - 1) / 2; 0 for none", within=POSITIVE),
        Option("sablonniere", False, "modify the acceleration for slow convergence"),
        Option("scale", 100.0, "first scale V of the series, raised when it is too small", within="(0, inf)"),
        Option("damping", damping, what, within=POSITIVE),
    )


_SFN_SOURCE = "Oldewage, Clarke, Hernandez-Lobato, TMLR 2024, arXiv 2310.14901"
_SERIES = """
v_0 = g,  v_n = v_{n-1} - H H v_{n-1} / V,  S_k = sum_{n<=k} c_n v_n      (V >= |H H g| / |g|)
c_n: coefficients of 1 / (sqrt(1 - x) + damping / sqrt(V))
d = Shanks(S_{terms-1-2 shanks}, ..., S_{terms-1}) / sqrt(V)  ~  (|H| + damping I)^-1 g
""".strip()

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "sfn",
        "saddle-free Newton by a series of Hessian-vector products, with adaptive damping",
        "lehi_cli.optim.sfn:SFN",
        (
            *_sfn(1.0, "first damping, added to the magnitude of the curvature"),
            Option("omega", 0.9, "factor that lowers the damping; its inverse raises it", within="(0, 1]"),
            Option("damping_floor", 1e-8, "lower bound of the damping", within=POSITIVE),
        ),
        {"adaptive": True},
        kind="whole",
        passes="232/3 (1 + 4 (terms - 1) + 1/3; more at a step that raises V)",
        state="0",
        source=_SFN_SOURCE,
        formula=f"""
{_SERIES}
w <- w - lr d
damping <- omega damping  or  damping / omega,  as f(w) falls by > 3/4 or < 1/4 of  (lr - lr^2 / 2) d.g
""".strip(),
        space={"damping": "1e-8..1/log", "terms": "5..20/int", "shanks": "0,1,2"},
    ),
    OptimizerRecord(
        "sfn_fixed",
        "saddle-free Newton by a series of Hessian-vector products, with fixed damping and momentum",
        "lehi_cli.optim.sfn:SFN",
        (
            *_sfn(1e-4, "added to the magnitude of the curvature"),
            Option("momentum", 0.5, "fraction of the last step that is repeated", within="[0, 1)"),
        ),
        {"adaptive": False},
        kind="whole",
        passes="77 (1 + 4 (terms - 1); more at a step that raises V)",
        state="1",
        source=_SFN_SOURCE,
        formula=f"""
{_SERIES}
delta <- lr d + momentum delta
w <- w - delta
""".strip(),
        space={
            "lr": "1e-3..5/log",
            "momentum": "1e-3..0.95/log",
            "damping": "1e-8..1/log",
            "terms": "5..20/int",
            "shanks": "0,1,2",
        },
    ),
    OptimizerRecord(
        "soaa",
        "Adam with a trust region: its rate follows how well the fall of the loss is predicted",
        "lehi_cli.optim.soaa:SOAA",
        (
            lr(1e-3),
            betas(),
            Option("eps", 1e-8, "added to the denominators", within="(0, inf)"),
            decay(0.0, DECOUPLED),
            Option("total_steps", None, "steps of the run; none: from the budget", type="int", within=COUNT),
            Option("gamma", 0.1, "how far the trust region may move from 1", within="[0, 1)"),
            Option("scope", "all", "one trust region for all parameters, or one per tensor", ("all", "tensor")),
            Option(
                "lhat",
                "inclusive",
                "average that the loss is compared with: the one that includes it, or the one before it",
                ("inclusive", "previous"),
            ),
            Option("same_step", False, "use the new trust region in the step that made it"),
            Option("schedule", "t-1", "position of the first step in the run: 0 or 1/T", ("t-1", "t")),
        ),
        kind="loss",
        state="2",
        source="Vo 2024, arXiv 2410.02293 (reconstruction from two readers; parent: Tadam 2023)",
        formula="""
m, v: averages of g and g^2, mh and vh without their bias;  lh: that of the loss f;  q = (t - 1) / T
c = 1 + sum mh^2 / sum (vh + eps)
u = d mh / (max(d c vh, sqrt(vh)) + eps)
w <- (1 - lr weight_decay) w - lr u
d <- min(max(d (lh - f) / max(p, eps), (1 - gamma)^q), 1 + gamma^q)      (d = 1 at first)
p <- lr sum ( mh u - vh u^2 / 2 )
""".strip(),
        space={"lr": "1e-5..1e-1/log", "betas": "0.9/0.99,0.9/0.999,0.95/0.999", "gamma": "0.05,0.1,0.25"},
        needs=("total_steps",),
    ),
)

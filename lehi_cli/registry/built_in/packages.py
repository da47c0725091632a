"""Optimizers of other packages: pytorch-optimizer, prodigyopt, schedulefree.

Their source is hashed into the runs, so another version of a package makes other runs.
"""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import COUNT, DECOUPLED, L2, POSITIVE, betas, decay, eps, lr

_ADAPTER = "lehi_cli.registry.adapters"
_NUM_SAMPLES = Option("num_samples", 1, "Hessian-vector products averaged at a refresh", within=COUNT)
_PERIOD = "steps from one Hessian-vector product to the next"
_WARMUP = Option("warmup_steps", 0, "first steps, over which the learning rate grows linearly", within=POSITIVE)
_WEIGHTING = (
    Option("r", 0.0, "power of the step in the average's weights", within=POSITIVE),
    Option("weight_lr_power", 2.0, "power of the learning rate in the average's weights", within=POSITIVE),
)


RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "adahessian",
        "Adam with the squared gradient replaced by a sample of the Hessian's diagonal",
        f"{_ADAPTER}:AdaHessian",
        (
            lr(0.15),
            betas(),
            eps(1e-4, "added to the power of the second moment"),
            decay(0.0, DECOUPLED),
            Option("hessian_power", 1.0, "power of the root mean square of the Hessian's diagonal", within="(0, 1]"),
            Option("update_period", 1, _PERIOD, within=COUNT),
            _NUM_SAMPLES,
        ),
        kind="differentiable",
        passes="3 (1 + 2/k with update_period=k)",
        state="3",
        source="Yao et al. 2021, arXiv 2006.00719",
        formula="""
m <- b1 m + (1 - b1) g,                mh = m / (1 - b1^t)
v <- b2 v + (1 - b2) (z * H z)^2,      vh = v / (1 - b2^t)       z: random signs
w <- (1 - lr weight_decay) w - lr mh / (vh^(hessian_power / 2) + eps)
""".strip(),
        space={"lr": "1e-3..1/log", "eps": "1e-8..1e-2/log", "hessian_power": "0.25,0.5,0.75,1.0"},
        draws=True,
    ),
    OptimizerRecord(
        "sophia_h",
        "momentum over a sample of the Hessian's diagonal, clipped (Sophia-H)",
        f"{_ADAPTER}:SophiaH",
        (
            lr(6e-2),
            betas((0.96, 0.99)),
            eps(1e-12, "floor of the denominator"),
            decay(0.0, DECOUPLED),
            Option("p", 1e-2, "bound on the step before the learning rate", within="(0, inf)"),
            Option("update_period", 10, _PERIOD, within=COUNT),
            _NUM_SAMPLES,
        ),
        kind="differentiable",
        passes="1.2 (1 + 2/k with update_period=k)",
        state="3",
        source="Liu et al. 2024, arXiv 2305.14342",
        formula="""
m <- b1 m + (1 - b1) g
h <- b2 h + (1 - b2) z * H z      every update_period steps; z ~ N(0, I)
w <- (1 - lr weight_decay) w - lr clip( m / max(h, eps), -p, p )
a step is at most lr p: compare lr p with sophia's lr, and p with its gamma
""".strip(),
        space={"lr": "1e-3..1/log", "p": "1e-3..1/log"},
        draws=True,
    ),
    OptimizerRecord(
        "soap",
        "Adam in the eigenbasis of Shampoo's statistics",
        "pytorch_optimizer:SOAP",
        (
            lr(3e-3),
            betas((0.95, 0.95)),
            Option(
                "shampoo_beta",
                None,
                "decay of the statistics; none: that of the second moment",
                (),
                "float",
                "[0, 1)",
            ),
            eps(1e-8),
            decay(1e-2, DECOUPLED),
            Option("precondition_frequency", 10, "steps from one eigenbasis to the next", within=COUNT),
            Option("max_precondition_dim", 10000, "longer sides keep the identity as their basis", within=COUNT),
            Option("precondition_1d", False, "use a basis for vectors too"),
        ),
        state="2+ (and 2 (rows^2 + columns^2) numbers per matrix)",
        source="Vyas et al. 2025, arXiv 2409.11321",
        formula="""
L <- bs L + (1 - bs) G G^T,   R <- bs R + (1 - bs) G^T G,   Q_L, Q_R their eigenbases
M <- b1 M + (1 - b1) G,   G' = Q_L^T G Q_R,   V <- b2 V + (1 - b2) G'^2
W <- (1 - lr weight_decay) ( W - lr Q_L [ Q_L^T Mh Q_R / (sqrt(Vh) + eps) ] Q_R^T )
the first step only fills L and R
""".strip(),
        space={"lr": "1e-4..1e-1/log", "weight_decay": "1e-4..1/log"},
    ),
    OptimizerRecord(
        "shampoo",
        "gradients between the inverse roots of their second-moment matrices, with RMSProp's step length",
        f"{_ADAPTER}:Shampoo",
        (
            lr(1e-3),
            betas((0.9, 0.99)),
            decay(0.0, DECOUPLED),
            Option("precondition_frequency", 10, "steps from one inverse root to the next", within=COUNT),
            Option("block_size", 512, "longer sides are cut into blocks", within="[2, inf)"),
            Option("matrix_eps", 1e-6, "start and ridge of the matrices", within=POSITIVE),
        ),
        state="3+ (and 2 (rows^2 + columns^2) numbers per matrix)",
        source="Gupta, Koren, Singer 2018, arXiv 1802.09568; Anil et al. 2020, arXiv 2002.09018",
        formula="""
L <- b2 L + (1 - b2) G G^T,   R <- b2 R + (1 - b2) G^T G,   V <- b2 V + (1 - b2) G^2
S = L^(-1/4) G R^(-1/4),   U = S |G / sqrt(V)| / |S|      before the first root, and for vectors: U = G / sqrt(V)
M <- b1 M + (1 - b1) U
W <- (1 - lr weight_decay) W - lr M
""".strip(),
        space={"lr": "1e-5..1e-1/log", "betas": "0.9/0.9,0.9/0.99,0.9/0.999"},
        draws=True,  # the power iteration that scales its roots starts at random
    ),
    OptimizerRecord(
        "lion",
        "the sign of an average of momentum and gradient",
        "pytorch_optimizer:Lion",
        (lr(1e-4), betas((0.9, 0.99)), decay(0.0, DECOUPLED)),
        state="1",
        source="Chen et al. 2023, arXiv 2302.06675",
        formula="""
w <- (1 - lr weight_decay) w - lr sign( b1 m + (1 - b1) g )
m <- b2 m + (1 - b2) g
""".strip(),
        space={"lr": "1e-6..1e-2/log", "betas": "0.9/0.99,0.95/0.98", "weight_decay": "1e-3..10/log"},
    ),
    OptimizerRecord(
        "adan",
        "Adam with Nesterov momentum from the differences of successive gradients",
        "pytorch_optimizer:Adan",
        (
            lr(1e-3),
            Option("betas", (0.98, 0.92, 0.99), "decay of gradient, difference and second moment", within="[0, 1)"),
            eps(1e-8),
            decay(0.0, DECOUPLED),
            Option("max_grad_norm", 0.0, "bound on the norm of the whole gradient; 0: none", within=POSITIVE),
        ),
        {"weight_decouple": True},
        state="4",
        source="Xie et al. 2022, arXiv 2208.06677",
        formula="""
m <- b1 m + (1 - b1) g,   d <- b2 d + (1 - b2) (g - g_prev),   n <- b3 n + (1 - b3) (g + b2 (g - g_prev))^2
w <- (1 - lr weight_decay) w - lr ( mh + b2 dh ) / ( sqrt(nh) + eps )      mh, dh, nh: bias corrected
""".strip(),
        space={"lr": "1e-5..1e-1/log", "betas": "0.98/0.92/0.99,0.95/0.92/0.96"},
    ),
    OptimizerRecord(
        "ademamix",
        "AdamW with a second, much slower momentum",
        "pytorch_optimizer:AdEMAMix",
        (
            lr(1e-3),
            Option("betas", (0.9, 0.999, 0.9999), "decay of fast, second and slow moment", within="[0, 1)"),
            Option("alpha", 5.0, "weight of the slow momentum", within=POSITIVE),
            Option(
                "t_alpha_beta3",
                None,
                "steps over which alpha and the slow decay grow; none: full from the start",
                type="float",
                within="(0, inf)",
            ),
            eps(1e-8),
            decay(0.0, DECOUPLED),
        ),
        {"weight_decouple": True},
        state="3",
        source="Pagliardini, Ablin, Grangier 2025, arXiv 2409.03137",
        formula="""
m1 <- b1 m1 + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   m2 <- b3 m2 + (1 - b3) g
w <- (1 - lr weight_decay) w - lr ( m1 / (1 - b1^t) + alpha m2 ) / ( sqrt(v / (1 - b2^t)) + eps )
alpha and b3 may grow over the first t_alpha_beta3 steps
""".strip(),
        space={"lr": "1e-5..1e-1/log", "alpha": "1..10/lin", "betas": "0.9/0.999/0.999,0.9/0.999/0.9999"},
    ),
    OptimizerRecord(
        "prodigy",
        "Adam that estimates its learning rate from the distance travelled",
        f"{_ADAPTER}:Prodigy",
        (
            Option("lr", 1.0, "factor on the learning rate that is found", within="(0, inf)"),
            betas(),
            Option("eps", 1e-8, "added to the root of the second moment", within="(0, inf)"),
            decay(0.0, DECOUPLED),
            Option("d0", 1e-6, "first estimate of the distance", within="(0, inf)"),
            Option("d_coef", 1.0, "factor on the estimate", within="(0, inf)"),
            Option("use_bias_correction", False, "correct Adam's averages for their bias"),
            Option("safeguard_warmup", False, "keep a warm-up of lr out of the estimate"),
        ),
        state="4",
        source="Mishchenko, Defazio 2024, arXiv 2306.06101",
        formula="""
s <- b3 s + (d / d0) d lr g,   r <- b3 r + (d / d0) d lr <g, w0 - w>,   b3 = sqrt(b2)
m <- b1 m + (1 - b1) d g,      v <- b2 v + (1 - b2) d^2 g^2
d' = max(d, d_coef r / |s|_1)
w <- (1 - d lr weight_decay) w - d lr m / ( sqrt(v) + d' eps ),   then d = d'
""".strip(),
        space={"lr": "0.1..10/log", "d_coef": "0.1..10/log"},
    ),
    OptimizerRecord(
        "schedulefree_adamw",
        "AdamW whose average of iterates takes the place of a learning-rate schedule",
        "schedulefree:AdamWScheduleFree",
        (
            lr(2.5e-3),
            Option("betas", (0.9, 0.999), "interpolation and decay of the second moment", within="(0, 1)"),
            eps(1e-8),
            decay(0.0, DECOUPLED),
            _WARMUP,
            *_WEIGHTING,
        ),
        state="2",
        source="Defazio et al. 2024, arXiv 2405.15682",
        formula="""
g at y = (1 - b1) z + b1 x,   v <- b2 v + (1 - b2) g^2
z <- z - lr ( g / ( sqrt(v / (1 - b2^t)) + eps ) + weight_decay y )
x <- (1 - c) x + c z,   c = t^r lr^p over its sum so far, p = weight_lr_power
trained at y, evaluated at x
""".strip(),
        space={"lr": "1e-5..1e-1/log", "betas": "0.9/0.999,0.95/0.999,0.98/0.999"},
        modes=True,
    ),
    OptimizerRecord(
        "schedulefree_sgd",
        "gradient descent whose average of iterates takes the place of a schedule",
        "schedulefree:SGDScheduleFree",
        (
            lr(1.0),
            Option("momentum", 0.9, "interpolation between the average and the last iterate", within="(0, 1)"),
            decay(0.0, L2),
            _WARMUP,
            *_WEIGHTING,
        ),
        state="1",
        source="Defazio et al. 2024, arXiv 2405.15682",
        formula="""
g at y = (1 - momentum) z + momentum x
z <- z - lr ( g + weight_decay y )
x <- (1 - c) x + c z,   c = t^r lr^p over its sum so far, p = weight_lr_power
trained at y, evaluated at x
""".strip(),
        space={"lr": "1e-3..1e2/log", "momentum": "0.8,0.9,0.95,0.98"},
        modes=True,
    ),
)

"""The optimizers of `torch.optim`."""

from __future__ import annotations

from lehi_cli.registry.record import OptimizerRecord, Option

from .shared import COUNT, DECOUPLED, L2, POSITIVE, betas, decay, eps, lr

_ADAM = (lr(1e-3), betas(), eps(1e-8), decay(0.0, L2))
_ADAM_SPACE = {"lr": "1e-5..1e-1/log", "betas": "0.9/0.99,0.9/0.999,0.95/0.999"}
_MOMENTUM = Option("momentum", 0.9, "momentum factor", within=POSITIVE)

RECORDS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "sgd",
        "stochastic gradient descent",
        "torch.optim:SGD",
        (lr(1e-3), Option("momentum", 0.0, "momentum factor", within=POSITIVE), decay(0.0, L2)),
        state="0 (1 with momentum)",
        source="Robbins, Monro 1951",
        formula="""
g <- g + weight_decay w
b <- momentum b + g      (b = g without momentum)
w <- w - lr b
""".strip(),
        space={"lr": "1e-4..1e1/log"},
    ),
    OptimizerRecord(
        "momentum",
        "stochastic gradient descent with heavy-ball momentum",
        "torch.optim:SGD",
        (lr(1e-3), _MOMENTUM, Option("dampening", 0.0, "dampening of the momentum"), decay(0.0, L2)),
        state="1",
        source="Polyak 1964",
        formula="""
g <- g + weight_decay w
b <- momentum b + (1 - dampening) g      (b = g at the first step)
w <- w - lr b
""".strip(),
        space={"lr": "1e-5..1/log", "momentum": "0.5,0.9,0.95,0.99"},
    ),
    OptimizerRecord(
        "nesterov",
        "stochastic gradient descent with Nesterov momentum",
        "torch.optim:SGD",
        (lr(1e-3), _MOMENTUM, decay(0.0, L2)),
        {"nesterov": True},
        state="1",
        source="Nesterov 1983; Sutskever et al. 2013",
        formula="""
g <- g + weight_decay w
b <- momentum b + g
w <- w - lr ( g + momentum b )
""".strip(),
        space={"lr": "1e-5..1/log", "momentum": "0.5,0.9,0.95,0.99"},
    ),
    OptimizerRecord(
        "adam",
        "Adam",
        "torch.optim:Adam",
        _ADAM,
        state="2",
        source="Kingma, Ba 2015, arXiv 1412.6980",
        formula="""
g <- g + weight_decay w
m <- b1 m + (1 - b1) g,      mh = m / (1 - b1^t)
v <- b2 v + (1 - b2) g^2,    vh = v / (1 - b2^t)
w <- w - lr mh / ( sqrt(vh) + eps )
""".strip(),
        space=_ADAM_SPACE,
    ),
    OptimizerRecord(
        "amsgrad",
        "Adam with the running maximum of the second moment",
        "torch.optim:Adam",
        _ADAM,
        {"amsgrad": True},
        state="3",
        source="Reddi et al. 2018, arXiv 1904.09237",
        formula="""
g <- g + weight_decay w
m <- b1 m + (1 - b1) g,      mh = m / (1 - b1^t)
v <- b2 v + (1 - b2) g^2,    u <- max(u, v),    uh = u / (1 - b2^t)
w <- w - lr mh / ( sqrt(uh) + eps )
""".strip(),
        space=_ADAM_SPACE,
    ),
    OptimizerRecord(
        "adamw",
        "Adam with decoupled weight decay",
        "torch.optim:AdamW",
        (lr(1e-3), betas(), eps(1e-8), decay(1e-2, DECOUPLED)),
        state="2",
        source="Loshchilov, Hutter 2019, arXiv 1711.05101",
        formula="""
m <- b1 m + (1 - b1) g,      mh = m / (1 - b1^t)
v <- b2 v + (1 - b2) g^2,    vh = v / (1 - b2^t)
w <- (1 - lr weight_decay) w - lr mh / ( sqrt(vh) + eps )
""".strip(),
        space={**_ADAM_SPACE, "weight_decay": "1e-4..1/log"},
    ),
    OptimizerRecord(
        "nadam",
        "Adam with Nesterov momentum",
        "torch.optim:NAdam",
        (
            lr(2e-3),
            betas(),
            eps(1e-8),
            decay(0.0, L2),
            Option("momentum_decay", 4e-3, "decay of the momentum schedule", within=POSITIVE),
            Option("decoupled_weight_decay", False, "decouple the weight decay, as NAdamW"),
        ),
        state="2",
        source="Dozat 2016",
        formula="""
mu_t = b1 (1 - 0.96^(t momentum_decay) / 2),   P_t = mu_1 ... mu_t
m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   vh = v / (1 - b2^t)
mh = mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)
w <- w - lr mh / ( sqrt(vh) + eps )
""".strip(),
        space=_ADAM_SPACE,
    ),
    OptimizerRecord(
        "radam",
        "Adam with a rectified adaptive rate",
        "torch.optim:RAdam",
        (*_ADAM, Option("decoupled_weight_decay", False, "decouple the weight decay")),
        state="2",
        source="Liu et al. 2020, arXiv 1908.03265",
        formula="""
m, v, mh as in Adam;  R = 2 / (1 - b2) - 1,   r = R - 2 t b2^t / (1 - b2^t)
r > 5:  w <- w - lr mh sqrt( (r-4) (r-2) R / ((R-4) (R-2) r) ) sqrt(1 - b2^t) / ( sqrt(v) + eps )
else:   w <- w - lr mh
""".strip(),
        space=_ADAM_SPACE,
    ),
    OptimizerRecord(
        "adagrad",
        "rates scaled by the sum of squared gradients",
        "torch.optim:Adagrad",
        (
            lr(1e-2),
            Option("lr_decay", 0.0, "decay of the learning rate with the step", within=POSITIVE),
            decay(0.0, L2),
            Option("initial_accumulator_value", 0.0, "initial sum of squares", within=POSITIVE),
            eps(1e-10),
        ),
        state="1",
        source="Duchi, Hazan, Singer 2011",
        formula="""
g <- g + weight_decay w
s <- s + g^2
w <- w - lr / (1 + (t - 1) lr_decay) g / ( sqrt(s) + eps )
""".strip(),
        space={"lr": "1e-4..1/log"},
    ),
    OptimizerRecord(
        "adadelta",
        "steps scaled by the ratio of past updates to past gradients",
        "torch.optim:Adadelta",
        (lr(1.0), Option("rho", 0.9, "decay of both averages", within="[0, 1]"), eps(1e-6), decay(0.0, L2)),
        state="2",
        source="Zeiler 2012, arXiv 1212.5701",
        formula="""
g <- g + weight_decay w
v <- rho v + (1 - rho) g^2
d = sqrt(u + eps) / sqrt(v + eps) g,   u <- rho u + (1 - rho) d^2
w <- w - lr d
""".strip(),
        space={"lr": "1e-2..1e1/log", "rho": "0.9,0.95,0.99"},
    ),
    OptimizerRecord(
        "adamax",
        "Adam with the infinity norm",
        "torch.optim:Adamax",
        (lr(2e-3), betas(), eps(1e-8), decay(0.0, L2)),
        state="2",
        source="Kingma, Ba 2015, arXiv 1412.6980",
        formula="""
g <- g + weight_decay w
m <- b1 m + (1 - b1) g
u <- max( b2 u, |g| + eps )
w <- w - lr / (1 - b1^t) m / u
""".strip(),
        space=_ADAM_SPACE,
    ),
    OptimizerRecord(
        "adafactor",
        "Adam with a factored second moment",
        "torch.optim:Adafactor",
        (
            lr(1e-2),
            Option("beta2_decay", -0.8, "exponent of the second moment's decay", within="(-inf, 0]"),
            Option("eps", (None, 1e-3), "floors of the second moment and of the parameter scale"),
            Option("d", 1.0, "clipping threshold of the update's root mean square", within=COUNT),
            decay(0.0, DECOUPLED),
        ),
        state="0 to 1 (rows + columns for a matrix, 1 for a vector)",
        source="Shazeer, Stern 2018, arXiv 1804.04235",
        formula="""
b = 1 - t^beta2_decay;   r, c <- running means with decay b of g^2 over columns, over rows
U = g / sqrt( r c^T / mean(r) ),   U <- U / max(1, rms(U) / d)
w <- (1 - lr weight_decay) w - min(lr, 1 / sqrt(t)) max(eps_2, rms(w)) U
vectors keep the whole second moment
""".strip(),
        space={"lr": "1e-4..1/log"},
    ),
    OptimizerRecord(
        "rmsprop",
        "rates scaled by a running mean of squared gradients",
        "torch.optim:RMSprop",
        (
            lr(1e-2),
            Option("alpha", 0.99, "decay of the mean of squares", within=POSITIVE),
            eps(1e-8),
            decay(0.0, L2),
            Option("momentum", 0.0, "momentum factor", within=POSITIVE),
            Option("centered", False, "subtract the mean gradient's square"),
        ),
        state="1 (2 with momentum or centered)",
        source="Tieleman, Hinton 2012",
        formula="""
g <- g + weight_decay w
v <- alpha v + (1 - alpha) g^2      (less the squared mean of g when centered)
b <- momentum b + g / ( sqrt(v) + eps )
w <- w - lr b
""".strip(),
        space={"lr": "1e-5..1e-1/log", "alpha": "0.9,0.99,0.999"},
    ),
    OptimizerRecord(
        "rprop",
        "steps from the signs of successive gradients; meant for full batches",
        "torch.optim:Rprop",
        (
            lr(1e-2),
            Option("etas", (0.5, 1.2), "factors when the sign flips and when it stays"),
            Option("step_sizes", (1e-6, 50.0), "smallest and largest step"),
        ),
        state="2",
        source="Riedmiller, Braun 1993",
        formula="""
per coordinate, s is the step size, started at lr:
sign(g) as before: s <- min(etas_2 s, step_sizes_2);   changed: s <- max(etas_1 s, step_sizes_1), g <- 0
w <- w - s sign(g)
""".strip(),
        space={"lr": "1e-5..1e-1/log"},
    ),
    OptimizerRecord(
        "asgd",
        "stochastic gradient descent with decaying rate and averaged iterates",
        "torch.optim:ASGD",
        (
            lr(1e-2),
            Option("lambd", 1e-4, "decay term"),
            Option("alpha", 0.75, "power of the rate's decay"),
            Option("t0", 1e6, "step at which averaging starts"),
            decay(0.0, L2),
        ),
        state="1",
        source="Polyak, Juditsky 1992",
        formula="""
g <- g + weight_decay w
w <- (1 - lambd eta) w - eta g,   eta = lr / (1 + lambd lr t)^alpha
the average of w from step t0 on is kept beside it but not used
""".strip(),
        space={"lr": "1e-4..1e1/log"},
    ),
    OptimizerRecord(
        "lbfgs",
        "limited-memory BFGS on each mini-batch",
        "torch.optim:LBFGS",
        (
            lr(1.0),
            Option("max_iter", 20, "iterations per step, each a closure call", within=COUNT),
            Option("max_eval", None, "closure calls per step; none: 1.25 max_iter", type="int", within=COUNT),
            Option("tolerance_grad", 1e-7, "stop when the largest gradient entry is below this"),
            Option("tolerance_change", 1e-9, "stop when the step or the loss changes by less than this"),
            Option("history_size", 100, "number of pairs kept", within=COUNT),
            Option("line_search_fn", None, "line search", ("strong_wolfe",), type="str"),
        ),
        kind="closure",
        passes="up to 25 (max_eval, or 1.25 max_iter when none)",
        state="203 (2 history_size + 3)",
        source="Liu, Nocedal 1989",
        formula="""
d = -H g,   H: the inverse Hessian from the last history_size pairs (w change, g change)
w <- w + s d,   s = lr, or found by line_search_fn
up to max_iter such iterations a step, all on one mini-batch
""".strip(),
        space={"lr": "1e-2..1/log", "history_size": "5,10,50,100"},
    ),
    OptimizerRecord(
        "muon",
        "orthogonalised momentum for hidden matrices, AdamW for everything else",
        "lehi_cli.optim:MuonAdamW.for_model",
        (
            lr(1e-3),
            decay(0.1, DECOUPLED),
            Option("momentum", 0.95, "momentum of the matrices", within=POSITIVE),
            Option("nesterov", True, "Nesterov momentum of the matrices"),
            Option("ns_steps", 5, "Newton-Schulz iterations", within=COUNT),
            Option("adjust_lr_fn", "match_rms_adamw", "scale of the matrices' rate", ("original", "match_rms_adamw")),
            betas(),
            eps(1e-8),
        ),
        takes="model",
        state="1 to 2 (1 for matrices, 2 for the rest)",
        source="Jordan et al. 2024",
        formula="""
matrices: B <- mu B + (1 - mu) g,   O = NS( mu B + (1 - mu) g )      NS: Newton-Schulz towards U V^T, mu: momentum
W <- (1 - lr weight_decay) W - 0.2 lr sqrt(max(rows, columns)) O      (adjust_lr_fn=match_rms_adamw)
all else, and embeddings and the output layer: AdamW with the same lr
""".strip(),
        space={"lr": "1e-5..1e-1/log", "weight_decay": "1e-4..1/log"},
    ),
)

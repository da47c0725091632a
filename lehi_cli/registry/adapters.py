"""Adapters for optimizers of other packages whose own class is not enough.

AdaHessian and Sophia-H announce the steps on which they differentiate twice, so that the graph is made only for those.
Shampoo is set up to take RMSProp's step length, and its state becomes tensors. Prodigy is kept from printing. The
packages' other optimizers need none of this and are used as they are.

Importing this module imports torch and those packages, which listing, planning and reporting do without; the
registry's records therefore name its classes by import string.
"""

import contextlib
import io
from collections.abc import Iterable
from typing import Any

import prodigyopt
import pytorch_optimizer
from pytorch_optimizer.optimizer.utils.graft import LayerWiseGrafting, build_graft
from pytorch_optimizer.optimizer.utils.preconditioner import PreConditioner
from torch import Tensor


class _Copied:
    """Copy and pickle with all attributes; the package's own copies keep only state and groups and cannot step."""

    def __getstate__(self) -> dict[str, Any]:
        # Left out, as in torch: the hooks, and a `step` that a scheduler has wrapped.
        left = ("_optimizer", "_zero", "step")
        own = {name: value for name, value in self.__dict__.items() if not name.startswith(left)}
        groups = super().__getstate__()
        return {**own, **groups} if isinstance(groups, dict) else own


class AdaHessian(_Copied, pytorch_optimizer.AdaHessian):
    """AdaHessian of pytorch-optimizer, with the paper's learning rate and eps for defaults.

    With g the gradient, H the Hessian and z random signs of a step, elementwise:

        m <- b1 m + (1 - b1) g                      mh = m / (1 - b1^step)
        v <- b2 v + (1 - b2) (z * H z)^2            vh = v / (1 - b2^step)
        w <- (1 - lr weight_decay) w - lr mh / (vh^(hessian_power / 2) + eps)

    The gradients must carry their graph (`create_graph=True`) on the steps that `hessian_due` announces. With an
    `update_period` above 1, v moves on those steps only, while its bias correction counts every step. Curvature is not
    averaged over blocks. It draws from torch's global random numbers.

    Source: Yao et al., arXiv 2006.00719.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.15,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-4,
        weight_decay: float = 0.0,
        hessian_power: float = 1.0,
        update_period: int = 1,
        num_samples: int = 1,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            weight_decay,
            hessian_power=hessian_power,
            update_period=update_period,
            num_samples=num_samples,
            eps=eps,
        )

    @property
    def hessian_due(self) -> bool:
        """Whether the next step differentiates the gradients."""
        return _steps(self) % self.update_period == 0


class SophiaH(_Copied, pytorch_optimizer.SophiaH):
    """Sophia-H of pytorch-optimizer, in the paper's early form: clipped at p, with an lr larger by a factor of 1 / p.

    With g the gradient, H the Hessian and z ~ N(0, I) of a step, elementwise:

        m <- b1 m + (1 - b1) g
        h <- b2 h + (1 - b2) z * H z                every `update_period` steps; otherwise h stays
        w <- (1 - lr weight_decay) w - lr clip( m / max(h, eps), -p, p )

    so no coordinate moves by more than lr p (apart from decay). `Sophia`'s lr is this lr times p, and its gamma is p.
    The gradients must carry their graph on the steps that `hessian_due` announces. It draws from torch's global random
    numbers.

    Source: Liu et al., arXiv 2305.14342.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 6e-2,
        betas: tuple[float, float] = (0.96, 0.99),
        eps: float = 1e-12,
        weight_decay: float = 0.0,
        p: float = 1e-2,
        update_period: int = 10,
        num_samples: int = 1,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            weight_decay,
            p=p,
            update_period=update_period,
            num_samples=num_samples,
            eps=eps,
        )

    @property
    def hessian_due(self) -> bool:
        """Whether the next step differentiates the gradients."""
        return _steps(self) % self.update_period == 0


def _steps(optimizer: Any) -> int:
    """Steps taken so far, as the package counts them."""
    return int(optimizer.param_groups[0].get("step", 0))


class Shampoo(_Copied, pytorch_optimizer.ScalableShampoo):
    """Shampoo with RMSProp's step length, tensor by tensor: pytorch-optimizer's `ScalableShampoo`, set up for that.

    For a matrix with gradient G:

        L <- b2 L + (1 - b2) G G^T,   R <- b2 R + (1 - b2) G^T G,   V <- b2 V + (1 - b2) G^2
        S = L^(-1/4) G R^(-1/4),   U = S |G / sqrt(V)| / |S|                      (Frobenius norms)
        M <- b1 M + (1 - b1) U,   w <- (1 - lr weight_decay) w - lr M

    The roots are computed every `precondition_frequency` steps; before the first time, and always for vectors,
    U = G / sqrt(V). Tensors with more than two dimensions have a statistic and a root for each dimension; sides longer
    than `block_size` are cut into blocks. Neither average is corrected for its bias, so the first steps are up to about
    twice as long as Adam's; after that lr is in Adam's unit. It draws from torch's global random numbers.

    Source: Gupta, Koren, Singer, arXiv 1802.09568; grafting: Anil et al., arXiv 2002.09018.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        precondition_frequency: int = 10,
        block_size: int = 512,
        matrix_eps: float = 1e-6,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            moving_average_for_momentum=True,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
            start_preconditioning_step=precondition_frequency,
            preconditioning_compute_steps=precondition_frequency,
            block_size=block_size,
            shape_interpretation=False,  # it would flatten any matrix with at most block_size entries to a vector
            graft_type=LayerWiseGrafting.RMSPROP,
            nesterov=False,
            matrix_eps=matrix_eps,
        )

    def state_dict(self) -> dict[str, Any]:
        """As in torch, with tensors; the package's own has objects in their place."""
        saved = super().state_dict()
        return {**saved, "state": {key: _as_tensors(state) for key, state in saved["state"].items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            for p in group["params"]:
                if p in self.state:
                    self._restore(p, self.state[p], group["betas"][1])

    def _restore(self, p: Tensor, state: dict[str, Any], beta2: float) -> None:
        """Put the tensors back into the package's objects."""
        conditioner = PreConditioner(
            p,
            beta2,
            self.inverse_exponent_override,
            self.block_size,
            self.skip_preconditioning_rank_lt,
            self.no_preconditioning_for_layers_with_dim_gt,
            self.shape_interpretation,
            self.pre_conditioner_type,
            self.matrix_eps,
            self.use_svd,
        )
        graft = build_graft(p, self.graft_type, self.diagonal_eps)
        for name, owner in (("pre_conditioner", conditioner), ("graft", graft)):
            for field, value in state[name].items():
                setattr(owner, field, value)
            state[name] = owner


_FIELDS = {"pre_conditioner": ("statistics", "pre_conditioners"), "graft": ("momentum", "statistics")}


def _as_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """One parameter's state with dictionaries of tensors in place of the package's objects."""
    objects = {name: {field: getattr(state[name], field) for field in fields} for name, fields in _FIELDS.items()}
    return {**state, **objects}


class Prodigy(prodigyopt.Prodigy):  # type: ignore[misc]
    """Prodigy of prodigyopt, which finds the learning rate by itself: lr is a factor on it.

    With g the gradient, w0 the initial weights, b3 = sqrt(b2), dlr = d lr; d is one number for all parameters:

        s <- b3 s + (d / d0) dlr g,   r <- b3 r + (d / d0) dlr <g, w0 - w>,   d <- max(d, d_coef r / |s|_1)
        m <- b1 m + (1 - b1) d g,   v <- b2 v + (1 - b2) d^2 g^2
        w <- (1 - dlr weight_decay) w - dlr m / (sqrt(v) + d eps)

    with the d from before the step in the averages and in dlr.

    Source: Mishchenko, Defazio, arXiv 2306.06101.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces its weight decay
            super().__init__(
                params,
                lr,
                betas,
                eps=eps,
                weight_decay=weight_decay,
                use_bias_correction=use_bias_correction,
                safeguard_warmup=safeguard_warmup,
                d0=d0,
                d_coef=d_coef,
            )

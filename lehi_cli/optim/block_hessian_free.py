"""Block-diagonal Hessian-free optimization: a separate linear system for each block of parameters.

The curvature between blocks is taken to be zero. Each block's system is smaller and better conditioned than the whole,
and no block waits for another; but each needs its own products, so on one device B blocks cost about B times as many
products per iteration. Taking the products on part of the mini-batch, and few iterations, makes up for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lehi_cli.curvature import Loss
from lehi_cli.curvature.products import GaussNewton, flatten
from lehi_cli.optim.blocks import LAYER, check_blocks, partition
from lehi_cli.optim.checked import shared_option
from lehi_cli.optim.hessian_free_base import HessianFreeBase, Problem, Trial


class BlockHessianFree(HessianFreeBase):
    """Block-diagonal Hessian-free optimization (Zhang, Xiong, Bradbury and Socher).

    With g the gradient of the mini-batch, G the Gauss-Newton matrix of its first rows and b one of the blocks:

        u_b from zeta u_b,previous by conjugate gradients on (G_bb + damping I) u_b = -g_b, at most max_cg iterations
        w_b <- w_b + lr u_b

    All blocks start from the same w. With `adaptive_damping`, one damping for all blocks follows their combined model:

        rho = (f(w + u) - f(w)) / sum_b phi_b(u_b),   phi_b(u) = g_b . u + 1/2 u^T (G_bb + damping I) u
        damping <- 3/2 damping if rho < 1/4, 2/3 damping if rho > 3/4, from the next step on

    where f, like g, is taken on the whole mini-batch. The first solve starts from 0.

    Cost: 1 gradient; c = `curvature_fraction` of one for the forward pass on the curvature's rows and for preparing the
    products (2/3 at c = 1, where the gradient's forward pass is reused); 2 c per product of each block; and 1/3 for
    `adaptive_damping`.

    ```python
    optimizer = BlockHessianFree.for_model(model, loss="cross_entropy", blocks="encoder.*/decoder.*")
    loss = optimizer.step(lambda rows=slice(None): (model(x[rows]), y[rows]))
    ```

    `fallbacks` counts what went wrong, by reason and block by block: `"negative curvature"` and `"non-finite product"`
    (the solve ends with the last good iterate; if there is none, the block's step is its negative gradient divided by
    the curvature's magnitude plus the damping, or no step if the product was not finite), `"useless warm start"` (the
    solve is repeated from 0) and `"non-finite gradient"` (no step). `diagnostics` holds the last step's
    `cg_iterations` and `products` (summed over the blocks), `damping` and, if adaptive, `rho`.

    Args:
        params: *named* parameters, `model.named_parameters()`, or groups of them. A group may set its own lr.
        lr: factor on the step.
        loss: as for `HessianFree`.
        blocks: `"layer"`, one block per module that owns parameters (an LSTM of several layers is one module); or
            patterns of parameter names such as `["encoder.*", "decoder.*"]` or `"encoder.*/decoder.*"`, one block each.
            A parameter belongs to the first pattern that matches it; those that match none form one more block. A
            weight used in several places goes by the name it was registered under first.
        max_cg: maximum number of conjugate gradient iterations per step and block.
        eps_cg: the stopping rule's least relative progress per iteration, see `conjugate_gradient`.
        zeta: factor on the last solution, where the next solve starts; 0 starts from 0.
        damping: multiple of the identity added to every G_bb; with `adaptive_damping`, its initial value.
        adaptive_damping: adapt the damping to rho. A damping of 0 stays 0.
        curvature_fraction: the part of the mini-batch, its first rows, on which G is taken.
        foreach, maximize, capturable, differentiable, fused: as in `torch.optim`; an error when on.

    Raises:
        ValueError: for an option that is unknown or out of range, in the constructor or in a group; for parameters
            without names; for a pattern that no parameter is left for.
        TypeError: for an unknown loss; for complex parameters.

    Source: Zhang, Xiong, Bradbury and Socher, "Block-diagonal Hessian-free optimization for training neural networks",
    arXiv 1712.07296. Whether their damping was fixed is not known; fixed is the default here.
    """

    RULES = {
        **HessianFreeBase.RULES,
        "blocks": (lambda v: v == LAYER or isinstance(v, tuple), f"{LAYER!r} or patterns of parameter names"),
    }
    SHARED = frozenset(RULES) - {"lr"}

    blocks = shared_option("blocks", '`"layer"`, or the patterns that make a block each.')

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        loss: str | nn.Module | Loss = "cross_entropy",
        blocks: str | Sequence[str] = LAYER,
        max_cg: int = 30,
        eps_cg: float = 5e-4,
        zeta: float = 0.95,
        damping: float = 1.0,
        adaptive_damping: bool = False,
        curvature_fraction: float = 0.25,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            loss=loss,
            blocks=check_blocks(blocks),
            max_cg=max_cg,
            eps_cg=eps_cg,
            zeta=zeta,
            damping=damping,
            adaptive_damping=adaptive_damping,
            curvature_fraction=curvature_fraction,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )
        self.block_names()

    @classmethod
    def for_model(cls, model: nn.Module, **options: Any) -> "BlockHessianFree":
        """The optimizer of a model's parameters, with their names in the model; `options` as in the constructor."""
        return cls(model.named_parameters(), **options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of named parameters; they are sorted into the same blocks.

        Raises:
            ValueError: for an option that is unknown or out of range, and for parameters without names.
            TypeError: for complex parameters.
        """
        super().add_param_group(param_group)
        if "param_names" not in self.param_groups[-1]:
            self.param_groups.pop()
            raise ValueError(
                "blocks are made by the parameters' names: pass model.named_parameters(), or use "
                "BlockHessianFree.for_model(model)"
            )

    def block_names(self) -> list[list[str]]:
        """The names of the parameters in each block."""
        names = self._names()
        return [[names[i] for i in block] for block in partition(names, self.blocks)]

    def _check_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super()._check_state_dict(state_dict)
        pairs = zip(self.param_groups, state_dict["param_groups"], strict=False)
        names = [name for own, saved in pairs for name in saved.get("param_names", own["param_names"])]
        partition(names, state_dict["param_groups"][0]["blocks"])

    def _names(self) -> list[str]:
        return [name for group in self.param_groups for name in group["param_names"]]

    def _advance(self, problem: Problem) -> None:
        operator = GaussNewton(problem.outputs, problem.targets, self.loss, problem.params)
        slices = problem.gradient.split([p.numel() for p in problem.params])
        solutions: list[Tensor] = [torch.zeros_like(piece) for piece in slices]
        phi = 0.0
        for block in self._trainable_blocks(problem.places):
            gradient = flatten([slices[i] for i in block])
            if not bool(gradient.any()):
                continue  # the solution is 0; the warm start is kept until there is something to solve
            result = self._solve(operator.block(block), gradient)
            phi += result.phi
            for i, piece in zip(block, result.solution.split([slices[i].numel() for i in block]), strict=True):
                solutions[i] = piece
        solution = torch.cat(solutions)
        trial = Trial(problem, self.loss)
        if self.adaptive_damping:
            self._adapt_damping(float(problem.loss), trial(solution), phi)
        trial.settle(self._scaled(solution, problem))

    def _trainable_blocks(self, places: list[int]) -> list[list[int]]:
        """The blocks as positions among the trainable parameters, which are at `places` among all parameters."""
        position = {place: i for i, place in enumerate(places)}
        blocks = [[position[i] for i in block if i in position] for block in partition(self._names(), self.blocks)]
        return [block for block in blocks if block]

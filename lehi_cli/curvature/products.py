"""Products of a curvature matrix with a vector, on a graph that is built once and differentiated again per product.

The d x d matrix of curvatures is never formed. There are two operators on flat vectors of all parameters:

- `Hessian`: the gradient g(w) is computed with its own graph; H v is the gradient of g . v, with v held fixed.
- `GaussNewton`: G v = J^T (Lam (J v)). J^T u is one backward pass, and it is *linear* in u: its derivative in u, in the
  direction of v, is J v. So J^T u is computed once, with a graph, for a placeholder u; after that J v is a backward
  pass through that backward pass, and J^T an ordinary one. No forward mode is needed, which torch's LSTM lacks.

A block of the parameters (a layer, say) differentiates only with respect to its own, on the graph of all.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from lehi_cli.curvature.loss import Loss

HOW_TWICE = (
    "put torch.nn.attention.sdpa_kernel(SDPBackend.MATH) (attention) or "
    "torch.backends.cudnn.flags(enabled=False) (LSTM on CUDA) around the forward pass, and do not compile it"
)
_ONCE_ONLY = ("derivative for", "double backward")  # torch's words for kernels without a second derivative


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in one vector [d], in order, in the widest dtype among the tensors, on their device."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The pieces of a vector [d] in the shapes and dtypes of `like`: the inverse of `flatten`, views where possible.

    Raises:
        ValueError: when `vector` is not one-dimensional, or `like` has another number of entries.
    """
    sizes = [tensor.numel() for tensor in like]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"vector must have shape [{sum(sizes)}], one entry per parameter; got {list(vector.shape)}")
    return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(vector.split(sizes), like, strict=True)]


class GaussNewton:
    """The Gauss-Newton matrix G = (1/D) sum_n J_n^T Lam_n J_n of a batch, [d, d], as an operator.

    Building it costs one backward pass (2/3 of a gradient) on top of the forward pass that made `outputs`; a product
    costs the derivative of that backward pass and one more backward pass, together 2 gradients. The graph of `outputs`
    is kept as long as the operator. Everything is computed in the dtypes torch gives the graph (half-precision weights
    give half-precision products); only Lam is applied in float32 or wider.

    Args:
        outputs: the network's outputs, still attached to their graph; differentiable twice, which fused attention
            kernels and cuDNN's LSTM are not (put `sdpa_kernel(SDPBackend.MATH)` or
            `torch.backends.cudnn.flags(enabled=False)` around the forward pass).
        targets: as the loss takes them.
        loss: gives Lam and D.
        params: the d parameters. Those that the outputs do not depend on have rows and columns of zeros.

    Raises:
        RuntimeError: when `outputs` has no graph, or one that cannot be differentiated twice.

    Source: Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", 2002; the
    double-backward trick is Townsend's, 2017.
    """

    def __init__(self, outputs: Tensor, targets: Tensor, loss: Loss, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self._outputs, self._targets, self._loss = outputs, targets, loss
        self._cotangent = torch.zeros_like(outputs, requires_grad=True)  # u; J^T u is linear in u, so any value will do
        self._pulled = list(_differentiate([outputs], self.params, [self._cotangent], create_graph=True))

    def block(self, indices: Sequence[int]) -> "GaussNewton":
        """The diagonal block of G for the parameters at these positions in `params`; it shares the graph and costs 0.

        Its products are P G P^T v, with P the rows of the block: other parameters are neither inputs nor outputs.
        """
        block = copy.copy(self)
        block.params = [self.params[i] for i in indices]
        block._pulled = [self._pulled[i] for i in indices]
        return block

    def product(self, vector: Tensor) -> Tensor:
        """G times `vector` [d], in the vector's dtype, detached.

        Raises:
            ValueError: when `vector` has another shape.
        """
        pushed = self._push(unflatten(vector, self.params))
        if pushed is None:
            return torch.zeros_like(vector)
        pushed = self._loss.hessian_product(self._outputs, self._targets, pushed)
        return _flat_gradient([self._outputs], self.params, [pushed], vector.dtype)

    def _push(self, tangents: list[Tensor]) -> Tensor | None:
        """J v, of the outputs' shape; None where no parameter reaches the outputs."""
        reached = [(pulled, v) for pulled, v in zip(self._pulled, tangents, strict=True) if _has_graph(pulled)]
        if not reached:
            return None
        pulled, v = zip(*reached, strict=True)
        return _differentiate(pulled, [self._cotangent], v)[0]


class Hessian:
    """The Hessian of a scalar in the parameters, [d, d], as an operator; and the gradient, which comes for free.

    Building it costs the gradient's backward pass (2/3 of a gradient), with a graph; a product costs 2 gradients. It
    need not be positive semi-definite. It is computed in the dtypes torch gives the graph, and second derivatives are
    torch's own: 0 for ReLU, and for any gradient that does not depend on the parameters.

    Args:
        loss: a scalar, still attached to its graph, twice differentiable (see `GaussNewton` for what is not).
        params: the d parameters. Those that the loss does not depend on have rows and columns of zeros.

    Attributes:
        gradient: the gradient of `loss`, [d], detached.

    Raises:
        RuntimeError: when `loss` is not a scalar, has no graph, or has one that cannot be differentiated twice.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """

    def __init__(self, loss: Tensor, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self._gradients = _differentiate([loss], self.params, None, create_graph=True)
        filled = [_or_zeros(gradient, p) for gradient, p in zip(self._gradients, self.params, strict=True)]
        self.gradient = flatten(filled).detach()

    def product(self, vector: Tensor) -> Tensor:
        """H times `vector` [d], in the vector's dtype, detached.

        Raises:
            ValueError: when `vector` has another shape.
        """
        tangents = unflatten(vector, self.params)
        reached = [(gradient, v) for gradient, v in zip(self._gradients, tangents, strict=True) if _has_graph(gradient)]
        if not reached:
            return torch.zeros_like(vector)
        gradients, v = zip(*reached, strict=True)
        return _flat_gradient(gradients, self.params, v, vector.dtype)


def _has_graph(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad


def _or_zeros(gradient: Tensor | None, param: Tensor) -> Tensor:
    return torch.zeros_like(param) if gradient is None else gradient


def _flat_gradient(
    outputs: Sequence[Tensor], params: Sequence[Tensor], weights: Sequence[Tensor], dtype: torch.dtype
) -> Tensor:
    gradients = _differentiate(outputs, params, weights)
    return flatten([_or_zeros(gradient, p) for gradient, p in zip(gradients, params, strict=True)]).to(dtype)


def _differentiate(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor] | None,
    create_graph: bool = False,
) -> Sequence[Tensor | None]:
    """The gradient of sum(outputs * weights) with respect to the inputs, None where there is none; keeps the graph."""
    try:
        return torch.autograd.grad(
            outputs, inputs, weights, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _ONCE_ONLY):
            raise
        raise RuntimeError(f"{error}\nThe model must be differentiable twice: {HOW_TWICE}") from error

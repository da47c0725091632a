"""The Hessian of a scalar function of the outputs, by differentiating twice: the yardstick for factors."""

from collections.abc import Callable

import torch
from torch import Tensor


def output_hessian_product(function: Callable[[Tensor], Tensor], outputs: Tensor, vector: Tensor) -> Tensor:
    """The Hessian of `function` at `outputs` times `vector`, of the outputs' shape; 0 where it is linear."""
    with torch.enable_grad():
        point = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(point), point, create_graph=True)
        if not slope.requires_grad:
            return torch.zeros_like(vector)
        (product,) = torch.autograd.grad(slope, point, vector, materialize_grads=True)
    return product

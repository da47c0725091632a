"""Dense curvature, the slow way: explicit Jacobians, explicit Hessians, nothing of the library under test."""

import copy
import warnings
from collections.abc import Callable, Iterator
from itertools import product

import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.nn.attention import SDPBackend, sdpa_kernel


def jacobian(outputs: Tensor, params: list[Tensor]) -> Tensor:
    """J = d outputs / d params, [outputs.numel(), d], one backward pass per row."""
    rows = []
    for entry in outputs.flatten():
        grads = torch.autograd.grad(entry, params, retain_graph=True, allow_unused=True)
        rows.append(flat([torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]))
    return torch.stack(rows)


def output_hessian(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    """The Hessian of the reduced loss in the outputs, [outputs.numel(), outputs.numel()]."""
    size = outputs.numel()
    return hessian(lambda p: loss(p, targets), outputs.detach()).reshape(size, size)


def curvlinops_diagonal(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The exact GGN's diagonal by curvlinops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies and torch's forward mode still call torch.jit.script
        from curvlinops import GGNLinearOperator

        params = list(model.parameters())
        with sdpa_kernel(SDPBackend.MATH):  # the only attention kernel with a forward mode
            ggn = GGNLinearOperator(model, loss, params, [(inputs, targets)], check_deterministic=False)
            return (ggn @ torch.eye(sum(p.numel() for p in params), dtype=inputs.dtype)).diag()


def backpack_diagonal(model: nn.Module, loss: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The exact GGN's diagonal by BackPACK."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backpack import backpack, extend
        from backpack.extensions import DiagGGNExact

        model = extend(copy.deepcopy(model))  # `extend` leaves its hooks on the modules
        value = extend(copy.deepcopy(loss))(model(inputs), targets)
        with backpack(DiagGGNExact()):
            value.backward()
    return flat([p.diag_ggn_exact for p in model.parameters()])


def all_signs(*shape: int) -> Iterator[Tensor]:
    """Every pattern of signs of `shape`."""
    for pattern in product((-1.0, 1.0), repeat=torch.Size(shape).numel()):
        yield torch.tensor(pattern, dtype=torch.float64).reshape(shape)


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def relative_error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())

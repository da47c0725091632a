"""Pulling a vector at the outputs back to the parameters, h = J^T v, whatever stands between them.

Where the parameters themselves are in the outputs' graph, `torch.autograd.grad` does it, and hooks that wait for
gradients (DistributedDataParallel's) do not notice. Under `fully_shard` the graph ends in gathered copies of the
parameters, and only a real backward pass gets from there to the parameters, into `.grad`, whose gradients are set aside
meanwhile.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge, Node

_SINK = "_DDPSinkBackward"
# Custom functions of torch's own wrappers, which hide nothing from autograd.
_TRANSPARENT = (_SINK, "RegisterPostBackwardFunctionBackward", "CompiledFunctionBackward")


def pull_back(outputs: Tensor, v: Tensor, params: Sequence[Tensor]) -> list[Tensor | None]:
    """J^T v for every parameter, None where the outputs' graph does not reach it. The graph is kept.

    Args:
        outputs: attached to their graph.
        v: of the outputs' shape and dtype.
        params: leaves that require gradients.
    """
    return list(torch.autograd.grad(outputs, params, v, retain_graph=True, allow_unused=True))


def pull_back_past_sinks(outputs: Tensor, v: Tensor, params: Sequence[Tensor]) -> list[Tensor | None]:
    """`pull_back` for the very first pass through a DistributedDataParallel.

    With `static_graph=True` it learns the order of the gradients from the first backward pass through a node of its
    own, the sink. This goes from the outputs to the sinks, and then on from behind them.
    """
    sinks = [node for node in nodes(outputs) if node.name() == _SINK]
    if not sinks:
        return pull_back(outputs, v, params)
    ends = [(sink, i) for sink in sinks for i in range(len(sink.next_functions))]
    edges = [GradientEdge(*end) for end in ends]
    at_sinks = torch.autograd.grad(outputs, edges, v, retain_graph=True, allow_unused=True)
    roots, grads = [], []
    for (sink, i), grad in zip(ends, at_sinks, strict=True):
        behind, place = sink.next_functions[i]
        if grad is not None and behind is not None:
            roots.append(GradientEdge(behind, place))
            grads.append(grad)
    return list(torch.autograd.grad(roots, params, grads, retain_graph=True, allow_unused=True))


def pull_back_through_grad(outputs: Tensor, v: Tensor, params: Sequence[Tensor]) -> list[Tensor | None]:
    """`pull_back` by a backward pass into `.grad`, whose own contents are restored afterwards."""
    owners = [*params, *leaves(outputs)]
    kept = [(p, p.grad) for p in owners]
    for p in owners:
        p.grad = None
    try:
        torch.autograd.backward(outputs, v, retain_graph=True)
        return [p.grad for p in params]
    finally:
        for p, grad in kept:
            p.grad = grad


def nodes(outputs: Tensor) -> Iterator[Node]:
    """Every node of the outputs' graph once, nearest to the outputs first."""
    start = outputs.grad_fn
    seen, queue = {start}, [start] if start is not None else []
    for node in queue:
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                queue.append(following)


def leaves(outputs: Tensor) -> list[Tensor]:
    """The leaves in which the outputs' graph ends."""
    return [node.variable for node in nodes(outputs) if type(node).__name__ == "AccumulateGrad"]  # type: ignore[attr-defined]


def gathered(outputs: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """The parameters of which the graph has only gathered copies, as under `fully_shard`.

    Args:
        outputs: attached to their graph.
        params: the optimizer's sharded parameters.

    Raises:
        RuntimeError: when the graph ends in more parameters that are not the optimizer's than there are such copies.
    """
    ends = leaves(outputs)
    own, found = {id(p) for p in params}, {id(leaf) for leaf in ends}
    missing = [p for p in params if id(p) not in found]
    others = sum(isinstance(leaf, nn.Parameter) and id(leaf) not in own for leaf in ends)
    if missing and others > len(missing):
        raise RuntimeError(
            f"the outputs depend on {others} sharded parameters, of which this optimizer has {len(missing)}: under "
            "fully_shard it must have all that require gradients, for the others' gradients would be changed"
        )
    return missing if others else []


def opaque_functions(outputs: Tensor) -> set[str]:
    """Names of the custom functions in the outputs' graph, whose backward may reach parameters unseen."""
    custom = {type(node).__name__ for node in nodes(outputs) if isinstance(node, BackwardCFunction)}
    return custom - set(_TRANSPARENT)

"""One of two ranks that train together: `python ranks.py RANK FOLDER NAME...` runs scenarios and saves what came of it.

A scenario is a function of the rank. It returns what a test wants to see; an exception is kept as its text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel as DDP  # noqa: N817
from torch.utils.checkpoint import checkpoint

from lehi_cli.optim import LEHI, LEHIBRID, Sophia

STEPS, ROWS = 4, 12
SCENARIOS: dict[str, Callable[[int], Any]] = {}
FOLDER = Path()


def scenario(function: Callable[[int], Any]) -> Callable[[int], Any]:
    SCENARIOS[function.__name__] = function
    return function


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def data() -> tuple[Tensor, Tensor]:
    inputs = torch.randn(STEPS, ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return inputs, inputs[..., :3].argmax(-1)


def rows(rank: int, split: int = ROWS // 2) -> slice:
    return slice(split) if rank == 0 else slice(split, ROWS)


def optimizer(model: nn.Module, kind: type = LEHI, **options: Any) -> LEHI:
    plain = {"factor": "diagonal", "sample_signs": False} if kind is not Sophia else {"factor": "diagonal"}
    return kind(model.parameters(), **{"lr": 1e-2, **plain, **options})


def whole(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are over all ranks."""
    return {name: v.full_tensor() if hasattr(v, "full_tensor") else v for name, v in values.items()}


def outcome(model: nn.Module, opt: LEHI) -> dict[str, Any]:
    names = {p: name for name, p in model.named_parameters()}
    diagonal = whole({names[p].removeprefix("module."): d for p, d in opt.curvature_diagonal().items()})
    weights = {name.removeprefix("module."): v for name, v in whole(dict(model.state_dict())).items()}
    return {"weights": weights, "diagonal": diagonal, "fallbacks": opt.fallbacks}


def train(model: nn.Module, opt: LEHI, part: slice, how: str, steps: range = range(STEPS), weight: float = 1.0) -> None:
    """Train by `backward` or by a loss of the criterion's."""
    criterion = opt.criterion()
    inputs, targets = data()
    for step in steps:
        opt.zero_grad()
        outputs, wanted = model(inputs[step, part]), targets[step, part]
        if how == "backward":
            opt.backward(outputs, wanted, weight=weight)
        else:
            (weight * criterion(outputs, wanted)).backward()
        opt.step()


def ddp(rank: int, how: str = "backward", split: int = ROWS // 2, steps: int = STEPS, **options: Any) -> dict[str, Any]:
    parallel = DDP(net(), **options)
    opt = optimizer(parallel)
    opt.average_over(dist.group.WORLD)
    train(parallel, opt, rows(rank, split), how, range(steps))
    return outcome(parallel, opt)


@scenario
def ddp_plain(rank: int) -> Any:
    return ddp(rank)


@scenario
def ddp_criterion(rank: int) -> Any:
    return ddp(rank, "criterion")


@scenario
def ddp_static_graph(rank: int) -> Any:
    return ddp(rank, static_graph=True)


@scenario
def ddp_static_graph_criterion(rank: int) -> Any:
    return ddp(rank, "criterion", static_graph=True)


@scenario
def ddp_bucket_view(rank: int) -> Any:
    return ddp(rank, gradient_as_bucket_view=True)


@scenario
def ddp_bucket_view_criterion(rank: int) -> Any:
    return ddp(rank, "criterion", gradient_as_bucket_view=True, find_unused_parameters=True)


@scenario
def ddp_uneven(rank: int) -> Any:
    return ddp(rank, split=4)


@scenario
def ddp_uneven_criterion(rank: int) -> Any:
    return ddp(rank, "criterion", split=4)


def accumulate(model: nn.Module, opt: LEHI, rank: int, until_the_last: Callable[[], Any]) -> None:
    """Steps of three micro-batches, two rows each."""
    criterion = opt.criterion()
    inputs, targets = data()
    for step in range(STEPS):
        opt.zero_grad()
        for i, part in enumerate(range(6 * rank, 6 * rank + 6, 2)):
            with until_the_last() if i < 2 else nullcontext():
                outputs, wanted = model(inputs[step, part : part + 2]), targets[step, part : part + 2]
                if step % 2:
                    opt.backward(outputs, wanted, weight=1 / 3)
                else:
                    (criterion(outputs, wanted) / 3).backward()
        opt.step()


@scenario
def ddp_no_sync(rank: int) -> Any:
    """Three micro-batches of two rows each on every rank, averaged over the ranks at the last."""
    parallel = DDP(net())
    opt = optimizer(parallel)
    opt.average_over(dist.group.WORLD)
    accumulate(parallel, opt, rank, parallel.no_sync)
    return outcome(parallel, opt)


@scenario
def ddp_without_a_word(rank: int) -> Any:
    parallel = DDP(net())
    opt = optimizer(parallel)
    with suppress(RuntimeError):
        train(parallel, opt, rows(rank), "backward")
    train(parallel, opt, rows(rank), "backward")  # asking again does not make it right


@scenario
def each_on_its_own(rank: int) -> Any:
    model = net()
    opt = optimizer(model)
    opt.average_over(None)
    train(model, opt, rows(rank), "backward")
    return outcome(model, opt)


@scenario
def signs_differ(rank: int) -> Any:
    """The samples of both ranks, from the same rows: only the random signs differ."""
    model = net()
    opt = optimizer(model, factor="rademacher", sample_signs=True)
    opt.average_over(dist.group.WORLD)
    opt.backward(model(data()[0][0]), data()[1][0])
    return [state["sample"] for state in opt.state.values()]


class Sometimes(nn.Module):
    """The second layer is used by rank 0 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = net()[0], nn.Linear(6, 6).double(), nn.Linear(6, 3).double()
        for p in self.second.parameters():
            nn.init.constant_(p, 0.1)
        for p in self.last.parameters():
            nn.init.constant_(p, 0.2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs).tanh()
        return self.last(self.second(hidden).tanh() if dist.get_rank() == 0 else hidden)


@scenario
def used_on_one_rank(rank: int) -> Any:
    parallel = DDP(Sometimes(), find_unused_parameters=True)
    opt = optimizer(parallel)
    opt.average_over(dist.group.WORLD)
    train(parallel, opt, rows(rank), "backward")
    return outcome(parallel, opt)


def shard(seed: int = 0, **options: Any) -> nn.Module:
    model = net(seed)
    mesh = init_device_mesh("cpu", (2,))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def sharded(rank: int, how: str, split: int = ROWS // 2, **options: Any) -> Any:
    model = shard(**options)
    opt = optimizer(model)
    train(model, opt, rows(rank, split), how)
    return outcome(model, opt)


@scenario
def fsdp(rank: int) -> Any:
    return sharded(rank, "backward")


@scenario
def fsdp_criterion(rank: int) -> Any:
    return sharded(rank, "criterion", reshard_after_forward=False)


@scenario
def fsdp_uneven(rank: int) -> Any:
    return sharded(rank, "backward", split=4)


@scenario
def fsdp_foreach(rank: int) -> Any:
    model = shard()
    opt = optimizer(model, foreach=True, power=1, clip=1.0, damping=0.1)
    train(model, opt, rows(rank), "criterion")
    return outcome(model, opt)


@scenario
def fsdp_root_alone(rank: int) -> Any:
    """Only the whole model is wrapped, so no node of its own is in the graph."""
    model = fully_shard(net(), mesh=init_device_mesh("cpu", (2,)))
    opt = optimizer(model)
    train(model, opt, rows(rank), "criterion")
    return outcome(model, opt)


@scenario
def fsdp_accumulation(rank: int) -> Any:
    """Three micro-batches, each with its gradients reduced."""
    model = shard()
    opt = optimizer(model)
    accumulate(model, opt, rank, nullcontext)
    return outcome(model, opt)


@scenario
def fsdp_without_sync(rank: int) -> Any:
    model = shard()
    model.set_requires_gradient_sync(False)
    train(model, optimizer(model), rows(rank), "backward")


@scenario
def fsdp_part_of_the_parameters(rank: int) -> Any:
    model = shard()
    opt = optimizer(model[0])
    train(model, opt, rows(rank), "backward")


@scenario
def fsdp_over_two_dimensions(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
    model = fully_shard(net(), mesh=mesh)
    opt = optimizer(model)
    try:
        train(model, opt, rows(rank), "backward")
    except RuntimeError as error:
        refusal = str(error)
    opt.average_over(mesh.get_group("replicate"))
    train(model, opt, rows(rank), "backward")
    return {**outcome(model, opt), "refusal": refusal}


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.first, self.second = net()[:2], nn.Linear(6, 3).double(), nn.Linear(6, 3).double()
        for head in (self.first, self.second):
            nn.init.constant_(head.weight, 0.1)
            nn.init.constant_(head.bias, 0.2)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(inputs)
        return self.first(hidden), self.second(hidden)


def two_heads(model: nn.Module, opt: LEHI, part: slice, step: int, weight: float = 1.0) -> None:
    """One backward pass of two losses added."""
    first, second = opt.criterion(), opt.criterion(nn.CrossEntropyLoss(label_smoothing=0.1))
    inputs, targets = (values[step, part] for values in data())
    outputs = model(inputs)
    (weight * (first(outputs[0], targets) + 0.3 * second(outputs[1], 2 - targets))).backward()


@scenario
def fsdp_two_heads(rank: int) -> Any:
    model = TwoHeads()
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model.trunk[0], model.first, model.second):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    opt = optimizer(model)
    for step in range(STEPS):
        opt.zero_grad()
        two_heads(model, opt, rows(rank), step)
        opt.step()
    return outcome(model, opt)


def late_head(model: TwoHeads, opt: LEHI, part: slice) -> Tensor:
    """The second head is computed after the first one's loss, so its layer is differentiated before that."""
    inputs, targets = (values[0, part] for values in data())
    hidden = model.trunk(inputs)
    loss = opt.criterion()(model.first(hidden), targets)
    return loss + opt.criterion()(model.second(hidden), targets)


@scenario
def fsdp_a_head_after_a_loss(rank: int) -> Any:
    model = TwoHeads()
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model.trunk[0], model.first, model.second):
        fully_shard(layer, mesh=mesh)
    opt = optimizer(model)
    late_head(model, opt, rows(rank)).backward()
    opt.step()
    return outcome(model, opt)


@scenario
def fsdp_penalty_alone(rank: int) -> Any:
    model = nn.Sequential(net(), nn.ParameterDict({"spare": torch.ones(4).double()}))
    model.forward = lambda inputs: model[0](inputs)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    named = [(name.split(".")[-1] if "spare" in name else name, p) for name, p in model.named_parameters()]
    opt = LEHI(named)
    inputs, targets = (values[0, rows(rank)] for values in data())
    opt.criterion()(model(inputs), targets).backward()
    spare = model[1]["spare"]
    spare.grad = torch.ones_like(spare)
    opt.step()


@scenario
def fsdp_second_forward(rank: int) -> Any:
    """A penalty through a forward pass of its own is differentiated before the loss is."""
    model = shard()
    opt = optimizer(model)
    inputs, targets = (values[:2, rows(rank)] for values in data())
    loss = opt.criterion()(model(inputs[0]), targets[0])
    (loss + 0.1 * model(inputs[1]).square().mean()).backward()
    opt.step()


def penalised(model: nn.Module, opt: LEHI, part: slice, weight: float = 1.0) -> None:
    inputs, targets = (values[:2, part] for values in data())
    opt.backward(model(inputs[0]), targets[0], weight=weight)
    (weight * 0.1 * model(inputs[1]).square().mean()).backward()


@scenario
def fsdp_penalty_after(rank: int) -> Any:
    model = shard()
    opt = optimizer(model)
    penalised(model, opt, rows(rank))
    opt.step()
    return outcome(model, opt)


@scenario
def fsdp_distribution(rank: int) -> Any:
    """The average of many samples with random signs."""
    model = shard()
    opt = optimizer(model, lr=0.0, factor="rademacher", sample_signs=True, betas=(0.9, 0.999))
    for _ in range(800):
        train(model, opt, rows(rank), "backward", range(1))
    return outcome(model, opt)


@scenario
def ddp_distribution(rank: int) -> Any:
    parallel = DDP(net())
    opt = optimizer(parallel, lr=0.0, factor="rademacher", sample_signs=True, betas=(0.9, 0.999))
    opt.average_over(dist.group.WORLD)
    for _ in range(800):
        train(parallel, opt, rows(rank), "criterion", range(1))
    return outcome(parallel, opt)


@scenario
def tensor_parallel(rank: int) -> Any:
    """Both ranks see all rows and hold half of the first two layers."""
    model = net()
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    opt = optimizer(model)
    opt.average_over(None)
    train(model, opt, slice(None), "criterion")
    return outcome(model, opt)


@scenario
def tensor_parallel_signs(rank: int) -> Any:
    model = net()
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    opt = optimizer(model, factor="rademacher", sample_signs=True)
    opt.average_over(None)
    train(model, opt, slice(None), "backward")
    return outcome(model, opt)


def checkpointed(rank: int, kind: type, **options: Any) -> Any:
    """Half of the steps, a checkpoint, another process's model and optimizer filled from it, the other half."""
    model = shard()
    opt = optimizer(model, kind, **options)
    train(model, opt, rows(rank), "backward", range(2))
    folder = str(FOLDER / f"{kind.__name__}-{options.get('hybrid', '')}")
    dcp.save({"model": model.state_dict(), "optim": get_optimizer_state_dict(model, opt)}, checkpoint_id=folder)
    train(model, opt, rows(rank), "backward", range(2, STEPS))
    resumed_model = shard(seed=1)
    resumed = optimizer(resumed_model, kind, **{**options, "lr": 0.5})
    saved = {"model": resumed_model.state_dict(), "optim": get_optimizer_state_dict(resumed_model, resumed)}
    dcp.load(saved, checkpoint_id=folder)
    resumed_model.load_state_dict(saved["model"])
    set_optimizer_state_dict(resumed_model, resumed, saved["optim"])
    train(resumed_model, resumed, rows(rank), "backward", range(2, STEPS))
    return {"through": outcome(model, opt), "resumed": outcome(resumed_model, resumed)}


@scenario
def checkpoint_lehi(rank: int) -> Any:
    return checkpointed(rank, LEHI, factor="rademacher", sample_signs=True, curvature_every=3, seed=7)


@scenario
def checkpoint_lehibrid_max(rank: int) -> Any:
    return checkpointed(rank, LEHIBRID, factor="sampled", sample_signs=True, hybrid="max")


@scenario
def checkpoint_sophia(rank: int) -> Any:
    return checkpointed(rank, Sophia, factor="sampled", curvature_every=3)


class Recomputed(nn.Module):
    """Its layers are computed again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.body, self.reentrant = net(), reentrant

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = checkpoint(self.body[:3], inputs, use_reentrant=self.reentrant)
        return self.body[3:](hidden)


@scenario
def ddp_recomputed(rank: int) -> Any:
    parallel = DDP(Recomputed(False), static_graph=True)
    opt = optimizer(parallel)
    opt.average_over(dist.group.WORLD)
    train(parallel, opt, rows(rank), "criterion")
    found = outcome(parallel, opt)
    for part in ("weights", "diagonal"):
        found[part] = {name.removeprefix("body."): v for name, v in found[part].items()}
    return found


def main(rank: int, folder: Path, names: list[str]) -> None:
    global FOLDER
    FOLDER = folder
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2, timeout=timedelta(seconds=20)
    )
    found = {}
    for name in names:
        print(name, flush=True)  # where a log ends is where it hung
        try:
            found[name] = SCENARIOS[name](rank)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    torch.save(found, folder / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

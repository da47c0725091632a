"""Curvature samples on several ranks, treated as those of R micro-batches of weight 1/R, whoever averages gradients.

Ranks whose parameters are whole (DistributedDataParallel) each have their own sample, and add them up before the step.
Where the parameters are sharded (`fully_shard`), the backward pass that brings a sample into `.grad` averages it, so
the samples have to be weighted beforehand.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from lehi_cli.optim.pull_back import gathered, pull_back, pull_back_past_sinks, pull_back_through_grad


class Parallel:
    """The ranks over which gradients are averaged, and how a sample is pulled back there.

    Args:
        group: the ranks; None is this process alone.
        known: whether `group` was stated, so that None does not just mean that nothing was said.
    """

    def __init__(self, group: "dist.ProcessGroup | None" = None, known: bool = False) -> None:
        self._group, self._known = group, known
        self._sharded = False
        self._settled = False
        self._pulled = False

    @property
    def rank(self) -> int:
        """The rank of this process among those that draw their own random numbers."""
        return 0 if self._group is None else dist.get_rank(self._group)

    @property
    def is_alone(self) -> bool:
        """Whether the gradients are this process's own, added up in place by autograd."""
        return self._group is None and not self._sharded

    @property
    def is_sharded(self) -> bool:
        """Whether samples are computed by a backward pass into `.grad`."""
        return self._sharded

    @property
    def averages_gradients(self) -> bool:
        """Whether whole parameters get the mean of the ranks' gradients, including those of other ranks' outputs."""
        return self._group is not None and not self._sharded

    def unseen(self) -> "Parallel":
        """The same for a changed set of parameters, which has not been looked at yet."""
        return Parallel(self._group if self._known else None, self._known)

    def without_group(self) -> "Parallel":
        """What a copy or a pickle keeps: process groups are left out and have to be given again."""
        return Parallel() if self._group is not None else Parallel(None, self._known)

    def settle(self, outputs: Tensor, params: Sequence[Tensor]) -> None:
        """Find out from the first outputs whether the parameters are sharded, and over which ranks.

        Raises:
            RuntimeError: when there are several ranks and nothing says what they share.
        """
        if self._settled or not (dist.is_available() and dist.is_initialized()):
            return
        from torch.distributed.tensor import DTensor  # loaded only when there are ranks

        sharded = [p for p in params if isinstance(p, DTensor)]
        hidden = gathered(outputs, sharded) if sharded else []
        self._sharded = bool(hidden)
        if hidden and not self._known:
            mesh = hidden[0].device_mesh  # type: ignore[attr-defined]
            if mesh.ndim != 1:
                raise RuntimeError(
                    f"the parameters are sharded over a mesh of {mesh.ndim} dimensions: say which ranks train on "
                    "different samples, optimizer.average_over(group)"
                )
            self._group, self._known = mesh.get_group(), True
        if not self._known and dist.get_world_size() > 1:
            raise RuntimeError(
                f"there are {dist.get_world_size()} ranks: where gradients are averaged over them, as by "
                "DistributedDataParallel, call optimizer.average_over(torch.distributed.group.WORLD), or their "
                "curvature samples would differ; where each trains on its own, optimizer.average_over(None)"
            )
        self._settled = True

    def share_before(self, predictions: Tensor) -> tuple[Tensor, Tensor | float]:
        """B and the factor on the weight of a sample that a backward pass will average; B_r and 1 where none does.

        A pass that averages over R ranks computes (1/R) sum_r a_r h_r from samples h_r of B_r predictions each. It is
        the joint sample, sum_r sqrt(B_r / (R B)) h_r, for a_r^2 = R B_r / B with B = sum_r B_r.
        """
        if not self._sharded or self._group is None:
            return predictions, 1.0
        total = predictions.clone()
        dist.all_reduce(total, group=self._group)
        divisor = total.clamp(min=torch.finfo(total.dtype).tiny)
        return total, dist.get_world_size(self._group) * predictions / divisor

    def pull_back(self, outputs: Tensor, v: Tensor, params: Sequence[Tensor]) -> list[Tensor | None]:
        """J^T v for every parameter, None where the outputs do not depend on it.

        Raises:
            RuntimeError: when parameters are sharded and none of them got a gradient.
        """
        if self._sharded:
            samples = pull_back_through_grad(outputs, v, params)
            if all(sample is None for sample in samples):
                raise RuntimeError(
                    "no sharded parameter got a curvature sample: every backward pass must reduce its gradients, so "
                    "leave set_requires_gradient_sync alone"
                )
            return samples
        first, self._pulled = not self._pulled, True
        if first and self._group is not None:
            return pull_back_past_sinks(outputs, v, params)
        return pull_back(outputs, v, params)

    def combine(
        self, predictions: Tensor, samples: dict[Tensor, Tensor], active: Sequence[Tensor]
    ) -> tuple[Tensor, dict[Tensor, Tensor]]:
        """B and the sample of all ranks from this rank's; `active`, parameters with a gradient, are the same on all.

        A rank whose outputs do not reach a parameter that those of others reach contributes 0.
        """
        if self._sharded or self._group is None:
            return predictions, samples
        # In one vector: B, and the number of ranks on which each parameter was reached.
        reached = predictions.new_tensor([float(p in samples) for p in active])
        counts = torch.cat([predictions.reshape(1), reached])
        dist.all_reduce(counts, group=self._group)
        total, reached = counts[0], counts[1:]
        divisor = total.clamp(min=torch.finfo(total.dtype).tiny) * dist.get_world_size(self._group)
        share = (predictions / divisor).sqrt()
        own = [samples[p] * share.to(samples[p]) if p in samples else torch.zeros_like(p) for p in active]
        works = [dist.all_reduce(sample, group=self._group, async_op=True) for sample in own]
        for work in works:
            if work is not None:
                work.wait()
        # Only where this rank has no sample must it wait to see whether another has one.
        found = [p in samples or bool(reached[i] > 0) for i, p in enumerate(active)]
        return total, {p: sample for p, sample, has in zip(active, own, found, strict=True) if has}

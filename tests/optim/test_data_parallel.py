"""Two ranks against one process on the same global batch, over gloo; `ranks.py` is what each rank runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from optim.ranks import (
    ROWS,
    SCENARIOS,
    STEPS,
    Sometimes,
    TwoHeads,
    data,
    late_head,
    net,
    optimizer,
    outcome,
    penalised,
    two_heads,
)
from reference.gauss_newton import jacobian, output_hessian
from torch import Tensor, nn

from lehi_cli.optim import LEHI

Ranks = tuple[dict[str, Any], dict[str, Any]]
LONG = ("ddp_distribution", "fsdp_distribution")


def train_together(folder: Path, names: Iterable[str]) -> Ranks:
    """What came of the scenarios on either rank."""
    command = [sys.executable, str(Path(__file__).with_name("ranks.py"))]
    home = Path(__file__).parents[1]
    logs = [folder / "log0", folder / "log1"]
    with logs[0].open("w") as first_log, logs[1].open("w") as second_log:
        both = [
            subprocess.Popen([*command, str(rank), str(folder), *names], stdout=log, stderr=subprocess.STDOUT, cwd=home)
            for rank, log in enumerate((first_log, second_log))
        ]
        codes = [process.wait(timeout=300) for process in both]
    assert codes == [0, 0], logs[0].read_text() + logs[1].read_text()
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1))
    return first, second


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return train_together(tmp_path_factory.mktemp("ranks"), [name for name in SCENARIOS if name not in LONG])


def alone(
    parts: list[tuple[slice, float]], model: nn.Module | None = None, steps: int = STEPS, **options: Any
) -> dict[str, Any]:
    """One process that sees all rows, as micro-batches with their weights."""
    model = net() if model is None else model
    opt = optimizer(model, **options)
    inputs, targets = data()
    for step in range(steps):
        opt.zero_grad()
        for part, weight in parts:
            opt.backward(model(inputs[step, part]), targets[step, part], weight=weight)
        opt.step()
    return outcome(model, opt)


HALVES = [(slice(0, 6), 0.5), (slice(6, 12), 0.5)]
UNEVEN = [(slice(0, 4), 0.5), (slice(4, 12), 0.5)]
SIXTHS = [(slice(i, i + 2), 1 / 6) for i in range(0, ROWS, 2)]
WHOLE = [(slice(None), 1.0)]
EQUAL = {
    "ddp_plain": (HALVES, {}),
    "ddp_criterion": (HALVES, {}),
    "ddp_static_graph": (HALVES, {}),
    "ddp_static_graph_criterion": (HALVES, {}),
    "ddp_bucket_view": (HALVES, {}),
    "ddp_bucket_view_criterion": (HALVES, {}),
    "ddp_uneven": (UNEVEN, {}),
    "ddp_uneven_criterion": (UNEVEN, {}),
    "ddp_no_sync": (SIXTHS, {}),
    "ddp_recomputed": (HALVES, {}),
    "fsdp": (HALVES, {}),
    "fsdp_criterion": (HALVES, {}),
    "fsdp_uneven": (UNEVEN, {}),
    "fsdp_foreach": (HALVES, {"power": 1, "clip": 1.0, "damping": 0.1}),
    "fsdp_root_alone": (HALVES, {}),
    "fsdp_accumulation": (SIXTHS, {}),
    "fsdp_over_two_dimensions": (HALVES, {}),
    "tensor_parallel": (WHOLE, {}),
    "tensor_parallel_signs": (WHOLE, {"factor": "rademacher", "sample_signs": True}),
}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor], rtol: float = 1e-10) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=rtol, atol=1e-13, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("name", EQUAL)
def test_two_ranks_are_one_process_on_all_rows(ranks: Any, name: str) -> None:
    parts, options = EQUAL[name]
    expected = alone(parts, **options)
    for rank in ranks:
        assert not isinstance(rank[name], str), rank[name]
        same(rank[name]["weights"], expected["weights"])
        same(rank[name]["diagonal"], expected["diagonal"])
        assert rank[name]["fallbacks"] == {}


def test_two_sharded_heads_are_one_process_on_all_rows(ranks: Any) -> None:
    model = TwoHeads()
    opt = optimizer(model)
    for step in range(STEPS):
        opt.zero_grad()
        for part, weight in HALVES:
            two_heads(model, opt, part, step, weight)
        opt.step()
    for rank in ranks:
        assert not isinstance(rank["fsdp_two_heads"], str), rank["fsdp_two_heads"]
        same(rank["fsdp_two_heads"]["weights"], outcome(model, opt)["weights"])
        same(rank["fsdp_two_heads"]["diagonal"], outcome(model, opt)["diagonal"])


def test_a_sharded_head_computed_after_a_loss(ranks: Any) -> None:
    model = TwoHeads()
    opt = optimizer(model)
    for part, weight in HALVES:
        (weight * late_head(model, opt, part)).backward()
    opt.step()
    for rank in ranks:
        assert not isinstance(rank["fsdp_a_head_after_a_loss"], str), rank["fsdp_a_head_after_a_loss"]
        same(rank["fsdp_a_head_after_a_loss"]["weights"], outcome(model, opt)["weights"])


def test_a_sharded_penalty_after_the_backward_pass(ranks: Any) -> None:
    model = net()
    opt = optimizer(model)
    for part, weight in HALVES:
        penalised(model, opt, part, weight)
    opt.step()
    for rank in ranks:
        assert not isinstance(rank["fsdp_penalty_after"], str), rank["fsdp_penalty_after"]
        same(rank["fsdp_penalty_after"]["weights"], outcome(model, opt)["weights"])
        same(rank["fsdp_penalty_after"]["diagonal"], outcome(model, opt)["diagonal"])


def test_a_layer_that_one_rank_uses_gets_its_sample_on_both(ranks: Any) -> None:
    first, second = (rank["used_on_one_rank"] for rank in ranks)
    same(first["weights"], second["weights"], rtol=0)
    same(first["diagonal"], second["diagonal"], rtol=0)
    assert first["diagonal"]["second.weight"].any()
    assert first["fallbacks"] == second["fallbacks"] == {}
    assert set(first["diagonal"]) == {name for name, _ in Sometimes().named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_random_samples_of_two_ranks_average_to_the_diagonal_of_the_whole_batch(name: str, tmp_path: Path) -> None:
    ranks = train_together(tmp_path, [name])
    model = net()
    inputs, targets = (part[0] for part in data())
    outputs = model(inputs)
    J = jacobian(outputs, list(model.parameters()))
    diagonal = (J.T @ output_hessian(nn.CrossEntropyLoss(), outputs, targets) @ J).diag()
    found = torch.cat([ranks[0][name]["diagonal"][n].flatten() for n, _ in model.named_parameters()])
    # 800 samples, each with a relative variance of about 2; their errors are the same ones in many of the entries.
    ratio = found / diagonal
    assert abs(float(ratio.mean()) - 1) < 0.06
    assert float((ratio - 1).abs().max()) < 0.3


def test_ranks_draw_signs_of_their_own(ranks: Any) -> None:
    first, second = (rank["signs_differ"] for rank in ranks)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_ranks_that_train_on_their_own_are_left_alone(ranks: Any) -> None:
    for rank, part in zip(ranks, (slice(0, 6), slice(6, 12)), strict=True):
        same(rank["each_on_its_own"]["weights"], alone([(part, 1.0)])["weights"])


@pytest.mark.parametrize("name", ["checkpoint_lehi", "checkpoint_lehibrid_max", "checkpoint_sophia"])
def test_a_distributed_checkpoint_goes_on_bit_for_bit(ranks: Any, name: str) -> None:
    for rank in ranks:
        assert not isinstance(rank[name], str), rank[name]
        same(rank[name]["through"]["weights"], rank[name]["resumed"]["weights"], rtol=0)
        same(rank[name]["through"]["diagonal"], rank[name]["resumed"]["diagonal"], rtol=0)


REFUSED = {
    "fsdp_penalty_alone": "parameter spare: a gradient, but no curvature sample. Under fully_shard a penalty needs a",
    "fsdp_second_forward": "a gradient, but no curvature sample. Under fully_shard a penalty needs a backward pass of",
    "ddp_without_a_word": "there are 2 ranks: where gradients are averaged over them, as by DistributedDataParallel",
    "fsdp_without_sync": "no sharded parameter got a curvature sample: every backward pass must reduce its gradients",
    "fsdp_part_of_the_parameters": "the outputs depend on 6 sharded parameters, of which this optimizer has 2",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_says_so(ranks: Any, name: str) -> None:
    for rank in ranks:
        assert REFUSED[name] in rank[name]


def test_a_mesh_of_two_dimensions_asks_which_ranks_differ(ranks: Any) -> None:
    for rank in ranks:
        assert "sharded over a mesh of 2 dimensions: say which ranks" in rank["fsdp_over_two_dimensions"]["refusal"]


def test_one_process_needs_no_word() -> None:
    model = net()
    opt = LEHI(model.parameters())
    opt.average_over(None)
    opt.backward(model(data()[0][0]), data()[1][0])
    opt.step()
    assert len(opt.curvature_diagonal()) == 6

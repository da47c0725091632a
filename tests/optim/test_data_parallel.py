"""Two ranks under DistributedDataParallel against one process that sees both halves of the batch."""

import subprocess
import sys

import torch
from torch import nn

from lehi_cli.optim import LEHI

WORKER = """
import sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from lehi_cli.optim import LEHI

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
data = torch.load(f"{folder}/data.pt")
half = slice(4 * rank, 4 * rank + 4)
results = {}
for signs in (False, True):
    model = torch.nn.Linear(4, 3).double()
    model.load_state_dict(data["model"])
    parallel = DistributedDataParallel(model)
    optimizer = LEHI(model.parameters(), lr=1e-2, factor="diagonal", sample_signs=signs)
    optimizer.average_over(dist.group.WORLD)
    for inputs in data["inputs"]:
        optimizer.zero_grad()
        optimizer.backward(parallel(inputs[half]), inputs[half, :3].argmax(-1))
        optimizer.step()
    results[signs] = {
        "model": model.state_dict(),
        "diagonal": list(optimizer.curvature_diagonal().values()),
        "generator": optimizer.state_dict()["curvature"]["generator"],
    }
torch.save(results, f"{folder}/rank{rank}.pt")
dist.destroy_process_group()
"""


def test_two_ranks_equal_the_whole_batch_and_draw_their_own_signs(tmp_path):
    inputs = torch.randn(3, 8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(4, 3).double()
    torch.save({"model": model.state_dict(), "inputs": inputs}, tmp_path / "data.pt")
    ranks = [subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))

    optimizer = LEHI(model.parameters(), lr=1e-2, factor="diagonal", sample_signs=False)
    for batch in inputs:
        optimizer.zero_grad()
        optimizer.backward(model(batch), batch[:, :3].argmax(-1))
        optimizer.step()
    for name, parameter in model.state_dict().items():
        torch.testing.assert_close(first[False]["model"][name], parameter, rtol=1e-11, atol=1e-12)
        for signs in (False, True):
            assert torch.equal(first[signs]["model"][name], second[signs]["model"][name])
    for a, b in zip(first[False]["diagonal"], optimizer.curvature_diagonal().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-14)
    assert not torch.equal(first[True]["generator"], second[True]["generator"])

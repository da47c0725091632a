"""What an optimizer needs of a task: given to it where it can be had, refused with the reason where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TASK = """
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def forward(self, inputs):
        heads = inputs.view(-1, 1, 8, 8)
        return functional.scaled_dot_product_attention(heads, heads, heads).flatten(1)


def make_model(dataset):
    return nn.Sequential(nn.Linear(64, 64), Attention(), nn.Linear(64, dataset.outputs))


TASK = {
    "name": "once",
    "summary": "fused attention, which can be differentiated once",
    "data": {"source": "digits"},
    "model": {"kind": ":make_model"},
    "loss": "cross_entropy",
    "metrics": [],
    "batch_size": 64,
    "budget": {"steps": 3},
}
"""


@pytest.mark.parametrize("optimizer", ["hf", "bdhf", "sfn", "adahessian", "sophia_h"])
def test_a_layer_that_cannot_be_differentiated_twice_is_found_before_training(lehi: Callable, optimizer: str) -> None:
    Path("once.py").write_text(TASK)
    result = lehi("compare", "--task", "once.py", "--optims", f"adam,{optimizer}", "--seeds", "1")
    assert result.code == 2
    assert f"{optimizer} differentiates twice, and a layer of once cannot" in result.err
    assert not Path("runs").exists()


def test_first_order_optimizers_do_not_mind(lehi: Callable) -> None:
    Path("once.py").write_text(TASK)
    assert lehi("compare", "--task", "once.py", "--optims", "adam,lehi", "--seeds", "1", "--quiet").code == 0


def test_soaa_is_told_its_number_of_steps_or_refused(lehi: Callable) -> None:
    command = ("train", "--task", "digits", "--quiet", "--optim")
    for budget in (("--steps", "5"), ("--passes", "5"), ("--epochs", "0.25")):
        assert lehi(*command, "soaa", *budget).code == 0
    refused = lehi(*command, "soaa", "--seconds", "1")
    assert (refused.code, "soaa must know its number of steps" in refused.err) == (2, True)
    assert lehi(*command, "soaa:total_steps=1000000", "--seconds", "0.1").code == 0
    short = lehi(*command, "soaa:total_steps=3", "--steps", "5")
    assert (short.code, "total_steps=3 is less than the 5 steps of the budget" in short.err) == (2, True)


def test_what_an_optimizer_says_of_itself_is_stored_and_its_fallbacks_are_shown(lehi: Callable) -> None:
    result = lehi(
        "train",
        "--task",
        "digits",
        "--optim",
        "sfn:scale=1e-3:terms=12:shanks=0:damping=1e-8",
        "--steps",
        "4",
        "--quiet",
    )
    assert result.code == 0, result.err
    assert "scale doubled at " in result.out
    assert "val products" not in result.out


def test_a_block_pattern_that_matches_nothing_is_a_usage_error(lehi: Callable) -> None:
    result = lehi("compare", "--task", "digits", "--optims", "adam,bdhf:blocks=encoder.*/decoder.*", "--seeds", "1")
    assert result.code == 2
    assert "encoder.*" in result.err
    assert not Path("runs").exists()

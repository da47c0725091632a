"""Deliberately broken optimizers, as a user might write them: each is caught, by the check that is there for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lehi_cli.conformance import Finding, check_optimizer
from lehi_cli.registry import optimizers

# A sound optimizer; a broken one replaces pieces of it.
SOUND = """
import random
import torch
from collections import defaultdict
from lehi_cli.registry.optimizers import Option, OptimizerRecord

class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr, decay=0.0):
        super().__init__(params, {"lr": lr})
        self.lr = lr
        self.momenta = {}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    raise RuntimeError("sparse gradients are not supported")
                state = self.state[p]
                state["m"] = 0.9 * state.get("m", 0.0) + p.grad
                p.add_(state["m"], alpha=-group["lr"])

OPTIMIZERS = [
    OptimizerRecord("mine", "on purpose", ":Mine", (Option("lr", 0.01, "rate", within="[0, inf)"),), state="1")
]
"""
UPDATE = 'state["m"] = 0.9 * state.get("m", 0.0) + p.grad'
MOVE = 'p.add_(state["m"], alpha=-group["lr"])'
SPARSE = 'raise RuntimeError("sparse gradients are not supported")'
RECORD = '(Option("lr", 0.01, "rate", within="[0, inf)"),), state="1")'
CLASS = "class Mine(torch.optim.Optimizer):"

# What is replaced, by what, the check that fails, and words of its message.
BROKEN = {
    "momentum in an attribute": (
        {UPDATE: 'state["m"] = self.momenta[p] = 0.9 * self.momenta.get(p, 0.0) + p.grad'},
        "a saved run goes on bit for bit",
        "apparently not in state_dict: self.momenta",
    ),
    "momentum in an attribute made by the step": (
        {
            "self.momenta = {}": "self.momenta = None",
            UPDATE: "self.momenta = self.momenta or {}; "
            'state["m"] = self.momenta[p] = 0.9 * self.momenta.get(p, 0.0) + p.grad',
        },
        "a saved run goes on bit for bit",
        "apparently not in state_dict: self.momenta",
    ),
    "state_dict loses the state": (
        {CLASS: f'{CLASS}\n    def state_dict(self):\n        return {{**super().state_dict(), "state": {{}}}}\n'},
        "a saved run goes on bit for bit",
        "something that decides its steps is not in state_dict",
    ),
    "state_dict cannot be saved": (
        {UPDATE: f'{UPDATE}; state["f"] = lambda: 0'},
        "a saved run goes on bit for bit",
        "lambda",
    ),
    "copies lose the momentum": (
        {CLASS: f"{CLASS}\n    def __getstate__(self): return {{**self.__dict__, 'state': defaultdict(dict)}}\n"},
        "a copy goes on bit for bit",
        "a copy goes on differently",
    ),
    "divides by the gradient": (
        {MOVE: 'p.add_(state["m"] / p.grad.norm(), alpha=-group["lr"])'},
        "zero gradients make no NaN",
        "is something divided by their size?",
    ),
    "overflows": (
        {MOVE: 'p.add_(state["m"].pow(8) / state["m"].pow(7).add(1e-20), alpha=-group["lr"])'},
        "huge gradients make no NaN",
        "weights are NaN after a gradient of about 1e+15",
    ),
    "moves without a gradient": (
        {MOVE: 'p.add_(state["m"] + 1e-3, alpha=-group["lr"])'},
        "zero gradients make no NaN",
        "gradients of zero move weights by",
    ),
    "moves at lr 0": (
        {MOVE: 'p.add_(state["m"], alpha=-max(group["lr"], 1e-6))'},
        "still at a rate of zero",
        "weights move with group['lr'] set to 0",
    ),
    "reads its rate from an attribute": (
        {MOVE: 'p.add_(state["m"], alpha=-self.lr)'},
        "follows a schedule",
        "half the rate makes the same steps",
    ),
    "ignores the groups' rates": (
        {MOVE: 'p.add_(state["m"], alpha=-self.param_groups[0]["lr"])'},
        "groups have rates of their own",
        "each group's own rate must be used",
    ),
    "forgets later groups": (
        {"for group in self.param_groups:": "for group in self.param_groups[-1:]:"},
        "groups have rates of their own",
        "in the other group have not moved",
    ),
    "moves what is frozen": (
        {
            "if p.grad is None:": "if False:",
            "if p.grad.is_sparse:": "if p.grad is not None and p.grad.is_sparse:",
            UPDATE: 'state["m"] = torch.ones_like(p)',
        },
        "frozen parameters are left alone",
        "requires_grad=False",
    ),
    "stumbles over what is unused": (
        {"if p.grad is None:": "if not p.requires_grad:"},
        "unused parameters are no obstacle",
        "'NoneType' object has no attribute 'is_sparse'",
    ),
    "wrong passes": ({RECORD: RECORD[:-1] + ', passes="2")'}, "passes are as stated", "counted 1 a step"),
    "two passes for one": (
        {
            RECORD: RECORD[:-1] + ', kind="closure")',
            "        for group": "        with torch.enable_grad(): closure(), closure()\n        for group",
        },
        "passes are as stated",
        "counted 2 a step over 120 steps, but the record states passes='1'",
    ),
    "wrong state": ({RECORD: RECORD.replace('"1"', '"2"')}, "state is as stated", "state_dict has 1 per parameter"),
    "uphill": (
        {"alpha=-group": "alpha=group"},
        "the loss goes down on digits",
        "the loss does not go down in 30 steps",
    ),
    "a generator without a seed": (
        {UPDATE: f"{UPDATE} * (1 + 0.01 * random.random())"},
        "two runs at one seed are the same",
        "random numbers must come from torch",
    ),
    "torch's global numbers": (
        {UPDATE: f"{UPDATE} * (1 + 0.01 * torch.rand(()))"},
        "global random numbers are left alone",
        "set draws=True",
    ),
    "sparse, in odd words": ({SPARSE: 'raise RuntimeError("no")'}, "sparse gradients work or are refused", "no"),
    "sparse, in silence": ({SPARSE: "continue"}, "sparse gradients work or are refused", "without an error"),
    "weights in single precision": (
        {MOVE: 'p.data = p.float() - group["lr"] * state["m"].float()'},
        "weights in bfloat16",
        "have become float32",
    ),
    "an option it does not take": (
        {RECORD: RECORD.replace("),),", '), Option("beta", 0.9, "")),')},
        "it can be built and driven",
        "unexpected keyword argument 'beta'",
    ),
    "a value it does not take": (
        {
            RECORD: RECORD.replace("),),", '), Option("decay", 0.0, "")),'),
            "self.lr = lr": "assert not decay, 'no decay here'",
        },
        "options are accepted",
        "decay=0.5: AssertionError: no decay here",
    ),
    "a negative rate": (
        {', within="[0, inf)"': ""},
        "wrong values are refused",
        "lr=-1 is accepted: state the bounds",
    ),
    "a rate that is an integer": ({"0.01, ": "1, "}, "its record is sound", "write a decimal point"),
    "a default out of bounds": (
        {"0.01, ": "-1.0, "},
        "its record is sound",
        "the default of mine: lr=-1 is not allowed",
    ),
    "a space of another option": (
        {RECORD: RECORD[:-1] + ', space={"eps": "1e-8..1e-2/log"})'},
        "its record is sound",
        "has no option 'eps'",
    ),
    "a space that is none": (
        {RECORD: RECORD[:-1] + ', space={"lr": "1e-8..1e-2"})'},
        "its record is sound",
        "malformed space lr=1e-8..1e-2",
    ),
    "a name that cannot be typed": ({'"mine"': '"my optimizer"'}, "its record is sound", "cannot be typed"),
    "needs what nothing gives": ({RECORD: RECORD[:-1] + ', needs=("rank",))'}, "its record is sound", "needs rank"),
    "the default of an untyped option": (
        {RECORD: RECORD.replace("),),", '), Option("decay", None, "")),')},
        "its record is sound",
        "option decay has the default None and no type",
    ),
    "raises in the step": (
        {UPDATE: "1 / 0"},
        "it can be built and driven",
        "ZeroDivisionError: division by zero; kind gradient is driven by loss.backward(); optimizer.step()",
    ),
    "returns no loss": (
        {"closure=None": "part", "decay=0.0": "loss", RECORD: RECORD[:-1] + ', kind="whole")'},
        "it can be built and driven",
        "Mine.step returns NoneType, and must return the loss, a tensor; kind whole is driven by",
    ),
    "never moves": ({MOVE: "pass"}, "it can be built and driven", "no weight has moved"),
    "blows up": (
        {MOVE: 'p.fill_(float("nan"))'},
        "it can be built and driven",
        "step 2 returns nan as the loss before it",
    ),
    "no lr in its groups": ({'{"lr": lr}': "{}"}, "it can be built and driven", "has no 'lr'"),
    "no optimizer at all": (
        {CLASS: "class Mine:", 'super().__init__(params, {"lr": lr})': "pass"},
        "it can be built and driven",
        "the factory makes Mine, not a torch.optim.Optimizer",
    ),
    "no such factory": ({'":Mine"': '":Yours"'}, "it can be built and driven", "has no 'Yours'"),
    "no such module": ({'":Mine"': '"nowhere:Mine"'}, "it can be built and driven", "No module named 'nowhere'"),
    "modes it lacks": ({RECORD: RECORD[:-1] + ", modes=True)"}, "it can be built and driven", "'train'"),
    "modes it hides": (
        {CLASS: f"{CLASS}\n    def train(self): pass\n    def eval(self): pass\n"},
        "it can be built and driven",
        "set modes=True",
    ),
    "modes that do nothing": (
        {
            CLASS: f"{CLASS}\n    def train(self): pass\n    def eval(self): pass\n",
            RECORD: RECORD[:-1] + ", modes=True)",
        },
        "eval and train switch weights",
        "modes=True is not needed",
    ),
    "a fast path that is another": (
        {
            "decay=0.0): ": "",
            "decay=0.0)": "foreach=False)",
            "self.lr = lr": "self.foreach = foreach",
            MOVE: 'p.add_(state["m"], alpha=-group["lr"] * (2 if self.foreach else 1))',
        },
        "foreach makes the same steps",
        "foreach=True and foreach=False differ by",
    ),
}
KINDS = {
    "curvature": "unexpected keyword argument 'loss'; kind curvature is built with loss=... and seed=...",
    "whole": "unexpected keyword argument 'loss'; kind whole is built with loss=... besides its options",
    "loss": "kind loss is driven by loss.backward(); optimizer.step(loss)",
    "closure": "Mine.step has not called the closure that it was given; kind closure is driven by",
}


def findings(tmp_path: Path, changes: dict[str, str]) -> dict[str, Finding]:
    code = SOUND
    for piece, other in changes.items():
        code = code.replace(piece, other)
    (tmp_path / "mine.py").write_text(code)
    (record,) = optimizers.find_all(str(tmp_path / "mine.py"))
    return {finding.check: finding for finding in check_optimizer(record)}


def test_a_sound_one_passes(tmp_path: Path) -> None:
    assert [finding for finding in findings(tmp_path, {}).values() if finding.failed] == []


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_is_caught(tmp_path: Path, case: str) -> None:
    changes, check, words = BROKEN[case]
    found = findings(tmp_path, changes)
    assert found[check].failed, found
    assert words in found[check].detail


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_kind_is_caught(tmp_path: Path, kind: str) -> None:
    step = {"closure=None": ""} if kind == "loss" else {}
    found = findings(tmp_path, {RECORD: RECORD[:-1] + f', kind="{kind}")', **step})
    assert found["it can be built and driven"].failed
    assert KINDS[kind] in found["it can be built and driven"].detail
    assert found["everything else"].outcome == "skipped"
    assert len(found) == 3

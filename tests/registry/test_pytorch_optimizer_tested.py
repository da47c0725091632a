"""What was tested of pytorch-optimizer is what is installed here; with another version, users are told."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

from lehi_cli.registry import optimizers, pytorch_optimizer_tested

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "tested_pytorch_optimizer.py"))
KNOWN = pytorch_optimizer_tested.tested()


@pytest.mark.skipif(
    pytorch_optimizer_tested.installed() != KNOWN.version,
    reason="another version of pytorch-optimizer: python tools/tested_pytorch_optimizer.py writes its table",
)
def test_the_table_is_that_of_the_installed_version() -> None:
    assert TOOL["PATH"].read_text(encoding="utf-8") == TOOL["table"](), "run: python tools/tested_pytorch_optimizer.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name, how in KNOWN.optimizers.items() if "refused" not in how])
def test_what_is_not_refused_can_be_trained_with(name: str) -> None:
    assert TOOL["failure"](name) == ""


def test_the_version_that_was_tested_needs_no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_optimizer_tested, "installed", lambda: KNOWN.version)
    assert optimizers.find("po.Yogi").notice == ""


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"Yogi": KNOWN.optimizers["Yogi"]}, "the rules gave the same for it"),
        ({}, "Yogi was not in it"),
        (
            {"Yogi": {"refused": "is no optimizer"}},
            "the rules gave refused=is no optimizer for it, and now give kind=gradient",
        ),
    ],
)
def test_another_version_is_used_and_named(
    then: dict[str, dict[str, object]], said: str, monkeypatch: pytest.MonkeyPatch, lehi: Callable[..., Result]
) -> None:
    before = optimizers.find("po.Yogi")
    monkeypatch.setattr(pytorch_optimizer_tested, "installed", lambda: "4.2.0")
    monkeypatch.setattr(pytorch_optimizer_tested, "tested", lambda: pytorch_optimizer_tested.Tested("4.0.0", then))
    record = optimizers.find("po.Yogi")
    assert (record.options, record.code_hash()) == (before.options, before.code_hash())
    shown = lehi("optims", "po.Yogi")
    assert shown.code == 0
    assert "pytorch-optimizer 4.2.0 was not tested, 4.0.0 was: " in shown.err
    assert said in shown.err
    assert "lehi optims check po.Yogi" in shown.err

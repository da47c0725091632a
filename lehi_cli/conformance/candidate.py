"""The optimizer under test, as the training loop would build and drive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from lehi_cli.registry.record import OptimizerRecord
from lehi_cli.training.building import build_optimizer
from lehi_cli.training.steps import Meter

from .problems import Problem

TOTAL_STEPS = 1000

CALLS: Mapping[str, str] = {
    "gradient": "loss.backward(); optimizer.step()",
    "curvature": "loss = optimizer.backward(outputs, targets); optimizer.step()",
    "closure": "optimizer.step(closure), where closure() clears the gradients, computes them and returns the loss",
    "loss": "loss.backward(); optimizer.step(loss)",
    "differentiable": "gradients with a graph, only when optimizer.hessian_due if it has that; optimizer.step()",
    "whole": "loss = optimizer.step(part), where part(rows) returns the outputs and targets of those rows",
}
TOLD: Mapping[str, str] = {"curvature": "loss=... and seed=...", "whole": "loss=..."}


@dataclass(frozen=True)
class Candidate:
    """A record, and what the checks do with it."""

    record: OptimizerRecord

    def has(self, option: str) -> bool:
        """Whether the record states an option of that name."""
        return any(stated.name == option for stated in self.record.options)

    def build(self, subject: Any, loss: str = "cross_entropy", **changes: Any) -> Optimizer:
        """An optimizer at its defaults except for `changes`; `subject` is a model, parameters, or groups of them."""
        options = {option.name: option.default for option in self.record.options}
        if "total_steps" in self.record.needs:
            options["total_steps"] = TOTAL_STEPS
        optimizer = build_optimizer(self.record, subject, options | changes, loss, seed=0)
        if self.record.modes:
            optimizer.train()  # type: ignore[attr-defined]
        return optimizer

    def on(self, problem: Problem, **changes: Any) -> Optimizer:
        """An optimizer for the model and the loss of a problem."""
        return self.build(problem.model, problem.loss, **changes)

    def train(self, problem: Problem, optimizer: Optimizer, steps: range | int) -> Meter:
        """Take some steps on a problem, and return what they cost."""
        return problem.train(self.record.kind, optimizer, steps)

    def without_decay(self) -> dict[str, Any]:
        """The change that turns weight decay off, where there is such an option."""
        return {"weight_decay": 0.0} if self.has("weight_decay") else {}

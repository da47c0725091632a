"""What a report finds out beside verdicts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lehi_cli.experiment.report import environment_differences


def test_runs_from_different_places_are_pointed_out() -> None:
    same = {"device": "cpu", "threads": 1, "torch": "2.15"}
    assert not environment_differences(made(same, dict(same), {}))
    assert not environment_differences(made(same | {"device": "cuda:0"}, same | {"device": "cuda:1"}))
    (warning,) = environment_differences(made(same, same | {"torch": "2.11"}))
    assert "torch: 2.11, 2.15" in warning


def made(*environments: dict[str, Any]) -> Any:
    return [SimpleNamespace(environment=environment) for environment in environments]

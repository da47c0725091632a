"""What is read out of a run's spec is what was planned."""

from __future__ import annotations

import json

from cases import runs_of

from lehi_cli.runs.specs import Budget, canonical_json
from lehi_cli.runs.stored_run import StoredSpec


def test_a_stored_spec_says_what_the_run_spec_said() -> None:
    (run,) = runs_of("lehi", budget=Budget("passes", 90.0))
    found = StoredSpec(json.loads(canonical_json(run.identity())))
    assert found.task["name"] == "digits"
    assert tuple(found.metrics) == run.task.metrics
    assert (found.data, found.data_checksum) == (run.task.data, str(run.task.data.get("checksum", "")))
    assert (found.batch_size, found.budget, found.precision) == (run.task.batch_size, run.task.budget, run.precision)
    assert found.optimizer_code == run.optimizer_code != ""
    assert found.recipe is None


def test_a_spec_of_before_optimizers_had_a_hash_has_none() -> None:
    found = StoredSpec({"task": {"data": {}}, "optimizer": {"name": "adam"}, "recipe": 3})
    assert (found.optimizer_code, found.data_checksum, found.recipe) == ("", "", 3)

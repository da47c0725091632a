"""Results as one JSON document, for programs.

Schema 1:

    {"schema": 1, "sections": [{"task", "fake_data", "budget", "batch_size", "seeds", "floor", "series": [{
        "label", "optimizer", "options", "final": {"val_loss": {"mean", "sd", "n"}, ...},
        "price": {"passes_per_step", "seconds_per_step", "state_bytes_per_parameter"},
        "spent": {"steps", "passes", "seconds"}, "runs": [{"run_id", "seed", "status", "error", "environment"}]}]}]}

A comparison after tuning also has "tuning": [{"task", "label", "space", "passes", "edges", "trials": [{"options",
"val_loss", "statuses", "passes"}]}]. A number that is not finite is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lehi_cli.results import Section, Series
from lehi_cli.stats import Estimate

SCHEMA = 1


def to_json(sections: Sequence[Section], extra: Mapping[str, object] | None = None) -> str:
    """The document, indented; `extra` stands beside the sections."""
    content = {"schema": SCHEMA, **(extra or {}), "sections": [_section(section) for section in sections]}
    return json.dumps(content, indent=2, allow_nan=False)


def _section(section: Section) -> dict[str, Any]:
    task = section.runs[0].spec["task"]
    return {
        "task": section.task,
        "fake_data": section.is_fake,
        "budget": task["budget"],
        "batch_size": task["batch_size"],
        "seeds": section.seeds,
        "floor": section.floor,
        "series": [_series(section, series) for series in section.ranked()],
    }


def _series(section: Section, series: Series) -> dict[str, Any]:
    first = series.runs[0]
    return {
        "label": series.label,
        "optimizer": first.optimizer,
        "options": dict(first.options),
        "final": {f"{split}_{name}": _estimate(series.final(split, name)) for split, name in section.columns},
        "price": {what: _finite(value) for what, value in series.price().items()},
        "spent": {what: _estimate(series.spent(what)) for what in ("steps", "passes", "seconds")},
        "runs": [
            {
                "run_id": run.run_id,
                "seed": run.seed,
                "status": run.status,
                "error": run.error.get("message"),
                "environment": dict(run.environment),
            }
            for run in series.runs
        ],
    }


def _estimate(value: Estimate) -> dict[str, Any]:
    return {"mean": _finite(value.mean), "sd": _finite(value.sd), "n": value.n}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""Results as one JSON document, for programs.

Schema 1:

    {"schema": 1, "sections": [{"task", "fake_data", "budget", "batch_size", "seeds", "floor", "series": [{
        "label", "optimizer", "options", "final": {"val_loss": {"mean", "sd", "n"}, ...},
        "price": {"passes_per_step", "seconds_per_step", "state_bytes_per_parameter"},
        "spent": {"steps", "passes", "seconds"}, "runs": [{"run_id", "seed", "status", "error", "environment"}]}],
        "verdicts": [{"label", "reference", "metric", "verdict", "n", "center", "difference", "interval": [low, high],
        "margin", "p_t", "p_wilcoxon", "p_adjusted", "p_equivalent", "family", "effect_size", "detectable",
        "seeds_needed", "note"}]}]}

"verdicts" compares "label" with "reference" on "metric", such as "val_loss": see `lehi_cli.stats.verdict.Verdict`.
"family" is the number of comparisons that the p-values are adjusted for. The list is empty in a sweep, and where there
are fewer than two optimizers or more than 12.

A comparison after tuning also has "tuning": [{"task", "label", "space", "passes", "edges", "trials": [{"options",
"val_loss", "statuses", "passes"}]}]. A number that is not finite is null.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from lehi_cli.results import Section, Series
from lehi_cli.stats import Estimate

from .tuning import tuning_content

if TYPE_CHECKING:
    from lehi_cli.comparison import Comparison
    from lehi_cli.report import Report

SCHEMA = 1


def to_json(report: Report) -> str:
    """The document, indented."""
    shown = [_section(item.section, item.comparison) for item in report.sections]
    content: dict[str, Any] = {"schema": SCHEMA, "sections": shown}
    if report.tuning:
        content["tuning"] = tuning_content(report.tuning.results)
    return json.dumps(content, indent=2, allow_nan=False)


def _section(section: Section, comparison: Comparison | None) -> dict[str, Any]:
    task = section.runs[0].spec["task"]
    return {
        "task": section.task,
        "fake_data": section.is_fake,
        "budget": task["budget"],
        "batch_size": task["batch_size"],
        "seeds": section.seeds,
        "floor": section.floor,
        "series": [_series(section, series) for series in section.ranked()],
        "verdicts": _verdicts(comparison) if comparison else [],
    }


def _verdicts(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "label": judgement.label,
            "reference": comparison.reference,
            "metric": f"val_{judgement.metric}",
            "verdict": judgement.verdict.word,
            "n": judgement.verdict.n,
            "center": judgement.verdict.center,
            "difference": _finite(judgement.verdict.difference) if judgement.has_values else None,
            "interval": [_finite(end) if judgement.has_values else None for end in judgement.verdict.interval],
            "margin": judgement.verdict.margin,
            "p_t": _finite(judgement.verdict.p_t),
            "p_wilcoxon": judgement.verdict.p_wilcoxon,
            "p_adjusted": judgement.verdict.p_adjusted,
            "p_equivalent": judgement.verdict.p_equivalent,
            "family": comparison.family,
            "effect_size": _finite(judgement.verdict.effect_size),
            "detectable": _finite(judgement.verdict.detectable),
            "seeds_needed": judgement.verdict.seeds_needed,
            "note": judgement.verdict.note,
        }
        for judgement in comparison.judgements
    ]


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

"""Results as one JSON document, for programs.

Schema 1:

    {"schema": 1, "comparison", "provenance": {"command", "data", "seeds", ...}, "mixed": [...], "sections": [{
        "task", "title", "fake_data", "budget", "batch_size", "seeds", "floor", "notes": [...],
        "target": {"name", "scale"} or null, "data_notes": [...], "series": [{
            "label", "optimizer", "options", "chosen_from", "chosen_by",
            "final": {"val_loss": {"mean", "sd", "n"}, ...},
            "price": {"passes_per_step", "seconds_per_step", "state_bytes_per_parameter"},
            "spent": {"steps", "passes", "seconds"},
            "runs": [{"run_id", "seed", "status", "error", "environment"}]}],
        "verdicts": [{"label", "reference", "metric", "method", "verdict", "n", "center", "difference",
            "interval": [low, high], "scale": {"kind", "floor", "best"}, "price_ratio", "margin", "p_t", "p_wilcoxon",
            "p_adjusted", "p_skewed", "p_failures", "failures": [label, reference], "p_equivalent", "family",
            "effect_size", "correlation", "variance_ratio", "detectable", "seeds_needed", "note"}],
        "time_to_target": see below, or null,
        "prices": see below, or null}],
    "across": see below, or null,
    "assertions": see below,
    "tuning": [{"task", "label", "space", "passes", "edges",
        "trials": [{"options", "val_loss", "statuses", "passes"}]}], after tuning only}

"title" tells sections of one task apart, and "mixed" says how they differ. "verdicts" compares "label" with "reference"
on "metric", such as "val_loss": see `lehi_cli.stats.verdict.Verdict`. Less is better on every "scale": a "ratio" is of
logarithms, and an accuracy is judged by how much it falls short of its "best". "method" is "fixed", "anytime" if seeds
were added after a look, or "refused" if earlier looks were at other seeds. "family" is the number of comparisons that
the p-values are adjusted for. The list is empty in a sweep, and with fewer than two optimizers or more than 12.
A number that is not finite is null.

"target" is what a regression predicts. Its mae and rmse are in units of the target as the task scales it, here and
wherever they are stored; times "scale" they are in its own units. "data_notes" say how the data was read.

Later versions of schema 1 may add keys; a version that changes or removes a key is schema 2. The parts marked "see
below" are documented where they are written: in `arrivals`, `prices`, `across` and `gate` of `lehi_cli.render`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lehi_cli.analysis.results import Section, Series
from lehi_cli.stats import Estimate

from .across import across_content
from .arrivals import arrival_content
from .gate import gate_data
from .numbers import finite_or_none
from .prices import price_content

if TYPE_CHECKING:
    from lehi_cli.analysis.comparison import Comparison
    from lehi_cli.experiment.report import Report, SectionReport

SCHEMA = 1


def to_json(report: Report) -> str:
    """The document, indented."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "comparison": report.view.comparison or None,
        "provenance": dict(report.provenance),
        "mixed": list(report.mixed),
        "sections": [_section(item) for item in report.sections],
        "across": across_content(report.across) if report.across else None,
        "assertions": gate_data(report.checks),
    }
    if report.tuning:
        from .tuning import tuning_content  # here, because a report on stored runs does not need it

        content["tuning"] = tuning_content(report.tuning.results)
    return json.dumps(content, indent=2, allow_nan=False)


def _section(item: SectionReport) -> dict[str, Any]:
    section = item.section
    spec = section.runs[0].spec
    return {
        "task": section.task,
        "title": section.title,
        "fake_data": section.is_fake,
        "budget": {spec.budget.kind: spec.budget.amount},
        "batch_size": spec.batch_size,
        "seeds": section.seeds,
        "floor": section.floor,
        "notes": list(item.notes),
        "target": dict(zip(("name", "scale"), section.target, strict=True)) if section.target else None,
        "data_notes": section.data_notes,
        "series": [_series(section, series) for series in section.ranked()],
        "verdicts": _verdicts(item.comparison) if item.comparison else [],
        "time_to_target": arrival_content(item.arrivals) if item.arrivals else None,
        "prices": price_content(item.prices) if item.prices else None,
    }


def _verdicts(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "label": judgement.label,
            "reference": comparison.reference,
            "metric": f"{judgement.split}_{judgement.metric}",
            "method": judgement.verdict.method,
            "verdict": judgement.verdict.word,
            "n": judgement.verdict.n,
            "center": judgement.verdict.center,
            "difference": finite_or_none(judgement.verdict.difference) if judgement.has_values else None,
            "interval": [finite_or_none(end) if judgement.has_values else None for end in judgement.verdict.interval],
            "scale": {
                "kind": judgement.verdict.scale.kind,
                "floor": judgement.verdict.scale.floor,
                "best": judgement.verdict.scale.best,
            },
            "price_ratio": finite_or_none(comparison.prices[judgement.label].ratio),
            "margin": judgement.verdict.margin,
            "p_t": finite_or_none(judgement.verdict.p_t),
            "p_wilcoxon": finite_or_none(judgement.verdict.p_wilcoxon),
            "p_adjusted": finite_or_none(judgement.verdict.p_adjusted),
            "p_skewed": finite_or_none(judgement.verdict.p_skewed),
            "p_failures": finite_or_none(judgement.verdict.p_failures),
            "failures": [judgement.verdict.failures.own, judgement.verdict.failures.other],
            "p_equivalent": finite_or_none(judgement.verdict.p_equivalent),
            "family": comparison.family,
            "effect_size": finite_or_none(judgement.verdict.effect_size),
            "correlation": finite_or_none(judgement.verdict.correlation),
            "variance_ratio": finite_or_none(judgement.verdict.variance_ratio),
            "detectable": finite_or_none(judgement.verdict.detectable),
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
        "chosen_from": series.chosen_from,
        "chosen_by": series.chosen_by,
        "final": {f"{split}_{name}": _estimate(series.final(split, name)) for split, name in section.columns},
        "price": {what: finite_or_none(value) for what, value in series.price().items()},
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
    return {"mean": finite_or_none(value.mean), "sd": finite_or_none(value.sd), "n": value.n}

"""A report as a document: the same parts, in the same order, for every format. What decides comes last."""

from __future__ import annotations

from dataclasses import replace

from lehi_cli.analysis.comparison import MOST_SERIES, named
from lehi_cli.report import Report, SectionReport, View

from .across import across_part
from .arrivals import arrival_blocks
from .content import Block, Document, Figure, Lines, Part
from .curves import curve_figures, finals_figures
from .gate import gate_part
from .prices import price_blocks
from .sensitivity import sensitivity_blocks
from .summary import subtitle, summary_blocks
from .verdict import verdict_blocks

SWEEP_ROWS = 12
MOST_DRAWN = 20  # tasks: the figures of more take longer to draw than anyone looks at them


def to_document(report: Report) -> Document:
    """The whole report: what tuning found, task by task, over all tasks, and whether the assertions hold."""
    parts = _tuning_parts(report)
    parts += [_section_part(item, report.view) for item in report.sections]
    if len(report.sections) > MOST_DRAWN:
        parts = [_without_figures(part) for part in parts]
        count = len(report.sections)
        parts.append(Part("figures", "", [Lines([f"none in a report on {count} tasks; name up to {MOST_DRAWN}"])]))
    if report.mixed:
        parts.append(Part("kept apart", "", [Lines(report.mixed)]))
    if report.across:
        parts.append(across_part(report.across))
    if report.checks:
        parts.append(gate_part(report.checks))
    return Document(parts, report.provenance)


def _tuning_parts(report: Report) -> list[Part]:
    if not report.tuning:
        return []
    from .tuning import tuning_parts  # here, because a report of stored runs does without it

    return tuning_parts(report.tuning)


def _section_part(item: SectionReport, view: View) -> Part:
    section = item.section
    blocks = summary_blocks(section, SWEEP_ROWS if view.sweep else None)
    if not view.sweep:
        blocks += curve_figures(section, view.x)
        blocks += finals_figures(section)
    blocks += sensitivity_blocks(section)
    blocks += arrival_blocks(item.arrivals, view.x) if item.arrivals else []
    blocks += price_blocks(item.prices) if item.prices else []
    blocks += verdict_blocks(item.comparison) if item.comparison else _no_verdict(item, view)
    blocks += [Lines(item.notes)] if item.notes else []
    return Part(section.title, subtitle(section), blocks)


def _without_figures(part: Part) -> Part:
    return replace(part, blocks=[block for block in part.blocks if not isinstance(block, Figure)])


def _no_verdict(item: SectionReport, view: View) -> list[Block]:
    """Why there is none, where someone may look for one."""
    section = item.section
    if view.reference and not named(section, view.reference):
        return [Lines([f"no verdict: {view.reference} has no runs here"])]
    if not view.sweep and len(section.series) > MOST_SERIES:
        count = len(section.series)
        return [Lines([f"no verdict: the best of {count} settings wins by chance; name up to {MOST_SERIES}"])]
    if not view.sweep and len(section.series) > 1:
        return [Lines(["no verdict: it is on validation and test values, and none is shown"])]
    return []

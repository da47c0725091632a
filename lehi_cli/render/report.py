"""A report as a document: the same parts, in the same order, for every format. The answer comes first."""

from __future__ import annotations

from dataclasses import replace

from lehi_cli.analysis.comparison import MOST_SERIES, named
from lehi_cli.analysis.equal_price import few_steps
from lehi_cli.experiment.report import Report, SectionReport, View, prices_apart

from .across import across_part
from .answer import answer_lines
from .arrivals import arrival_blocks
from .curves import curve_figures, finals_figures
from .document import Block, Document, Figure, Lines, Part
from .gate import gate_part, in_one_line
from .prices import price_blocks
from .sensitivity import sensitivity_blocks
from .summary import subtitle, summary_blocks
from .verdict import verdict_blocks

SWEEP_ROWS = 12
MOST_DRAWN = 20  # tasks: the figures of more take longer to draw than anyone would look at them


def to_document(report: Report) -> Document:
    """The whole report: task by task with the answer first, the tuning, the view over all tasks, the assertions."""
    if report.view.detail == "brief":
        return _brief(report)
    tuning = _tuning_parts(report)
    parts = [_section_part(item, report) for item in report.sections] if not report.view.sweep else []
    if not report.sections:
        parts.append(Part("no runs to compare", "", [Lines(report.view.notes)]))
    parts += tuning
    if report.view.sweep:
        parts += [_section_part(item, report) for item in report.sections]
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


def _brief(report: Report) -> Document:
    """The answers alone, and the outcomes of the assertions."""
    said = [in_one_line(check) for check in report.checks]
    answers = Lines(brief_lines(report), strong=True)
    return Document([Part("", "", [answers, *([Lines(said)] if said else [])])], report.provenance)


def brief_lines(report: Report) -> list[str]:
    """The answers alone, a line for each comparison."""
    answers = [line for item in report.sections for line in _answers(item, report)]
    return answers or list(report.view.notes) or ["no verdict: nothing is compared here"]


def _tuning_parts(report: Report) -> list[Part]:
    if not report.tuning:
        return []
    from .tuning import tuning_parts  # here, because a report on stored runs does not need it

    return tuning_parts(report.tuning)


def _section_part(item: SectionReport, report: Report) -> Part:
    section, view = item.section, report.view
    full = view.detail == "full"
    blocks: list[Block] = [Lines(_answers(item, report), strong=True)]
    blocks += verdict_blocks(item.comparison, full) if item.comparison else []
    blocks.append(Lines([*few_steps(section), *view.notes]))
    blocks += summary_blocks(section, SWEEP_ROWS if view.sweep and not full else None, full)
    if not view.sweep:
        remark = ", ".join(prices_apart(item))
        blocks += curve_figures(section, view.x, remark)
        blocks += finals_figures(section, remark)
    blocks += sensitivity_blocks(section)
    blocks += arrival_blocks(item.arrivals, view.x) if item.arrivals else []
    blocks += price_blocks(item.prices) if item.prices else []
    blocks += [Lines(item.notes)] if item.notes else []
    return Part(section.title, subtitle(section), [block for block in blocks if not _is_empty(block)])


def _is_empty(block: Block) -> bool:
    return isinstance(block, Lines) and not any(block.lines)


def _answers(item: SectionReport, report: Report) -> list[str]:
    """Which optimizer is better, or why there is no verdict."""
    if item.comparison:
        return answer_lines(item.comparison, item.section.title, _tuned(report))
    return _no_verdict(item, report.view)


def _tuned(report: Report) -> str:
    if report.tuning is None:
        return report.view.settings
    counts = {len(result.trials) for result in report.tuning.results}
    return f"each tuned with {' or '.join(map(str, sorted(counts)))} trials"


def _without_figures(part: Part) -> Part:
    return replace(part, blocks=[block for block in part.blocks if not isinstance(block, Figure)])


def _no_verdict(item: SectionReport, view: View) -> list[str]:
    """Why there is no verdict where a reader may look for one."""
    section = item.section
    if view.undecided:
        return [f"no verdict: {view.undecided}"]
    if view.sweep or len(section.series) < 2:
        return []
    if view.reference and not named(section, view.reference):
        return [f"no verdict: {view.reference} has no runs here"]
    if any(series.chosen_from > 1 for series in section.series):
        return ["no verdict: settings were chosen on these very runs; compare the chosen ones on fresh seeds"]
    if len(section.series) > MOST_SERIES:
        count = len(section.series)
        return [f"no verdict: the best of {count} settings wins by chance; name up to {MOST_SERIES}"]
    return ["no verdict: verdicts are on validation and test values, and none is shown"]

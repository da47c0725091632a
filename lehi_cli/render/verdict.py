"""The verdict on a comparison: a table, what has to be said about it, and one sentence per optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.stats.verdict import Verdict

from .content import Block, Column, Heading, Lines, Table
from .numbers import compact, p_value, with_interval

PRICE = 1  # the columns that stay together after what was found
ENOUGH = 6  # seeds with which a signed-rank test can reach 5 %
FEW = 10  # seeds below which the default of `--seeds auto` goes on far enough


def verdict_blocks(comparison: Comparison) -> list[Block]:
    """Heading, table, notes and sentences; with a single seed the one line that there is to say."""
    seeds = [judgement.verdict.n for judgement in comparison.judgements]
    if max(seeds) < 2:
        return [Lines([_cannot_tell(max(seeds), comparison)])]
    shown = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else str(max(seeds))
    return [
        Heading(f"verdict against {comparison.reference}, paired over {shown} seeds"),
        verdict_table(comparison),
        Lines([*notes(comparison), *sentences(comparison)]),
    ]


def _cannot_tell(seeds: int, comparison: Comparison) -> str:
    if not seeds:
        return f"no verdict: no other optimizer has a seed in common with {comparison.reference}"
    more = f"{_more(seeds)} goes on" if comparison.is_anytime else f"{ENOUGH} are a start (--seeds {ENOUGH})"
    return f"no verdict: one seed cannot tell a difference from chance; {more}"


def _more(seeds: int) -> str:
    """What to type where seeds were added, and these did not settle it."""
    return f"--seeds auto:{2 * seeds}" if seeds >= FEW else "--seeds auto"


def verdict_table(comparison: Comparison) -> Table:
    """One row per optimizer and metric: what was found, then how sure it is and what it would take."""
    columns = [
        Column("optimizer, metric", right=False),
        Column("verdict", right=False),
        Column("difference [95 % interval]"),
        Column("p", PRICE),
        Column("effect", PRICE),
        *([] if comparison.is_anytime else [Column("detectable", PRICE)]),
        Column("seeds", PRICE),
    ]
    return Table(columns, [_row(judgement) for judgement in comparison.judgements], _caption(comparison))


def _row(judgement: Judgement) -> list[str]:
    verdict = judgement.verdict
    is_anytime = verdict.method == "anytime"
    return [
        _name(judgement),
        verdict.word,
        _difference(judgement),
        p_value(verdict.p_adjusted),
        f"{verdict.effect_size:.2f}" if math.isfinite(verdict.effect_size) else "-",
        *([] if is_anytime else [compact(float(f"{verdict.detectable:.2g}"))]),
        str(verdict.seeds_needed or (f">{verdict.n}" if is_anytime else "?")),
    ]


def _difference(judgement: Judgement) -> str:
    verdict = judgement.verdict
    if not judgement.has_values:
        return "-"
    difference, low, high = with_interval(verdict.difference, *verdict.interval)
    return f"{difference} [{low}, {high}]"


def _name(judgement: Judgement) -> str:
    return f"{judgement.label}, {_column(judgement)}"


def _column(judgement: Judgement) -> str:
    return f"{judgement.split} {judgement.metric}"


def _caption(comparison: Comparison) -> str:
    family, reference = comparison.family, comparison.reference
    margin = f"equivalent within {_percent(comparison.margin)} of {reference}, " if comparison.margin else ""
    if comparison.is_anytime:
        together = f", for {family} comparisons together (Bonferroni)" if family > 1 else ""
        return (
            f"difference to {reference}, {margin}interval and p of a difference hold at every look{together}, "
            "effect in standard deviations of the difference, seeds that both have, > where they do not settle it"
        )
    adjusted = f" adjusted for {family} comparisons (Holm)" if family > 1 else ""
    return (
        f"difference to {reference}, {margin}p of a difference{adjusted}, "
        "effect in standard deviations of the difference, "
        "detectable with probability 80 %, seeds in all that would settle it"
    )


def _percent(share: float) -> str:
    return f"{compact(100 * share)} %"


def notes(comparison: Comparison) -> list[str]:
    """Which runs were left out, and what must be known about the tests; what is so for several rows is said once."""
    about: dict[str, list[Judgement]] = {}
    for judgement in comparison.judgements:
        for note in filter(None, judgement.verdict.note.split("; ")):
            about.setdefault(note, []).append(judgement)
    return [*comparison.notes, *(_about(comparison, rows) + note for note, rows in about.items())]


def _about(comparison: Comparison, rows: Sequence[Judgement]) -> str:
    """Whom a note is about."""
    if len(rows) == len(comparison.judgements) and len(comparison.by_label()) > 1:
        return "all: "
    whole = {label for label, own in comparison.by_label().items() if all(row in rows for row in own)}
    names = [row.label if row.label in whole else _name(row) for row in rows]
    return f"{'; '.join(dict.fromkeys(names))}: "


def sentences(comparison: Comparison) -> list[str]:
    """One sentence per optimizer: the first metric with its numbers, the others in a word."""
    lines = []
    for first, *others in comparison.by_label().values():
        rest = [f"on {_column(judgement)} {judgement.verdict.word}" for judgement in others]
        lines.append("; ".join([_sentence(first, comparison), *rest]))
    return lines


def _sentence(judgement: Judgement, comparison: Comparison) -> str:
    label, reference, verdict = judgement.label, comparison.reference, judgement.verdict
    word = verdict.word
    opening = {
        "better": f"{label} is better than {reference}",
        "worse": f"{label} is worse than {reference}",
        "equivalent": f"{label} and {reference} are equivalent",
        "inconclusive": f"{label} against {reference} is inconclusive",
    }[word]
    said = [_size(judgement)]
    if word == "equivalent":
        by_test = "" if math.isnan(verdict.p_equivalent) else f" (p {_equals(verdict.p_equivalent)})"
        said.append(f"within {_percent(comparison.margin)}{by_test}")
    elif verdict.n > 1:
        said.append(f"p {_equals(verdict.p_adjusted)}{_tests(verdict)}")
    if word == "inconclusive" and judgement.has_values:
        said.append(_what_would_settle(verdict))
    return f"{opening} on {_column(judgement)}: {', '.join(said)}"


def _what_would_settle(verdict: Verdict) -> str:
    if verdict.method == "anytime":
        return f"{verdict.n} seeds did not settle it, {_more(verdict.n)} goes on from here"
    needed = verdict.seeds_needed
    return f"about {needed} seeds would settle it" if needed else "these seeds do not tell how many would"


def _equals(p: float) -> str:
    shown = p_value(p)
    return f"{shown[0]} {shown[1:]}" if shown.startswith("<") else f"= {shown}"


def _tests(verdict: Verdict) -> str:
    """Both tests before adjustment, where there are both."""
    if math.isnan(verdict.p_t):
        return ""
    return f" (unadjusted: t {p_value(verdict.p_t)}, Wilcoxon {p_value(verdict.p_wilcoxon)})"


def _size(judgement: Judgement) -> str:
    """The difference as a length and a direction, where runs without a value leave it finite."""
    verdict = judgement.verdict
    low, high = verdict.interval
    if not judgement.has_values:
        return "no value to compare"
    if not math.isfinite(verdict.difference):
        return "by signs" if verdict.method == "anytime" else "by ranks"
    if not verdict.difference:
        return "no difference"
    is_lower = verdict.difference < 0
    ends = (-high, -low) if is_lower else (low, high)
    size, low_end, high_end = with_interval(abs(verdict.difference), *ends)
    direction = "lower" if is_lower else "higher"
    center = " in the median" if verdict.center == "median" else ""
    return f"{size} {direction}{center} [{low_end}, {high_end}]"

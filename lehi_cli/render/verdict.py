"""The verdicts of a comparison: a table, and notes on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.stats.failures import rate_interval
from lehi_cli.stats.verdict import Verdict

from .answer import p_in_words
from .difference import shown_difference, what_is_compared
from .document import Block, Column, Lines, Table
from .numbers import compact, p_value

FEW = 10  # seeds; below this the default of `--seeds auto` goes far enough
PRICE = 1  # the columns that stay together after those of the result


def verdict_blocks(comparison: Comparison, full: bool = False) -> list[Block]:
    """Table and notes; nothing for a single seed, which decides nothing.

    Args:
        comparison: the comparison of one task.
        full: also show effect sizes, detectable differences, and the tests before adjustment.
    """
    if max(judgement.verdict.n for judgement in comparison.judgements) < 2:
        return [Lines(comparison.notes)]
    said = [*notes(comparison), *failure_lines(comparison), *going_on(comparison), *pairing_lines(comparison)]
    if full:
        said += unadjusted_lines(comparison)
    return [verdict_table(comparison, full), *([Lines(said)] if said else [])]


def verdict_table(comparison: Comparison, full: bool = False) -> Table:
    """One row per optimizer and metric: the verdict, and how sure it is."""
    columns = [
        Column("optimizer, metric", right=False),
        Column("verdict", right=False),
        Column("difference [interval]"),
        Column("p"),
        *([Column("at the price of", right=False)] if _is_unequal(comparison) else []),
        *([Column("effect", PRICE), Column("detectable", PRICE)] if full else []),
        Column("seeds", PRICE if full else 0),
    ]
    rows = [_row(judgement, comparison, full) for judgement in comparison.judgements]
    return Table(columns, rows, _caption(comparison, full))


def _is_unequal(comparison: Comparison) -> bool:
    return any(not price.is_equal for price in comparison.prices.values())


def _row(judgement: Judgement, comparison: Comparison, full: bool) -> list[str]:
    verdict = judgement.verdict
    ratio = comparison.prices[judgement.label].ratio
    price = [f"{ratio:.3g} {comparison.reference}" if math.isfinite(ratio) else "?"]
    more = [_or_dash(verdict.effect_size), _detectable(verdict)] if full else []
    return [
        name_of(judgement),
        verdict.word,
        shown_difference(verdict.scale, verdict.difference, verdict.interval) if judgement.has_values else "-",
        p_value(verdict.p_adjusted),
        *(price if _is_unequal(comparison) else []),
        *more,
        str(verdict.n),
    ]


def _or_dash(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _detectable(verdict: Verdict) -> str:
    if not math.isfinite(verdict.detectable):
        return "-"
    if verdict.scale.kind == "ratio":
        return f"{100 * math.expm1(verdict.detectable):.2g} %"
    return compact(float(f"{verdict.detectable:.2g}"))


def name_of(judgement: Judgement) -> str:
    """The optimizer and what is compared."""
    return f"{judgement.label}, {what_is_compared(judgement.verdict.scale, judgement.split, judgement.metric)}"


def _caption(comparison: Comparison, full: bool) -> str:
    """The meaning of the columns, in words a newcomer knows."""
    said = [f"difference to {comparison.reference}, negative is better than {comparison.reference}"]
    family = comparison.family
    together = f", all {family} together" if family > 1 else ""
    if comparison.is_anytime:
        said.append(f"interval 95 %{together}, and p, however often one looks")
    else:
        said.append(
            f"interval 95 %{together}; p: chance of a difference like this where there is none{_adjusted(family)}"
        )
    if _margins(comparison):
        said.append(f"equivalent: within {_margins(comparison)} of {comparison.reference}")
    if full:
        said.append("effect in standard deviations; detectable: found with probability 80 %")
    return "; ".join(said)


def _adjusted(family: int) -> str:
    """What p is adjusted for; part of the level is always kept for looks that may follow."""
    return f", adjusted for {family} comparisons (Holm) and later looks" if family > 1 else ", adjusted for later looks"


def _margins(comparison: Comparison) -> str:
    """`1 %`, or one for each metric; empty for none."""
    shares: dict[str, list[str]] = {}
    for judgement in comparison.judgements:
        share = comparison.margins.of(judgement.split, judgement.metric)
        if share and judgement.verdict.scale.has_margin:
            names = shares.setdefault(f"{compact(100 * share)} %", [])
            names += [judgement.metric] if judgement.metric not in names else []
    if len(shares) == 1:
        return next(iter(shares))
    return ", ".join(f"{share} ({', '.join(names)})" for share, names in shares.items())


def notes(comparison: Comparison) -> list[str]:
    """Notes on runs left out and on the tests; a note that holds for several rows is given once."""
    about: dict[str, list[Judgement]] = {}
    for judgement in comparison.judgements:
        for note in filter(None, judgement.verdict.note.split("; ")):
            about.setdefault(note, []).append(judgement)
    without = [judgement for judgement in comparison.judgements if not judgement.verdict.scale.has_margin]
    if without and any(comparison.margins.of(judgement.split, judgement.metric) for judgement in without):
        about["no margin: a share of values that may be 0 or negative means nothing"] = without
    return [*comparison.notes, *(_about(comparison, rows) + note for note, rows in about.items())]


def _about(comparison: Comparison, rows: Sequence[Judgement]) -> str:
    """The optimizers and metrics that a note is about."""
    if len(rows) == len(comparison.judgements) and len(comparison.by_label()) > 1:
        return "all: "
    whole = {label for label, own in comparison.by_label().items() if all(row in rows for row in own)}
    names = [row.label if row.label in whole else name_of(row) for row in rows]
    return f"{'; '.join(dict.fromkeys(names))}: "


def failure_lines(comparison: Comparison) -> list[str]:
    """How many runs of each failed, with the exact interval of that share, if any did."""
    lines = []
    for label, (first, *_) in comparison.by_label().items():
        failures = first.verdict.failures
        if failures.any:
            own, other = _share(failures.own, failures.n), _share(failures.other, failures.n)
            tested = f", {p_in_words(first.verdict.p_failures)}" if math.isfinite(first.verdict.p_failures) else ""
            lines.append(f"{label}: {own} runs failed, {comparison.reference}: {other}{tested}")
    return lines


def _share(failed: int, n: int) -> str:
    low, high = rate_interval(failed, n)
    return f"{failed} of {n} [{100 * low:.0f} to {100 * high:.0f} %]"


def going_on(comparison: Comparison) -> list[str]:
    """What to type if it is not settled: more seeds are then judged by the rule that allows for having looked."""
    firsts = [own[0].verdict for own in comparison.by_label().values()]
    still = [verdict for verdict in firsts if verdict.word == "inconclusive" and verdict.n > 1]
    needed = [verdict.seeds_needed for verdict in still if verdict.seeds_needed]
    if not needed or any(verdict.method == "refused" for verdict in still):
        return []
    most = max(max(verdict.n for verdict in still) + 1, min(max(needed), 1000))
    flag = "--seeds auto" if most <= 2 * FEW else f"--seeds auto:{most}"
    return [f"not decided: {flag} goes on from here, and allows for having looked"]


def pairing_lines(comparison: Comparison) -> list[str]:
    """The effect of comparing at the same seeds on the noise of the first metric."""
    gains = [
        (label, own[0].verdict) for label, own in comparison.by_label().items()
        if math.isfinite(own[0].verdict.correlation)
    ]  # fmt: skip
    if not gains:
        return []
    shown = ", ".join(
        f"{label} {verdict.correlation:.2f} (variance x{verdict.variance_ratio:.2g})" for label, verdict in gains
    )
    return [f"correlation with {comparison.reference} over the seeds, and what pairing did to the variance: {shown}"]


def unadjusted_lines(comparison: Comparison) -> list[str]:
    """Both tests before adjustment, if there are both."""
    lines = []
    for judgement in comparison.judgements:
        verdict = judgement.verdict
        if math.isfinite(verdict.p_t):
            tests = f"t {p_value(verdict.p_t)}, Wilcoxon {p_value(verdict.p_wilcoxon)}"
            lines.append(
                f"{name_of(judgement)}: unadjusted p by {tests}; if strongly skewed {p_value(verdict.p_skewed)}"
            )
    return lines

"""The answer, before anything else: which is better, by how much, at what price, and whether both were tuned."""

from __future__ import annotations

from collections.abc import Sequence

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.stats.failures import Failures

from .difference import shown_difference, size_in_words, what_is_compared
from .numbers import p_value

ENOUGH = 5  # seeds that are a start
WORDS = ("better", "worse", "equivalent", "inconclusive")


def answer_lines(comparison: Comparison, task: str, tuned: str) -> list[str]:
    """One sentence: for two optimizers the whole result, for more only which is better or worse.

    Args:
        comparison: the verdicts of one task.
        task: its title.
        tuned: how the settings were found, such as `both tuned with 16 trials`.
    """
    firsts = [own[0] for own in comparison.by_label().values()]
    most = max(judgement.verdict.n for judgement in firsts)
    if not most:
        return [f"no verdict: no other optimizer has a seed in common with {comparison.reference}"]
    if most == 1:
        return [f"no verdict: one seed cannot tell a difference from chance; {ENOUGH} are a start (--seeds {ENOUGH})"]
    if len(firsts) == 1:
        return [_of_two(firsts[0], comparison, task, tuned)]
    return [_of_many(firsts, comparison, task, tuned)]


def _of_two(judgement: Judgement, comparison: Comparison, task: str, tuned: str) -> str:
    verdict, label, reference = judgement.verdict, judgement.label, comparison.reference
    opening = {
        "better": f"{label} is better than {reference} on {task}",
        "worse": f"{label} is worse than {reference} on {task}",
        "equivalent": f"{label} and {reference} are equivalent on {task}",
        "inconclusive": f"not decided between {label} and {reference} on {task}",
    }[verdict.word]
    said = [
        _what(judgement),
        failures_in_words(verdict.failures, label, reference),
        _seeds(verdict.n),
        comparison.prices[label].words,
        tuned,
    ]
    return f"{opening}: {', '.join(filter(None, said))}{_what_next(judgement)}"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"


def _what(judgement: Judgement) -> str:
    """`val loss 5.6 % lower [3.3, 7.8]`."""
    size = size_in_words(judgement.verdict) if judgement.has_values else ""
    what = what_is_compared(judgement.verdict.scale, judgement.split, judgement.metric)
    if not size:
        return (
            "no values to compare" if not judgement.has_values else f"{what} by ranks, because some runs have no value"
        )
    return f"{what} {size}"


def failures_in_words(failures: Failures, label: str, reference: str) -> str:
    """`2 of 20 runs of lehi failed (adam: 0)`; empty if none did."""
    if not failures.any:
        return ""
    return f"{failures.own} of {failures.n} runs of {label} failed ({reference}: {failures.other})"


def _what_next(judgement: Judgement) -> str:
    verdict = judgement.verdict
    if verdict.word != "inconclusive":
        return ""
    if verdict.method == "refused":
        return "; looked at before with other seeds"
    if verdict.seeds_needed:
        return f"; about {verdict.seeds_needed} seeds would settle it"
    return ""


def _of_many(firsts: Sequence[Judgement], comparison: Comparison, task: str, tuned: str) -> str:
    """`against lehi on digits: better adam, soap (1 of 5 runs failed); worse sgd; val loss, 5 seeds, ...`."""
    groups = []
    for word in WORDS:
        names = [_named(judgement) for judgement in firsts if judgement.verdict.word == word]
        if names:
            groups.append(f"{'not decided' if word == 'inconclusive' else word} {', '.join(names)}")
    first = firsts[0]
    seeds = sorted({judgement.verdict.n for judgement in firsts})
    counted = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else _seeds(seeds[0])
    said = [
        what_is_compared(first.verdict.scale, first.split, first.metric),
        counted,
        _prices(firsts, comparison),
        tuned,
    ]
    return f"against {comparison.reference} on {task}: {'; '.join(groups)}; {', '.join(filter(None, said))}"


def _named(judgement: Judgement) -> str:
    """The label with its difference, and with its failed runs if it has more than the reference."""
    verdict = judgement.verdict
    size = "-"
    if judgement.has_values:
        size, *_ = shown_difference(verdict.scale, verdict.difference, verdict.interval).split(" [")
    lost = f"{verdict.failures.own} of {verdict.failures.n} runs failed" if verdict.failures.excess > 0 else ""
    aside = ", ".join(filter(None, (size if size != "-" else "", lost)))
    return f"{judgement.label} ({aside})" if aside else judgement.label


def _prices(firsts: Sequence[Judgement], comparison: Comparison) -> str:
    prices = [comparison.prices[judgement.label] for judgement in firsts]
    if all(price.is_equal for price in prices):
        return "all at equal price"
    return "; ".join(f"{price.label} {price.words}" for price in prices if not price.is_equal)


def p_in_words(p: float) -> str:
    """`p = 0.012`, `p < 0.0001`."""
    shown = p_value(p)
    return f"p {shown[0]} {shown[1:]}" if shown.startswith("<") else f"p = {shown}"

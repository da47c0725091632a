"""Every optimizer against every other on each task, in the word of a verdict.

Tables of wins and losses go by these words, so that a page has one answer: an optimizer that is *equivalent* or
*inconclusive* on a task has not won there, whatever the means say. The verdicts only compare with one reference; the
other pairs are judged here, and all of them, over all tasks, are one family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.contest import Contest
from lehi_cli.stats.ranks import Duels
from lehi_cli.stats.verdict import family_size, judge_pairs

from .task_scores import TaskScores

TURNED = {"better": "worse", "worse": "better"}

_Key = tuple[int, str, str]  # task, candidate, reference


def duels(
    tasks: Sequence[TaskScores], labels: Sequence[str], judged: Sequence[Duels] | None, share: float
) -> list[dict[tuple[str, str], str]]:
    """On each task the word of each optimizer against each other one, among those that have runs there.

    Args:
        tasks: the final values on each task.
        labels: the optimizers; in a pair that is judged here, the one that comes first is the reference.
        judged: words that verdicts found on each task, either way round; None for none.
        share: share of the reference within which a difference does not matter.
    """
    known = [_both_ways(words) for words in judged] if judged is not None else [{} for _ in tasks]
    missing = {
        (i, one, other): Contest(task.finals[one], task.finals[other], task.scale, share)
        for i, task in enumerate(tasks)
        for place, one in enumerate(labels)
        for other in labels[:place]
        if one in task.finals and other in task.finals and (one, other) not in known[i]
    }
    for (i, one, other), word in _judged(tasks, missing).items():
        known[i] |= _both_ways({(one, other): word})
    return known


def _both_ways(words: Duels) -> dict[tuple[str, str], str]:
    turned = {(other, one): TURNED.get(word, word) for (one, other), word in words.items()}
    return turned | dict(words)


def _judged(tasks: Sequence[TaskScores], contests: Mapping[_Key, Contest]) -> dict[_Key, str]:
    """The words on these pairs; where seeds were added after a look, by what stays valid, and those pairs all count."""
    looked = {key: contest for key, contest in contests.items() if tasks[key[0]].adaptive}
    fixed = {key: contest for key, contest in contests.items() if key not in looked}
    family = len(looked) + family_size(fixed.values())
    found = judge_anytime(looked, family=family) | judge_pairs(fixed, family=family)
    return {key: verdict.word for key, verdict in found.items()}

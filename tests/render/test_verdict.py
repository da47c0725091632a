"""The verdict, to the letter."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from rich.console import Console

from lehi_cli.analysis.comparison import Comparison, Judgement
from lehi_cli.render.content import Part
from lehi_cli.render.terminal import print_parts
from lehi_cli.render.verdict import sentences, verdict_blocks
from lehi_cli.stats.anytime import judge_anytime
from lehi_cli.stats.verdict import Verdict, judge_pairs

LOSSES = {
    "lehi": [0.1420, 0.1446, 0.1402, 0.1371, 0.1467, 0.1415],
    "adam": [0.1344, 0.1325, 0.1340, 0.1297, 0.1420, 0.1351],
    "twin": [0.1421, 0.1445, 0.1403, 0.1370, 0.1466, 0.1417],
    "wild": [float("inf")] * 6,
}


def by_seed(values: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(values))


def printed(
    labels: Sequence[str],
    width: int,
    terminal: bool = True,
    seeds: int = 6,
    notes: Sequence[str] = (),
    judge: Callable[..., dict[str, Verdict]] = judge_pairs,
) -> str:
    reference = by_seed(LOSSES["lehi"][:seeds])
    found = judge({label: (by_seed(LOSSES[label][:seeds]), reference) for label in labels})
    judgements = [Judgement(label, "loss", verdict) for label, verdict in found.items()]
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    blocks = verdict_blocks(Comparison("lehi", 0.01, len(labels), judgements, notes))
    print_parts(console, [Part("digits", "", blocks)])
    _, _, *lines = stream.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def test_a_terminal_of_80_columns() -> None:
    assert printed(["adam", "twin", "wild"], 80, notes=["wild, seed 7: pruned; left out of the pairs"]) == NARROW


NARROW = """\
verdict against lehi, paired over 6 seeds

optimizer, metric   verdict         difference [95 % interval]
──────────────────────────────────────────────────────────────
adam, val loss      better          -0.0074 [-0.0100, -0.0048]
twin, val loss      equivalent     0.00002 [-0.00012, 0.00016]
wild, val loss      inconclusive                inf [inf, inf]

optimizer, metric        p   effect   detectable   seeds
────────────────────────────────────────────────────────
adam, val loss      0.0024    -2.93       0.0047       6
twin, val loss        0.77     0.13      0.00025       6
wild, val loss       0.062        -            -       7
difference to lehi, equivalent within 1 % of lehi, p of a difference adjusted
for 3 comparisons (Holm), effect in standard deviations of the difference,
detectable with probability 80 %, seeds in all that would settle it
wild, seed 7: pruned; left out of the pairs
adam; twin: rests on the t test, which takes differences as normal
all: by ranks 6 seeds cannot go below p = 0.031, 7 can reach 0.017
wild: 6 of 6 candidate and 0 of 6 reference runs ended without a value: worst
wild: by ranks, not means
adam is better than lehi on val loss: 0.0074 lower [0.0048, 0.0100], p = 0.0024
(unadjusted: t 0.00082, Wilcoxon 0.031)
twin and lehi are equivalent on val loss: 0.00002 higher [-0.00012, 0.00016],
within 1 % (p < 0.0001)
wild against lehi is inconclusive on val loss: by ranks, p = 0.062, about 7
seeds would settle it
"""


def test_a_terminal_of_120_columns_has_one_table() -> None:
    assert printed(["adam", "twin", "wild"], 120).split("\n\n")[1] == WIDE


WIDE = """\
optimizer, metric   verdict         difference [95 % interval]        p   effect   detectable   seeds
─────────────────────────────────────────────────────────────────────────────────────────────────────
adam, val loss      better          -0.0074 [-0.0100, -0.0048]   0.0024    -2.93       0.0047       6
twin, val loss      equivalent     0.00002 [-0.00012, 0.00016]     0.77     0.13      0.00025       6
wild, val loss      inconclusive                inf [inf, inf]    0.062        -            -       7
difference to lehi, equivalent within 1 % of lehi, p of a difference adjusted for 3 comparisons (Holm), effect in
standard deviations of the difference, detectable with probability 80 %, seeds in all that would settle it
adam; twin: rests on the t test, which takes differences as normal
all: by ranks 6 seeds cannot go below p = 0.031, 7 can reach 0.017
wild: 6 of 6 candidate and 0 of 6 reference runs ended without a value: worst
wild: by ranks, not means
adam is better than lehi on val loss: 0.0074 lower [0.0048, 0.0100], p = 0.0024 (unadjusted: t 0.00082, Wilcoxon 0.031)
twin and lehi are equivalent on val loss: 0.00002 higher [-0.00012, 0.00016], within 1 % (p < 0.0001)
wild against lehi is inconclusive on val loss: by ranks, p = 0.062, about 7 seeds would settle it
"""


def test_where_seeds_were_added_nothing_is_said_that_holds_for_one_look() -> None:
    shown = printed(["adam", "twin", "wild"], 120, notes=["seeds were added"], judge=judge_anytime)
    assert shown == ADDED


ADDED = """\
verdict against lehi, paired over 6 seeds

optimizer, metric   verdict         difference [95 % interval]       p   effect   seeds
───────────────────────────────────────────────────────────────────────────────────────
adam, val loss      inconclusive     -0.0074 [-0.0150, 0.0002]   0.054    -2.93      >6
twin, val loss      equivalent     0.00002 [-0.00038, 0.00042]       1     0.13       6
wild, val loss      inconclusive               inf [-inf, inf]       1        -      >6
difference to lehi, equivalent within 1 % of lehi, interval and p of a difference hold at every look, for 3 comparisons
together (Bonferroni), effect in standard deviations of the difference, seeds that both have, > where they do not settle
it
seeds were added
wild: 6 of 6 candidate and 0 of 6 reference runs ended without a value: worst
wild: by signs, not means
adam against lehi is inconclusive on val loss: 0.0074 lower [-0.0002, 0.0150], p = 0.054, 6 seeds did not settle it,
--seeds auto goes on from here
twin and lehi are equivalent on val loss: 0.00002 higher [-0.00038, 0.00042], within 1 %
wild against lehi is inconclusive on val loss: by signs, p = 1, 6 seeds did not settle it, --seeds auto goes on from
here
"""


def test_where_seeds_were_added_the_default_goes_on_as_far_as_it_does() -> None:
    def goes_on(seeds: int) -> str:
        return printed(["wild"], 200, seeds=seeds, judge=judge_anytime).splitlines()[-1]

    assert goes_on(1) == "no verdict: one seed cannot tell a difference from chance; --seeds auto goes on"
    assert goes_on(6).endswith("6 seeds did not settle it, --seeds auto goes on from here")


def test_another_split_is_named() -> None:
    verdict = judge_pairs({0: (by_seed(LOSSES["adam"]), by_seed(LOSSES["lehi"]))})[0]
    judgements = [
        Judgement("adam", "loss", verdict, split="test"),
        Judgement("adam", "accuracy", verdict, split="test"),
    ]
    (sentence,) = sentences(Comparison("lehi", 0.01, 1, judgements, []))
    assert sentence.startswith("adam is better than lehi on test loss: 0.0074 lower")
    assert sentence.endswith("; on test accuracy better")


def test_a_pipe_gets_markdown() -> None:
    lines = printed(["adam"], 20, terminal=False).splitlines()
    assert lines[2].startswith("| optimizer, metric   | verdict   |   difference [95 % interval] |")
    assert lines[4].startswith("| adam, val loss      | better    |   -0.0074 [-0.0100, -0.0048] |")
    assert lines[-1].startswith("adam is better than lehi on val loss: ")


def test_one_seed_gets_one_line() -> None:
    assert printed(["adam", "twin"], 120, seeds=1) == (
        "no verdict: one seed cannot tell a difference from chance; 6 are a start (--seeds 6)\n"
    )


def test_no_seed_in_common_gets_one_line() -> None:
    assert printed(["adam"], 80, seeds=0) == "no verdict: no other optimizer has a seed in common with lehi\n"

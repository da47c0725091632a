"""Assertions: how they are read, and when they hold."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cases import SMALL, runs_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.arrivals import parse_target
from lehi_cli.analysis.comparison import compare_sections
from lehi_cli.analysis.grouping import best_of_sections
from lehi_cli.analysis.looks import Look, Looks
from lehi_cli.analysis.results import Section, Series
from lehi_cli.errors import Exit, UnknownNameError, UsageError
from lehi_cli.gate import Check, check_all, exit_code, parse
from lehi_cli.gate.expression import Reference, Side
from lehi_cli.runs.records import Outcome
from lehi_cli.runs.run_metrics import RunMetrics
from lehi_cli.runs.specs import Budget, RunSpec
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.failures import failure_p
from lehi_cli.stats.sequential import seeds_to_settle
from lehi_cli.stats.verdict import FIRST_SHARE, LATER_SHARE, OTHER_SEEDS

LEHI = Side(Reference("lehi"), 1.0, 0.0)
ADAM = Side(Reference("adam"), 1.0, 0.0)


def side(text: str, factor: float = 1.0, offset: float = 0.0) -> Side:
    return Side(Reference(text), factor, offset)


def number(value: float) -> Side:
    return Side(None, 0.0, value)


READ = [
    ("lehi < adam @ val_loss", LEHI, "<", ADAM, "val_loss"),
    ("lehi<adam@val_loss", LEHI, "<", ADAM, "val_loss"),
    ("  lehi >=\tadam\n", LEHI, ">=", ADAM, ""),
    ("lehi <= adam*1.02 @ val_loss", LEHI, "<=", side("adam", 1.02), "val_loss"),
    ("lehi.val_accuracy > 0.95", side("lehi.val_accuracy"), ">", number(0.95), ""),
    ("lehi.ms_per_step < 1.8*adam", side("lehi.ms_per_step"), "<", side("adam", 1.8), ""),
    ("lehi < adam + 0.01", LEHI, "<", side("adam", 1.0, 0.01), ""),
    ("lehi < adam+0.01", LEHI, "<", side("adam", 1.0, 0.01), ""),
    ("lehi < adam - 0.5", LEHI, "<", side("adam", 1.0, -0.5), ""),
    ("lehi < adam -0.5", LEHI, "<", side("adam", 1.0, -0.5), ""),
    ("lehi < 2*adam*3 - 4*0.5 + 1", LEHI, "<", side("adam", 6.0, -1.0), ""),
    ("0.3 - lehi < -1e-3", side("lehi", -1.0, 0.3), "<", number(-0.001), ""),
    ("lehi < .5 * -2", LEHI, "<", number(-1.0), ""),
    ("adam:lr=0.01.val_loss < 0.2", side("adam:lr=0.01.val_loss"), "<", number(0.2), ""),
    ("sgd:lr=3e-4 < sgd:lr=1e+20*2", side("sgd:lr=3e-4"), "<", side("sgd:lr=1e+20", 2.0), ""),
    ("po.Yogi < adam-w", side("po.Yogi"), "<", side("adam-w"), ""),
    ("lehi:factor=true_vs_rest < adamw:betas=0.9/0.95", side("lehi:factor=true_vs_rest"), "<",
     side("adamw:betas=0.9/0.95"), ""),
    ("'my label'.val_loss < \"b < c\"", Side(Reference("my label", True, "val_loss"), 1.0, 0.0), "<",
     Side(Reference("b < c", True), 1.0, 0.0), ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "left", "operator", "right", "column"), READ, ids=[case[0] for case in READ])
def test_an_assertion_is_read(text: str, left: Side, operator: str, right: Side, column: str) -> None:
    assertion = parse(text)
    assert (assertion.left, assertion.operator, assertion.column) == (left, operator, column)
    assert assertion.right.reference == right.reference
    assert assertion.right.factor == pytest.approx(right.factor)
    assert assertion.right.offset == pytest.approx(right.offset)
    assert assertion.text.split() == text.split()


MALFORMED = [
    ("", 0, "expected a number or an optimizer"),
    ("lehi", 4, "expected <, <=, > or >="),
    ("lehi <", 6, "expected a number or an optimizer"),
    ("lehi = adam", 5, "this character has no meaning here"),
    ("lehi == adam", 5, "this character has no meaning here"),
    ("lehi < (adam)", 7, "this character has no meaning here"),
    ("lehi < adam 2", 12, "expected nothing more"),
    ("lehi < adam < sgd", 12, "expected nothing more"),
    ("lehi < adam @", 13, "expected a column"),
    ("lehi < adam @ val_loss sgd", 23, "expected nothing more"),
    ("lehi < 'adam", 7, "this quote is not closed"),
    ("lehi < '' ", 7, "this quote is not closed"),
    ("lehi < 2 * * adam", 11, "expected a number or an optimizer"),
    ("lehi < 2 * -adam", 12, "expected a number$"),
    ("lehi < adam + sgd", 14, "at most one optimizer"),
    ("lehi < 1 - adam * sgd", 18, "at most one optimizer"),
    ("lehi < 0 * adam", 7, "0 times an optimizer"),
    ("lehi < 1e999", 7, "too large"),
]


@pytest.mark.parametrize(("text", "place", "why"), MALFORMED, ids=[case[0] for case in MALFORMED])
def test_a_malformed_assertion_is_refused_where_it_goes_wrong(text: str, place: int, why: str) -> None:
    with pytest.raises(UsageError, match="malformed assertion") as refused:
        parse(text)
    said, shown, caret = refused.value.message.split("\n")
    assert why.removesuffix("$") in said
    assert said.endswith(why.removesuffix("$")) or not why.endswith("$")
    assert (shown, caret) == (f"  {text.strip()}", f"  {' ' * place}^")


def test_an_assertion_without_an_optimizer_is_refused() -> None:
    with pytest.raises(UsageError, match="names no optimizer"):
        parse("1 < 2")


# --- stores of runs that were not trained ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A run to be made up; `course` are validation losses at steps 10, 20, ..., `loss` the last."""

    loss: float = 0.5
    status: str = "ok"
    accuracy: float = 0.9
    steps: int = 100
    passes_per_step: float = 1.0
    ms_per_step: float = 2.0
    state_bytes: int = 8000
    course: tuple[float, ...] = ()


def losses(*values: float) -> list[Made]:
    return [Made(value) if math.isfinite(value) else Made(status="diverged") for value in values]


def record(store: Store, run: RunSpec, made: Made) -> None:
    recorder = store.claim(run, {"device": "cpu"})
    assert recorder is not None
    course = (*made.course, made.loss) if made.status == "ok" else made.course
    for i, loss in enumerate(course, start=1):
        row = {"split": "val", "epoch": 1.0, "step": 10 * i, "samples": 320 * i, "loss": loss, "lr_now": 0.1,
               "passes": 10 * i * made.passes_per_step, "seconds": float(i)}  # fmt: skip
        recorder.add(row, {"accuracy": made.accuracy})
        recorder.add({**row, "split": "train", "loss": loss / 2}, {})
    if made.status == "ok":
        recorder.add({**row, "split": "test", "loss": made.loss + 1}, {"accuracy": made.accuracy})
    seconds = made.steps * made.ms_per_step / 1000
    passes = made.steps * made.passes_per_step
    outcome = Outcome("", made.steps, passes, seconds, 1000, made.state_bytes, "a", "b", "", {})
    has_outcome = made.status in ("ok", "diverged", "pruned")
    if made.status != "running":
        recorder.finish(made.status, asdict(outcome) if has_outcome else {}, {})


def sections(
    root: Path, made: Mapping[str, Sequence[Made]], task: str = "digits", budget: Budget = SMALL
) -> list[Section]:
    """Sections of a store in which optimizer spec `o` has the runs `made[o]`, seeds 0, 1, ..."""
    store = Store(root)
    store.prepare()
    for optimizer, own in made.items():
        for run, one in zip(runs_of(optimizer, task, len(own), budget), own, strict=True):
            record(store, run, one)
    return arrange(store, store.runs())


def the_check(text: str, found: Sequence[Section], **options: Any) -> Check:
    (check,) = check_all([parse(text)], found, **options)
    return check


def with_losses(section: Section, values: Mapping[str, Sequence[float]]) -> Section:
    """The section with other validation losses at seeds 0, 1, ..."""
    series = []
    for like in section.series:
        runs = [replace(like.runs[0], seed=seed) for seed in range(len(values[like.label]))]
        metrics = [RunMetrics({"split": ["val"], "step": [1], "loss": [value]}) for value in values[like.label]]
        series.append(Series(like.label, runs, metrics))
    return Section(section.task, section.spec, series)


NOISY = {"lehi": [0.50, 0.53, 0.48, 0.55, 0.51], "adam": [0.56, 0.57, 0.55, 0.60, 0.58]}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> list[Section]:
    return sections(tmp_path_factory.mktemp("noisy"), {label: losses(*values) for label, values in NOISY.items()})


LOGS = {label: [math.log(value) for value in values] for label, values in NOISY.items()}
FIRST = FIRST_SHARE * 0.05  # of alpha, for a look at a fixed number of seeds


def interval_of(result: object) -> tuple[float, float]:
    """The interval of a t test of scipy, at the level of a look."""
    ends = result.confidence_interval(1 - 2 * FIRST)  # type: ignore[attr-defined]
    return ends.low, ends.high


def test_what_the_t_test_shows_is_true_and_its_opposite_false(noisy: list[Section]) -> None:
    expected = stats.ttest_rel(LOGS["lehi"], LOGS["adam"], alternative="less")
    p, mean = expected.pvalue / FIRST_SHARE, sum(LOGS["lehi"]) / 5 - sum(LOGS["adam"]) / 5
    for text in ("lehi < adam @ val_loss", "lehi <= adam", "lehi.val_loss < adam"):
        check = the_check(text, noisy)
        assert (check.outcome, check.task, check.n, check.center) == ("true", "digits", 5, "mean")
        assert check.p == pytest.approx(p)
        assert check.is_ratio
        assert check.difference == pytest.approx(mean)
        assert check.interval == pytest.approx(interval_of(stats.ttest_rel(LOGS["lehi"], LOGS["adam"])))
        assert check.reason == f"shown over 5 seeds (t test, p = {p:.2g}, one-sided)"
        assert list(check.seeds) == [0, 1, 2, 3, 4]
    for text, difference in (("lehi > adam", mean), ("lehi >= adam", mean), ("adam < lehi", -mean)):
        check = the_check(text, noisy)
        assert check.outcome == "false"
        assert check.p == pytest.approx(p)
        assert check.difference == pytest.approx(difference)
        assert check.reason.startswith("the opposite is shown over 5 seeds (t test, p = ")


def test_the_interval_is_below_0_exactly_where_it_is_true(noisy: list[Section]) -> None:
    draws, outcomes = random.Random(4), set()
    for _ in range(200):
        check = the_check("lehi < adam", [drawn(noisy[0], draws, 4)])
        assert (check.outcome == "true") == (check.interval.high < 0)
        outcomes.add(check.outcome)
    assert outcomes == {"true", "false", "inconclusive"}


def test_what_is_true_may_be_inconclusive_as_a_verdict_which_asks_for_both_directions(noisy: list[Section]) -> None:
    noise = [0.02, -0.03, 0.01, 0.0, 0.0]
    shift = 2.55 * stats.tstd(noise) / math.sqrt(5)  # a t of -2.55, which one side finds
    weak = [adam * math.exp(by - shift) for adam, by in zip(NOISY["adam"], noise, strict=True)]
    found = [with_losses(noisy[0], {"lehi": weak, "adam": NOISY["adam"]})]
    check = the_check("lehi < adam", found)
    (comparison,) = compare_sections(found, reference="adam", columns=[("val", "loss")])
    assert comparison is not None
    verdict = comparison.judgements[0].verdict
    assert (check.outcome, verdict.word) == ("true", "inconclusive")
    assert verdict.p_adjusted == pytest.approx(2 * check.p)
    assert check.reason.startswith("shown over 5 seeds (t test, p = ")
    assert "one-sided" in check.reason


def test_what_rests_on_symmetry_says_so(noisy: list[Section]) -> None:
    check = the_check("lehi < 1.05 * adam", [with_losses(noisy[0], {"lehi": [0.5, 0.53], "adam": [0.6, 0.62]})])
    assert check.outcome == "true"
    assert "if differences were strongly skewed" in check.reason


@pytest.mark.parametrize(("alpha", "says_so"), [(0.05, False), (0.01, True)])
def test_skewness_is_judged_at_the_level_of_the_check(noisy: list[Section], alpha: float, says_so: bool) -> None:
    far = {"lehi": [0.50, 0.53, 0.48, 0.55], "adam": [0.60, 0.61, 0.58, 0.62]}
    check = the_check("lehi < adam", [with_losses(noisy[0], far)], alpha=alpha)
    assert check.outcome == "true"
    assert ("; 0.018 if differences were strongly skewed" in check.reason) == says_so


def test_what_is_not_shown_is_inconclusive_and_says_how_many_seeds_may(noisy: list[Section]) -> None:
    check = the_check("lehi < 0.52", noisy)
    d = [value - math.log(0.52) for value in LOGS["lehi"]]
    assert check.outcome == "inconclusive"
    assert check.p == pytest.approx(stats.ttest_1samp(d, 0, alternative="less").pvalue / FIRST_SHARE)
    needed = seeds_to_settle(sum(d) / 5 / stats.tstd(d), 0.0, 5, LATER_SHARE * 0.05)
    assert check.reason == f"5 seeds show neither this nor the opposite; about {needed} in all may"


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("lehi <= adam*1.02", lambda lehi, adam: lehi, lambda lehi, adam: adam * 1.02),
        ("lehi < 0.5*adam + 0.3", lambda lehi, adam: lehi, lambda lehi, adam: 0.5 * adam + 0.3),
        ("adam - 0.01 > lehi", lambda lehi, adam: adam - 0.01, lambda lehi, adam: lehi),
        ("0.6 - lehi < 0.3", lambda lehi, adam: 0.6 - lehi, lambda lehi, adam: 0.3),
        ("lehi.test_loss < 1.6", lambda lehi, adam: lehi + 1, lambda lehi, adam: 1.6),
        ("lehi.train_loss < 0.3", lambda lehi, adam: lehi / 2, lambda lehi, adam: 0.3),
    ],
)
def test_sides_are_sums_and_products(
    noisy: list[Section], text: str, left: Callable[[float, float], float], right: Callable[[float, float], float]
) -> None:
    check = the_check(text, noisy)
    pairs = list(zip(NOISY["lehi"], NOISY["adam"], strict=True))
    expected = sum(math.log(left(*pair) / right(*pair)) for pair in pairs) / 5
    assert (check.outcome, check.is_ratio) == ("true", True)
    assert check.difference == pytest.approx(expected)


def test_a_side_that_is_negative_is_compared_by_its_difference(noisy: list[Section]) -> None:
    check = the_check("lehi - 0.6 < 0.1 - 0.1*adam", noisy)
    assert not check.is_ratio
    assert check.difference == pytest.approx(0.514 - 0.6 - 0.1 + 0.0572)


def test_accuracies_and_counts_are_compared_by_their_difference(tmp_path: Path) -> None:
    made = {
        "lehi": [Made(accuracy=value, ms_per_step=3 * value) for value in (0.95, 0.96, 0.955)],
        "adam": [Made(accuracy=value, ms_per_step=2 * value) for value in (0.93, 0.945, 0.938)],
    }
    found = sections(tmp_path / "runs", made)
    check = the_check("lehi > adam @ val_accuracy", found)
    assert (check.outcome, check.is_ratio) == ("true", False)
    assert check.difference == pytest.approx(0.955 - (0.93 + 0.945 + 0.938) / 3)
    assert not the_check("lehi.ms_per_step < 1.8*adam", found).is_ratio


def test_columns_are_shared(tmp_path: Path) -> None:
    lehi = [Made(0.5, ms_per_step=ms) for ms in (3.0, 3.1, 3.2)]
    adam = [Made(0.6, ms_per_step=ms) for ms in (2.0, 2.1, 2.05)]
    found = sections(tmp_path / "runs", {"lehi": lehi, "adam": adam})
    assert the_check("lehi.ms_per_step < 1.8*adam", found).difference == pytest.approx(3.1 - 1.8 * 2.05)
    assert the_check("lehi < 1.8*adam.ms_per_step", found).difference == pytest.approx(3.1 - 1.8 * 2.05)
    assert the_check("lehi.ms_per_step < 1.8*adam @ val_loss", found).difference == pytest.approx(3.1 - 1.8 * 0.6)
    with pytest.raises(UsageError, match="every optimizer has a column"):
        the_check("lehi.ms_per_step < 0.2 @ val_loss", found)


def test_one_seed_cannot_tell(tmp_path: Path) -> None:
    check = the_check("lehi < adam", sections(tmp_path / "runs", {"lehi": losses(0.1), "adam": losses(0.9)}))
    assert check.outcome == "inconclusive"
    assert check.n == 1
    assert check.difference == pytest.approx(math.log(0.1 / 0.9))
    assert check.interval == (-math.inf, math.inf)
    assert math.isnan(check.p)
    assert check.reason == "one seed cannot tell a difference from chance; 5 are a start"


def test_by_chance_the_same_difference_is_no_proof(tmp_path: Path) -> None:
    made = {"lehi": [Made(accuracy=0.9)] * 2, "adam": [Made(accuracy=0.8)] * 2}
    check = the_check("lehi > adam @ val_accuracy", sections(tmp_path / "runs", made))
    assert (check.outcome, check.p) == ("inconclusive", 0.25 / FIRST_SHARE)
    assert check.reason == "2 seeds show neither this nor the opposite; these do not tell how many would"


def test_equal_losses_are_inconclusive(tmp_path: Path) -> None:
    values = (0.1, 0.2, 0.3, 0.15, 0.25)
    found = sections(tmp_path / "runs", {"lehi": losses(*values), "adam": losses(*values)})
    check = the_check("lehi <= adam", found)
    assert (check.outcome, check.difference) == ("inconclusive", 0.0)
    assert "equal at each of 5 seeds; a margin can be shown" in check.reason
    assert the_check("lehi <= 1.02*adam", found).outcome == "true"  # the same ratio at every seed


# --- what is counted ------------------------------------------------------------------------------------------------

COUNTED = [
    ("lehi.passes_per_step < 1.5*adam", "false"),  # 1.5 exactly
    ("lehi.passes_per_step <= 1.5*adam", "true"),
    ("lehi.passes_per_step >= 1.5*adam", "true"),
    ("lehi.passes_per_step > 1.4*adam", "true"),
    ("lehi.passes_per_step < 1.4", "false"),
    ("lehi.state_bytes_per_parameter <= 1.5*adam", "true"),
    ("lehi.steps < adam", "false"),
    ("lehi.steps >= adam", "true"),
    ("lehi.passes < 150.1", "true"),
]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("text", "outcome"), COUNTED)
def test_what_is_counted_is_compared_exactly(tmp_path: Path, text: str, outcome: str, seeds: int) -> None:
    lehi = [Made(passes_per_step=1.5 + 1e-14 * i, state_bytes=12000) for i in range(seeds)]
    check = the_check(text, sections(tmp_path / "runs", {"lehi": lehi, "adam": [Made()] * seeds}))
    assert (check.outcome, check.n) == (outcome, seeds)
    assert math.isnan(check.p)
    assert check.interval.low == pytest.approx(check.interval.high, abs=1e-9)
    assert check.reason.startswith("counted, and the same in every run")
    assert ("both sides are equal" in check.reason) == (check.difference == 0)


def test_counts_that_differ_between_seeds_are_tested(tmp_path: Path) -> None:
    lehi = [Made(passes_per_step=passes) for passes in (1.0, 1.4)]
    found = sections(tmp_path / "runs", {"lehi": lehi, "adam": [Made(passes_per_step=1.3)] * 2})
    check = the_check("lehi.passes_per_step < adam", found)
    assert check.outcome == "inconclusive"
    assert check.p == pytest.approx(stats.ttest_1samp([-0.3, 0.1], 0, alternative="less").pvalue / FIRST_SHARE)


def test_steps_within_seconds_are_measured(tmp_path: Path) -> None:
    made = {"lehi": [Made(steps=100)], "adam": [Made(steps=200)]}
    found = sections(tmp_path / "runs", made, budget=Budget("seconds", 1.0))
    assert the_check("lehi.steps < adam", found).outcome == "inconclusive"
    assert the_check("lehi.state_bytes_per_parameter <= adam", found).outcome == "true"


# --- runs that did not end well -------------------------------------------------------------------------------------


def test_diverged_runs_count_as_worst_by_ranks(tmp_path: Path) -> None:
    wild, adam = (math.inf, math.inf, 0.5, 0.9, 0.8, 0.7), (0.4, 0.3, 0.45, 0.5, 0.6, math.inf)
    found = sections(tmp_path / "runs", {"sgd": losses(*wild), "adam": losses(*adam)})
    check = the_check("sgd < adam", found)
    # Ranks of |d| = inf, inf, log 0.5/0.45, log 0.9/0.5, log 0.8/0.6, inf: 5, 5, 1, 3, 2, 5; the last d is negative.
    signs = [[1 if pattern >> i & 1 else -1 for i in range(6)] for pattern in range(64)]
    sums = [sum(r for r, sign in zip((5, 5, 1, 3, 2, 5), pattern, strict=True) if sign > 0) for pattern in signs]
    assert check.outcome == "inconclusive"
    assert check.p == pytest.approx(sum(total >= 16 for total in sums) / 64 / FIRST_SHARE)
    middle = (math.log(0.8 / 0.6) + math.log(0.9 / 0.5)) / 2
    assert (check.center, check.difference) == ("median", pytest.approx(middle))
    assert "sgd: 2 of 6 runs have no val_loss and count as worst" in check.reason
    assert "adam: 1 of 6 runs have no val_loss and count as worst" in check.reason


def test_all_diverged_against_none_is_false(tmp_path: Path) -> None:
    made = {"sgd": losses(*[math.inf] * 5), "adam": losses(0.1, 0.2, 0.3, 0.4, 0.5)}
    found = sections(tmp_path / "runs", made)
    assert the_check("adam < sgd", found).outcome == "true"
    assert the_check("adam > 1.5*sgd", found).p == pytest.approx(2**-5 / FIRST_SHARE)
    assert the_check("adam.val_accuracy > sgd", found).outcome == "true"
    check = the_check("sgd.val_accuracy > 0.1", found)
    assert (check.outcome, check.difference) == ("false", -math.inf)


def test_worst_against_worst_is_a_tie(tmp_path: Path) -> None:
    made = {"sgd": losses(math.inf, 0.2, 0.3), "adam": losses(math.inf, 0.4, 0.45)}
    found = sections(tmp_path / "runs", made)
    check = the_check("sgd < adam", found)
    assert check.difference == pytest.approx((0 + math.log(0.2 / 0.4) + math.log(0.3 / 0.45)) / 3)
    lost = sections(tmp_path / "lost", {"sgd": losses(*[math.inf] * 6), "adam": losses(*[math.inf] * 6)})
    check = the_check("sgd < adam", lost)
    assert check.outcome == "inconclusive"
    assert check.reason.startswith("no run ended with a value to compare; sgd: 6 of 6")


@pytest.mark.parametrize("status", ["pruned", "interrupted", "running"])
def test_runs_that_say_nothing_are_left_out_and_named(tmp_path: Path, status: str) -> None:
    made = {"lehi": [*losses(0.1, 0.2, 0.3), Made(status=status)], "adam": losses(0.3, 0.45, 0.5, 0.1)}
    check = the_check("lehi < adam", sections(tmp_path / "runs", made))
    assert check.n == 3
    logs = [math.log(0.1 / 0.3), math.log(0.2 / 0.45), math.log(0.3 / 0.5)]
    assert check.p == pytest.approx(stats.ttest_1samp(logs, 0, alternative="less").pvalue / FIRST_SHARE)
    assert f"lehi, seed 3: {status}, left out" in check.reason
    assert "seed 3 is not on both sides, left out" in check.reason


@pytest.mark.parametrize("status", ["error", "oom", "killed", "timeout"])
def test_runs_that_failed_count_as_worst(tmp_path: Path, status: str) -> None:
    made = {"lehi": [*losses(0.1, 0.2, 0.3, 0.1), Made(status=status)], "adam": losses(0.3, 0.4, 0.5, 0.3, 0.3)}
    check = the_check("lehi < adam", sections(tmp_path / "runs", made))
    assert (check.n, check.outcome, check.center) == (5, "inconclusive", "median")
    assert "lehi: 1 of 5 runs have no val_loss and count as worst" in check.reason


def test_a_diverged_run_saves_nothing_but_has_a_price(tmp_path: Path) -> None:
    made = {"lehi": [Made(), Made(status="diverged", steps=3)], "adam": [Made()] * 2}
    found = sections(tmp_path / "runs", made)
    check = the_check("lehi.passes <= adam", found)
    assert (check.outcome, check.n) == ("true", 1)
    assert "lehi, seed 1: diverged before its end, left out" in check.reason
    assert the_check("lehi.passes_per_step <= adam", found).n == 2


# --- the better side may not lose more runs ---------------------------------------------------------------------------


def twenty(center: float, lost: int = 0) -> list[Made]:
    """Losses around a center, of which the first ones are lost."""
    draws = random.Random(lost)
    return losses(*[math.inf] * lost, *(center * (1 + draws.gauss(0, 0.002)) for _ in range(20 - lost)))


@pytest.mark.parametrize(
    ("text", "lower"), [("lehi <= adam*1.05", "lehi"), ("adam*1.05 > lehi", "lehi"), ("adam < 1.05*lehi", "adam")]
)
def test_two_of_twenty_that_diverge_are_not_true(tmp_path: Path, text: str, lower: str) -> None:
    other = {"lehi": "adam", "adam": "lehi"}[lower]
    found = sections(tmp_path / "runs", {lower: twenty(0.5, lost=2), other: twenty(0.5)})
    check = the_check(text, found)
    assert check.outcome == "inconclusive"
    p = failure_p(2, 0, 20) / 2
    assert check.reason.startswith(f"the better side lost 2 of 20 runs, the other 0 (p = {p:.2g}); --allow-diverged")
    allowed = the_check(text, found, allow_diverged=True)
    assert allowed.outcome == "true"
    assert allowed.reason.startswith("shown over 20 seeds (by ranks, p = ")
    assert exit_code([check]) is Exit.ASSERT_INCONCLUSIVE
    assert exit_code([allowed]) is Exit.OK


def test_failures_that_are_shown_keep_it_from_being_true(tmp_path: Path) -> None:
    lehi, adam = [*losses(*[math.inf] * 6), *twenty(0.4) * 2], (twenty(0.5) * 3)[:46]
    found = sections(tmp_path / "runs", {"lehi": lehi, "adam": adam})
    check = the_check("lehi < adam", found)
    assert (check.outcome, check.n) == ("inconclusive", 46)
    assert "the better side lost 6 of 46 runs, the other 0" in check.reason
    assert the_check("lehi < adam", found, allow_diverged=True).outcome == "true"


def test_who_loses_fewer_runs_may_be_the_better_one(tmp_path: Path) -> None:
    found = sections(tmp_path / "runs", {"lehi": twenty(0.5, lost=1), "adam": twenty(0.6, lost=2)})
    assert the_check("lehi < adam", found).outcome == "true"
    assert the_check("lehi.val_accuracy > 0.5", found).outcome == "inconclusive"  # a number loses no run
    assert the_check("lehi.val_accuracy > 0.5", found, allow_diverged=True).outcome == "true"


# --- what was looked at before ---------------------------------------------------------------------------------------


def looked(section: Section, *earlier: Look) -> Looks:
    """Looks at the pair of the section."""
    check = the_check("lehi < adam", [section])
    assert check.pair
    return Looks({check.pair: earlier})


def test_looks_are_of_the_pair_and_of_one_optimizer_against_a_number(noisy: list[Section]) -> None:
    pairs = {text: the_check(text, noisy).pair for text in ("lehi < adam", "adam > 2*lehi", "lehi < 1", "adam < 1")}
    assert pairs["lehi < adam"] == pairs["adam > 2*lehi"]
    assert len(set(pairs.values())) == 3


def test_other_seeds_than_those_looked_at_decide_nothing(noisy: list[Section]) -> None:
    check = the_check("lehi < adam", noisy, looks=looked(noisy[0], Look([0, 1, 7])))
    assert check.outcome == "inconclusive"
    assert check.reason == OTHER_SEEDS
    assert math.isnan(check.p)
    assert check.interval == (-math.inf, math.inf)
    assert check.difference < 0


def test_the_same_seeds_are_shown_as_they_were(noisy: list[Section]) -> None:
    looks = looked(noisy[0], Look([4, 3, 2, 1, 0]), Look([0, 1, 2, 3, 4, 5]))
    assert the_check("lehi < adam", noisy, looks=looks).p == the_check("lehi < adam", noisy).p


@pytest.mark.parametrize(("adaptive", "share"), [(False, LATER_SHARE), (True, 1.0)])
def test_more_seeds_than_those_looked_at_need_more_evidence(noisy: list[Section], adaptive: bool, share: float) -> None:
    check = the_check("lehi < adam", noisy, looks=looked(noisy[0], Look([0, 1, 2], adaptive)))
    t2 = stats.ttest_rel(LOGS["lehi"], LOGS["adam"]).statistic ** 2
    evidence = 11**-0.5 * ((1 + t2 / 4) / (1 + t2 / 44)) ** 2.5
    assert check.p == pytest.approx(min(1.0, 1 / (0.8 * share * evidence)))
    assert (check.outcome == "true") == (check.p <= 0.05) == (check.interval.high < 0)


# --- at what price ---------------------------------------------------------------------------------------------------


def test_the_price_of_the_left_side_against_the_right_is_told(tmp_path: Path) -> None:
    made = {"lehi": [Made(0.1, passes_per_step=5 / 3)] * 3, "adam": [Made(0.2)] * 3, "sgd": [Made(0.3)] * 3}
    found = sections(tmp_path / "runs", made)
    assert the_check("lehi < adam", found).price == "lehi at 1.67 times adam's price"
    assert the_check("adam > lehi", found).price == "adam at 0.6 times lehi's price"
    assert the_check("sgd > adam", found).price == "at equal price"
    assert the_check("lehi < 0.5", found).price == ""
    assert the_check("lehi.passes_per_step < 2*adam", found).price == ""


# --- the way to a target --------------------------------------------------------------------------------------------


def test_who_arrives_earlier(tmp_path: Path) -> None:
    lehi = [Made(0.1, course=(0.5, 0.2, 0.1)), Made(0.1, course=(0.2, 0.3)), Made(status="diverged")]
    adam = [Made(0.1, course=(0.5, 0.4, 0.4)), Made(0.2, course=(0.5, 0.5, 0.5)), Made(0.1, course=(0.5,))]
    found = sections(tmp_path / "runs", {"lehi": lehi, "adam": adam})
    target = parse_target("val_loss=0.25")
    (check,) = check_all([parse("lehi.steps_to_target < adam")], found, target=target)
    assert check.n == 3  # 20 - 40, 30 - 40, infinite - 20
    assert check.difference == pytest.approx(-10)
    (check,) = check_all([parse("adam.passes_to_target < 45")], found, target=target)
    assert check.difference == pytest.approx((-5 - 5 - 25) / 3)
    assert the_check("adam.steps_to_target < 45", found).n == 2  # the task says 0.11, which seed 1 does not get to


def test_who_was_watched_too_briefly_is_left_out(tmp_path: Path) -> None:
    lehi = [Made(0.1, course=(0.5, 0.5), passes_per_step=3.0), Made(0.1)]
    adam = [Made(0.3, course=(0.5, 0.5)), Made(0.3)]  # at 30 and 10 passes not at the target; lehi at 90 and 30 is
    found = sections(tmp_path / "runs", {"lehi": lehi, "adam": adam})
    target = parse_target("val_loss=0.2")
    (check,) = check_all([parse("lehi.passes_to_target < adam")], found, target=target)
    assert check.n == 1
    assert "seed 0 is left out: a run ended too early to tell when it would have arrived" in check.reason
    (check,) = check_all([parse("lehi.steps_to_target < adam")], found, target=target)
    assert (check.n, check.difference) == (2, -math.inf)


# --- which optimizer, which column, which section -------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> list[Section]:
    return sections(
        tmp_path_factory.mktemp("labelled"),
        {
            "adam:lr=0.01": losses(0.1, 0.2),
            "adam:lr=0.1": losses(0.3, 0.4),
            "po.Yogi": losses(0.5, 0.6),
            "sgd:label=my label": losses(0.7, 0.8),
            "sgd:lr=0.3:label=sgd.val_loss": losses(0.9, 1.0),
        },
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("adam:lr=0.01 < 0", 0.15),
        ("adam:lr=0.01.val_loss < 0", 0.15),
        ("adam:lr=0.1.test_loss < 0", 1.35),
        ("po.Yogi < 0", 0.55),
        ("po.Yogi.val_accuracy < 0", 0.9),
        ("'my label'.val_loss < 0", 0.75),
        ("'my label' < 0", 0.75),
        ("sgd.val_loss < 0", 0.95),  # the longest: a label
        ("sgd.val_loss.test_loss < 0", 1.95),
        ("'adam:lr=0.01' < 0", 0.15),
    ],
)
def test_labels_are_found(labelled: list[Section], text: str, left: float) -> None:
    assert the_check(text, labelled).difference == pytest.approx(left)


UNFIT = [
    ("adma < 1", "unknown optimizer 'adma'; did you mean 'adam'", "adam:lr=0.1, "),
    ("adma.val_loss < 1", "unknown optimizer 'adma'; did you mean 'adam'", "known: "),
    ("po.Yogi.val_accuracy > 90%", "unknown optimizer '90%'", "a number has no unit"),
    ("po.Yogi/2 < 1", "unknown optimizer 'po.Yogi/2'", "write 0.5*lehi for lehi/2"),
    ("adam:lr=0.1-0.5 < 1", "unknown optimizer 'adam:lr=0.1-0.5'", "a minus that subtracts needs a space"),
    ("'po.Yogi.val_loss' < 1", "unknown optimizer 'po.Yogi.val_loss'", "known: "),
    ("po.Yogi.val_los < 1", "unknown column 'val_los'; did you mean 'val_loss'", "val_accuracy"),
    ("po.Yogi < 1 @ val_accurac", "unknown column 'val_accurac'; did you mean 'val_accuracy'", "passes_per_step"),
    ("'po.Yogi'.val_mae < 1", "unknown column 'val_mae'", "val_loss"),
    ("adam < 1", "'adam' means several optimizers of digits", "name one of adam:lr=0.01, adam:lr=0.1"),
]


@pytest.mark.parametrize(("text", "message", "hint"), UNFIT, ids=[case[0] for case in UNFIT])
def test_unknown_names_are_refused(labelled: list[Section], text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        the_check(text, labelled)
    assert message in refused.value.message
    assert hint in refused.value.hint
    assert isinstance(refused.value, UnknownNameError) == message.startswith("unknown")


def test_a_target_nobody_knows_is_refused(labelled: list[Section]) -> None:
    (section,) = labelled
    without = [Series(one.label, [replace(run, target={}) for run in one.runs], one.metrics) for one in section.series]
    with pytest.raises(UsageError, match="passes_to_target: digits has no target"):
        the_check("po.Yogi.passes_to_target < 9", [Section(section.task, section.spec, without)])


def test_a_choice_on_these_very_runs_is_named(labelled: list[Section]) -> None:
    check = the_check("adam > 1", best_of_sections(labelled))
    assert check.difference == pytest.approx((math.log(0.1) + math.log(0.2)) / 2)
    assert "is the best of 2 settings by val_loss, which flatters it" in check.reason


def test_sections_that_lack_an_optimizer_or_a_column_are_skipped(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    sections(root, {"lehi": losses(0.1, 0.2), "adam": losses(0.3, 0.5)})
    sections(root, {"sgd": losses(0.1, 0.2), "adam": losses(0.3, 0.5)}, task="diabetes")
    found = sections(root, {"adam": losses(0.6)}, budget=Budget("steps", 7))
    assert [check.task for check in check_all([parse("lehi < adam")], found)] == ["digits (budget 25 steps)"]
    digits = ["digits (budget 25 steps)", "digits (budget 7 steps)"]
    everywhere = check_all([parse("adam < 9"), parse("adam.val_accuracy > 0")], found)
    assert [check.task for check in everywhere] == [digits[0], "diabetes", digits[1], *digits]
    with pytest.raises(UsageError, match=r"no task has lehi.val_loss and sgd.val_loss"):
        the_check("lehi < sgd", found)


# --- many at once ---------------------------------------------------------------------------------------------------


def test_only_what_is_false_is_adjusted(noisy: list[Section]) -> None:
    texts = ["lehi < adam", "lehi > 0.545", "lehi > 0.53", "adam > 0.57", "lehi.steps <= adam", "adam > 0.62"]
    checks = check_all([parse(text) for text in texts], noisy)
    against = [
        stats.ttest_rel(LOGS["lehi"], LOGS["adam"], alternative="greater").pvalue,
        *(stats.ttest_1samp(LOGS[label], math.log(level), alternative="less").pvalue
          for label, level in (("lehi", 0.545), ("lehi", 0.53), ("adam", 0.57), ("adam", 0.62))),
    ]  # fmt: skip
    against = [min(1.0, p / FIRST_SHARE) for p in against]
    adjusted = multipletests(against, method="holm")[1]
    assert against[1] < 0.05 < adjusted[1]  # so that the test can tell
    assert [check.outcome for check in checks] == [
        "true", "inconclusive", "inconclusive", "inconclusive", "true", "false"
    ]  # fmt: skip
    less = stats.ttest_rel(LOGS["lehi"], LOGS["adam"], alternative="less").pvalue
    assert checks[0].p == pytest.approx(less / FIRST_SHARE)
    assert checks[1].p == pytest.approx(adjusted[1])
    assert checks[1].reason == (
        f"5 seeds speak against it, but not enough (p = {adjusted[1]:.2g}, adjusted for 5 checks)"
    )
    assert checks[5].p == pytest.approx(adjusted[4])
    assert checks[5].reason.endswith("adjusted for 5 checks)")


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["lehi < adam"], Exit.OK),
        (["lehi < adam", "lehi < 0.52"], Exit.ASSERT_INCONCLUSIVE),
        (["lehi < adam", "lehi > adam", "lehi < 0.52"], Exit.ASSERT_FALSE),
        ([], Exit.OK),
    ],
)
def test_the_exit_code_is_the_worst(noisy: list[Section], texts: Sequence[str], code: Exit) -> None:
    assert exit_code(check_all([parse(text) for text in texts], noisy)) is code


def test_the_exit_codes_are_those_documented() -> None:
    assert (Exit.ASSERT_FALSE, Exit.ASSERT_INCONCLUSIVE) == (3, 4)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -1.0])
def test_levels_out_of_range_are_refused(noisy: list[Section], alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        check_all([parse("lehi < adam")], noisy, alpha)


def test_the_level_decides(noisy: list[Section]) -> None:
    (loose,) = check_all([parse("lehi < 0.52")], noisy, 0.4)
    assert loose.outcome == "true"
    d = [value - math.log(0.52) for value in LOGS["lehi"]]
    ends = stats.ttest_1samp(d, 0).confidence_interval(1 - 2 * FIRST_SHARE * 0.4)
    assert loose.interval == pytest.approx((ends.low, ends.high))


# --- under chance alone ---------------------------------------------------------------------------------------------

TRIALS = 800


def drawn(template: Section, draws: random.Random, seeds: int, adaptive: bool = False) -> Section:
    """Runs of equally good optimizers: the loss of a seed is common to both, the rest is noise."""
    common = [draws.gauss(1.0, 0.3) for _ in range(seeds)]

    def series(like: Series) -> Series:
        runs: list[StoredRun] = [replace(like.runs[0], seed=seed, adaptive=adaptive) for seed in range(seeds)]
        values = [value + draws.gauss(0.0, 0.1) for value in common]
        return Series(like.label, runs, [RunMetrics({"split": ["val"], "step": [1], "loss": [v]}) for v in values])

    return Section(template.task, template.spec, [series(like) for like in template.series])


@pytest.mark.parametrize("seeds", [2, 5])
def test_under_equality_hardly_anything_is_true_or_false(noisy: list[Section], seeds: int) -> None:
    draws = random.Random(1)
    both = [parse("lehi < adam"), parse("lehi > adam")]
    found = [check_all(both, [drawn(noisy[0], draws, seeds)]) for _ in range(TRIALS)]
    share = sum(check.outcome == "true" for check, _ in found) / TRIALS
    assert 0.02 < share < 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)
    wrong = sum(any(check.outcome == "false" for check in checks) for checks in found) / TRIALS
    assert 0.02 < wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_seeds_that_were_added_after_a_look_need_more_evidence(noisy: list[Section]) -> None:
    """Looked at after every seed, a test for one look is true far too often; what stays valid is not."""
    draws, assertion = random.Random(2), [parse("lehi < adam")]
    found = {False: 0, True: 0}
    for _ in range(100):
        whole = drawn(noisy[0], draws, 20)
        for adaptive in found:
            looks = [_first(whole, seeds, adaptive) for seeds in range(2, 21)]
            found[adaptive] += any(check_all(assertion, [look])[0].outcome == "true" for look in looks)
    assert found[False] > 12
    assert found[True] <= 5


def _first(section: Section, seeds: int, adaptive: bool) -> Section:
    """The section after its first seeds."""
    return Section(
        section.task,
        section.spec,
        [
            Series(one.label, [replace(run, adaptive=adaptive) for run in one.runs[:seeds]], one.metrics[:seeds])
            for one in section.series
        ],
    )


def test_what_is_clear_is_found_after_looks_too(noisy: list[Section]) -> None:
    check = the_check("lehi < adam", [_first(noisy[0], 5, adaptive=True)])
    assert check.outcome == "true"
    # E of the module's formula with g = 2, t² of scipy, 4/5 of alpha.
    t2 = stats.ttest_rel(LOGS["lehi"], LOGS["adam"]).statistic ** 2
    evidence = 11**-0.5 * ((1 + t2 / 4) / (1 + t2 / 44)) ** 2.5
    assert check.p == pytest.approx(1 / (0.8 * evidence))
    assert check.interval.high < 0
    assert "valid however often one looks" in check.reason

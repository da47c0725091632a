"""Sweeps and tuned comparisons, by the real command on a temporary folder."""

from __future__ import annotations

import json
import math
import os
import pty
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lehi_cli.analysis.arrange import arrange
from lehi_cli.analysis.results import Section
from lehi_cli.analysis.sensitivity import Line, Point, sensitivity
from lehi_cli.experiment import session
from lehi_cli.experiment.request import Request
from lehi_cli.experiment.space import parse_space
from lehi_cli.experiment.tuning import Trial, Tuned, space_of, tune
from lehi_cli.render.document import Figure, Lines, Table
from lehi_cli.render.sensitivity import edge_notes
from lehi_cli.render.tuning import notes
from lehi_cli.render.tuning_curve import comparisons, curves_of, tuning_curve_blocks
from lehi_cli.runs.comparisons import TUNING_SEED as SEED
from lehi_cli.runs.specs import Budget, OptimSpec
from lehi_cli.runs.store import Store

SHORT = ("--task", "digits", "--steps", "10", "--quiet")


def section() -> Section:
    store = Store(Path("runs"))
    (found,) = arrange(store, store.runs())
    return found


def test_a_grid_is_trained_drawn_and_found_again(lehi: Callable) -> None:
    arguments = ("sweep", *SHORT, "--optims", "lehi,adam:label=mine", "--over", "lr=1e-4..1e-1/log4", "--seeds", "2")
    result = lehi(*arguments)
    assert result.code == 0, result.err
    assert len(list(Path("runs").glob("*/run.json"))) == 2 * 4 * 2
    assert "final validation loss against learning rate" in result.out
    assert "best of lehi" in result.out
    assert "mine" in result.out
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/run.json")}
    assert lehi(*arguments).out == result.out
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/run.json")} == before
    report = lehi("report", "--optims", "lehi")
    assert "best of lehi" in report.out


def test_sensitivity_counts_what_diverged(lehi: Callable) -> None:
    result = lehi("sweep", *SHORT, "--optims", "sgd", "--over", "lr=1e-2,1e-1,1,1e30", "--seeds", "2")
    assert result.code == 0, result.err
    (line,) = sensitivity(section())
    assert [point.lr for point in line.points] == [1e-2, 1e-1, 1.0, 1e30]
    assert [point.lost for point in line.points] == [0, 0, 0, 2]
    assert line.joined
    assert line.best is not None
    assert line.best.lr < 1e30
    assert "▲ diverged or failed" in result.out
    assert "2/8" in result.out
    end = line.points[0].value
    runs = [metrics.curve("val", "loss")[1][-3:] for metrics in section().series[0].metrics]
    assert end == pytest.approx(sum(sum(values) / 3 for values in runs) / 2)


def test_the_evaluation_before_the_first_step_is_no_final_value(lehi: Callable) -> None:
    lehi("sweep", *SHORT, "--set", "evaluations=1", "--optims", "adam", "--over", "lr=1e-3,1e-2,1e-1")
    (line,) = sensitivity(section())
    finals = {series.runs[0].options["lr"]: series.final("val", "loss").mean for series in section().series}
    assert {point.lr: point.value for point in line.points} == finals


def points(*values: float) -> list[Point]:
    return [Point(10.0**i, value, 0.0, 0 if math.isfinite(value) else 1, 1) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "best", "decades", "edge"),
    [
        ((2.0, 1.04, 1.0, 1.03, 3.0), 1.0, 2.0, ""),
        ((1.0, 1.2, 2.0), 1.0, 0.0, "lowest"),
        ((3.0, 2.0, 1.0), 1.0, 0.0, "highest"),
        ((1.01, math.nan, 1.0, 2.0), 1.0, 0.0, ""),  # the range must be whole
        ((math.nan, math.nan), None, math.nan, ""),
    ],
)
def test_the_range_of_good_rates(values: tuple[float, ...], best: float | None, decades: float, edge: str) -> None:
    line = Line("adam", points(*values), True, "val_loss")
    assert (line.best.value if line.best else None) == best
    assert line.decades == pytest.approx(decades, nan_ok=True)
    assert line.edge == edge
    assert bool(edge_notes([line])) == bool(edge)


@pytest.mark.parametrize("sampler", ["sobol", "random", "tpe"])
def test_trials(lehi: Callable, sampler: str) -> None:
    result = lehi("sweep", *SHORT, "--optims", "lehi,adam", "--trials", "3", "--sampler", sampler)
    assert result.code == 0, result.err
    assert "tuning, 3 trials each" in result.out
    assert ("expected best validation loss" in result.out) == (sampler != "tpe")
    assert ("trials drawn by tpe depend on each other" in result.out) == (sampler == "tpe")
    assert len(list(Path("runs").glob("*/run.json"))) == 6


def test_tuned_comparison_reports_fresh_seeds_only(lehi: Callable) -> None:
    command = ("compare", *SHORT, "--optims", "lehi,adam:label=mine", "--tune", "3", "--seeds", "2")
    result = lehi(*command, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert [(entry["label"], len(entry["trials"])) for entry in content["tuning"]] == [("lehi", 3), ("mine", 3)]
    (only,) = content["sections"]
    assert only["seeds"] == [0, 1]
    for entry in content["tuning"]:
        best = min(entry["trials"], key=lambda trial: trial["val_loss"])
        (final,) = [series for series in only["series"] if series["label"] == entry["label"]]
        assert {**final["options"], **best["options"]} == final["options"]
    seeds = [json.loads(path.read_text())["spec"]["seed"] for path in Path("runs").glob("*/run.json")]
    assert sorted(seeds) == [0, 0, 1, 1] + [SEED] * 6
    shown = lehi(*command)
    assert "tuning passes" in shown.out
    assert "final passes" in shown.out


def test_new_and_reused_runs_are_counted_apart_from_the_trials(lehi: Callable) -> None:
    short = ("--task", "digits", "--steps", "10", "--optims", "lehi,adam")
    tuned = ("compare", *short, "--tune", "3", "--seeds")
    for seeds, runs, trials in (
        ("2", "4 runs in runs (4 new, 0 reused)", "6 tuning trials (6 new, 0 reused)"),
        ("2", "4 runs in runs (0 new, 4 reused)", "6 tuning trials (0 new, 6 reused)"),
        ("3", "6 runs in runs (2 new, 4 reused)", "6 tuning trials (0 new, 6 reused)"),
    ):
        assert f"{runs}, after {trials}\n" in lehi(*tuned, seeds).err
    sweep = lehi("sweep", *short, "--trials", "3", "--seeds", f"{SEED},")
    assert "6 runs in runs (0 new, 6 reused)\n" in sweep.err


def test_a_task_by_path_is_charged_for_its_final_runs(lehi: Callable) -> None:
    lehi("tasks", "new", "mine")
    command = ("compare", "--task", "mine.yaml", "--optims", "adam,sgd", "--steps", "6")
    result = lehi(*command, "--tune", "2", "--seeds", "2")
    assert result.code == 0, result.err
    rows = [line for line in result.out.splitlines() if line.startswith(("| adam", "| sgd")) and "lr=" in line]
    assert [row.split("|")[-2].strip() for row in rows] == ["12", "12"]


def test_a_plan_can_be_looked_at_first(lehi: Callable) -> None:
    result = lehi("sweep", *SHORT, "--optims", "lehi,adam", "--over", "lr=1e-3,1e-2", "--dry-run")
    assert result.code == 0, result.err
    assert "4 runs: 4 to train, 0 stored" in result.out
    assert "about 53 passes" in result.out  # 2 (10 + 10 * 5/3)
    tuned = lehi("compare", *SHORT, "--optims", "lehi,adam", "--tune", "4", "--dry-run")
    assert "8 runs: 8 to train" in tuned.out
    assert "then 6 runs: the winners on seeds 0, 1, 2" in tuned.out
    adaptive = lehi("sweep", *SHORT, "--optims", "adam", "--trials", "4", "--sampler", "tpe", "--dry-run")
    assert "tpe draws the rest of 4 trials" in adaptive.out
    assert not Path("runs").exists()


def test_a_plan_without_its_data_has_no_estimate(lehi: Callable) -> None:
    result = lehi("compare", "--task", "cifar10", "--optims", "lehi,adam", "--dry-run", "--data-dir", "nowhere")
    assert result.code == 0, result.err
    assert "no estimate: " in result.out


def test_smoke(lehi: Callable) -> None:
    smoke = ("--task", "mnist", "--data-dir", "nowhere", "--smoke", "--quiet", "--set", "batch_size=4")
    for rest in (("sweep", "--over", "lr=1e-3,1e-2"), ("sweep", "--trials", "2"), ("compare", "--tune", "2")):
        result = lehi(rest[0], *smoke, "--optims", "adam,sgd", *rest[1:], "--runs", "-".join(rest[:2]))
        assert result.code == 0, result.err
        assert "FAKE DATA" in result.out


BAD = [
    (("sweep", *SHORT), "needs one of --over and --trials"),
    (("sweep", *SHORT, "--over", "lr=1,2", "--trials", "3"), "needs one of --over and --trials"),
    (("sweep", *SHORT, "--trials", "0"), "at least one is needed"),
    (("sweep", *SHORT, "--trials", "-3"), "at least one is needed"),
    (("sweep", *SHORT, "--trials", "2", "--sampler", "magic"), "--sampler 'magic' is not allowed"),
    (("sweep", *SHORT, "--over", "lr=1,2", "--space", "lr=1..2/lin"), "--space goes with --trials"),
    (("sweep", *SHORT, "--over", "lr=1,2", "--sampler", "tpe"), "--sampler goes with --trials"),
    (("sweep", *SHORT, "--over", "factor=rademacher,sampled"), "'adam' has no option 'factor'"),
    (("sweep", *SHORT, "--over", "lehi.factor=rademacher,magic"), "factor=magic is not allowed"),
    (("sweep", *SHORT, "--over", "sgd.lr=1,2"), "no optimizer 'sgd' here"),
    (("sweep", *SHORT, "--over", "lehii.lr=1,2"), "did you mean 'lehi'"),
    (("sweep", *SHORT, "--over", "lr=1e-1..1e-5/log9"), "empty or reversed"),
    (("sweep", *SHORT, "--over", "lr=0..1/log9"), "must stay above zero"),
    (("sweep", *SHORT, "--over", "lr=1,2", "--over", "lr=3,4"), "given twice"),
    (("sweep", *SHORT, "--over", "lr=1e-5..1e-1/log600"), "more than 200"),
    (("sweep", *SHORT, "--over", "lr=1,2", "--seeds", "1,1"), "given twice"),
    (("sweep", *SHORT, "--trials", "101"), "202 runs to train, more than 200"),
    (("sweep", *SHORT, "--trials", "101", "--sampler", "tpe"), "up to 202 runs to train, more than 200"),
    (("compare", *SHORT, "--seeds", "101"), "202 runs to train, more than 200"),
    (("compare", *SHORT, "--seeds", "auto:101"), "up to 202 runs to train, more than 200"),
    (("compare", *SHORT, "--tune", "98"), "up to 202 runs to train, more than 200"),
    (("train", *SHORT, "--seeds", "201"), "201 runs to train, more than 200"),
    (("compare", *SHORT, "--tune", "0"), "at least one is needed"),
    (("compare", *SHORT, "--tune", "2", "--space", "lr=2..1/lin"), "empty or reversed"),
    (("compare", *SHORT, "--tune", "2", "--space", "momentum=0..1/lin"), "has no option 'momentum'"),
    (("compare", *SHORT, "--tune", "2", "--space", "lr=-1..1/lin"), "lr=-1 is not allowed"),
    (("compare", *SHORT, "--tune", "2", "--space", "sgd.lr=1..2/lin"), "no optimizer 'sgd' here"),
    (("compare", *SHORT, "--space", "lr=1..2/lin"), "--space goes with --tune"),
    (("compare", "--task", "digits,digits", "--steps", "3", "--tune", "2"), "task 'digits' is given twice"),
    (("sweep", *SHORT, "--over", "label=a,b"), "a label is a display name"),
    (("compare", *SHORT, "--tune", "2", "--seeds", str(SEED)+","), "the one that tuning uses"),
    (("compare", *SHORT, "--tune", "2", "--optims", "adam:lr=1e-3,lehi", "--space", "lr=1..2/lin"), "already says"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_gets_one_message_and_leaves_nothing(
    lehi: Callable, arguments: tuple[str, ...], message: str
) -> None:
    result = lehi(*arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not Path("runs").exists()


def test_only_runs_that_have_to_be_trained_are_counted(lehi: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMIT", 3)
    command = ("sweep", *SHORT, "--executor", "mock", "--optims", "adam", "--trials")
    assert lehi(*command, "3").code == 0
    assert lehi(*command, "6").code == 0
    assert lehi(*command, "6", "--no-cache").code == 2
    assert lehi(*command, "10").code == 2
    assert lehi(*command, "10", "--dry-run").code == 0
    assert lehi(*command, "10", "--yes").code == 0


@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_many_runs_are_asked_about(answer: str) -> None:
    theirs, ours = pty.openpty()
    grid = ("--optims", "sgd", "--over", "lr=1e-3..1e-1/log201", "--executor", "mock", "--steps", "1")
    command = [sys.executable, "-m", "lehi_cli", "sweep", "--task", "digits", *grid]
    with subprocess.Popen(command, stdin=ours, stdout=subprocess.DEVNULL, stderr=ours) as process:
        os.close(ours)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(theirs, 1000)
        os.write(theirs, f"{answer}\n".encode())
        while _read(theirs):  # what is not read would block the other side
            pass
    os.close(theirs)
    assert b"that is 201 runs to train, start them? [y/N]" in said
    assert process.returncode == (0 if answer == "y" else 2)
    assert len(list(Path().glob("runs/*/run.json"))) == (201 if answer == "y" else 0)


def _read(terminal: int) -> bytes:
    """What was written to a terminal; nothing when its other side was closed, which Linux calls an error."""
    try:
        return os.read(terminal, 1000)
    except OSError:
        return b""


def test_a_space_is_the_records_changed_by_what_was_given() -> None:
    given = parse_space(["lr=1e-3..1e-2/log", "mine.eps=1e-9..1e-7/log"])
    mine = {item.name: str(item) for item in space_of(OptimSpec("adam", {}, "mine"), given)}
    assert mine["lr"] == "0.001..0.01/log"
    assert mine["eps"] == "1e-09..1e-07/log"
    assert "eps" not in {item.name for item in space_of(OptimSpec("sgd"), given)}
    assert "lr" not in {item.name for item in space_of(OptimSpec("adam", {"lr": 1e-3}), {})}


def tuned(*values: float, name: str = "adam", passes: float = 1.0) -> Tuned:
    space = [item for item in space_of(OptimSpec(name), {}) if item.name == "lr"]
    trials = [Trial(OptimSpec(name, {"lr": 10.0**-i}), v, passes, ("ok",)) for i, v in enumerate(values, start=1)]
    return Tuned("digits", name, OptimSpec(name), space, trials)


EDGES = [  # optimizer, dimension, best value, end, and what widens it
    ("adam", "lr=1e-5..1e-1/log", 0.08, "upper", "--space adam.lr=1e-05..10/log"),
    ("adam", "lr=1e-5..1e-1/log", 0.025, "", ""),
    ("adam", "lr=1e-5..1e-1/log", 1.5e-5, "lower", "--space adam.lr=1e-07..0.1/log"),
    ("adam", "lr=0.1..1.1/lin", 0.14, "lower", "--space adam.lr=0..1.1/lin"),
    ("adam", "lr=0.1..1.1/lin", 0.16, "", ""),
    ("lehi", "curvature_every=1..20/int", 20, "upper", "--space lehi.curvature_every=1..39/int"),
    ("lehi", "curvature_every=1..20/int", 1, "", ""),  # the option itself ends there
    ("lehi", "curvature_every=1..20/int", 18, "", ""),
    ("sfn_fixed", "momentum=0.5..0.9/lin", 0.89, "upper", "--space sfn_fixed.momentum=0.5..0.95/lin"),  # 1 is excluded
]


@pytest.mark.parametrize(("name", "text", "best", "end", "flag"), EDGES)
def test_a_winner_near_an_end_of_its_space_is_named_with_what_widens_it(
    name: str, text: str, best: float, end: str, flag: str
) -> None:
    (item,) = parse_space([text]).values()
    trials = [Trial(OptimSpec(name, {item.name: best}), 1.0, 1.0, ("ok",))]
    found = Tuned("digits", name, OptimSpec(name), [item], trials)
    assert [(edge.end, edge.flag) for edge in found.edges()] == ([(end, flag)] if end else [])
    if end:
        expected = f"{name}: the best {item.name}, {best:g}, lies at the {end} end of {item}; widen it with {flag}"
        assert notes([found]) == [expected]
        ((_, wider),) = parse_space([flag.removeprefix("--space ")]).items()
        space_of(OptimSpec(name), parse_space([flag.removeprefix("--space ")]))  # the option takes both ends
        assert wider.high - wider.low > item.high - item.low


def test_lost_trials_are_counted_and_never_win() -> None:
    some = tuned(math.inf, 2.0, math.inf)
    assert some.lost == 2
    assert some.winner.options == {"lr": 1e-2}
    none = tuned(math.inf, math.inf)
    assert none.best is None
    assert none.winner == OptimSpec("adam", {}, "adam")
    assert not none.edges()


def test_every_optimizer_gets_the_same_trials(tmp_path: Path) -> None:
    counted: list[int] = []
    request = Request(["digits"], [OptimSpec("lehi"), OptimSpec("adam")], [SEED], budget=Budget("steps", 3))
    results = tune(request, {}, 5, "tpe", lambda runs: counted.append(len(runs)), Store(tmp_path), at_once=2)
    assert counted == [4, 4, 2]
    assert [len(result.trials) for result in results] == [5, 5]
    assert all(result.lost == 5 for result in results)  # nothing was trained


def test_identical_optimizers_are_not_said_to_be_ahead_of_each_other() -> None:
    rng, repeats, wrong = random.Random(1), 300, 0
    for _ in range(repeats):
        curves = curves_of([[rng.lognormvariate(0, 1) for _ in range(16)] for _ in range(2)])
        (line, *_) = comparisons(["a", "b"], curves, [500.0, 500.0])
        wrong += "ahead" in line
    assert wrong / repeats <= 0.05


def test_clearly_different_optimizers_are_said_to_be_ahead() -> None:
    rng = random.Random(2)
    good, bad = ([rng.uniform(low, low + 0.2) for _ in range(40)] for low in (0.1, 1.0))
    (line,) = comparisons(["good", "bad"], curves_of([good, bad]), [500.0, 500.0])
    assert line == "good is ahead of bad at 500 to 1500 passes spent on tuning (good 1 to 3 trials, bad 1 to 3 trials)"
    (line,) = comparisons(["bad", "dear"], curves_of([bad, good]), [500.0, 1000.0])
    assert line == "dear is ahead of bad at 1000 to 1500 passes spent on tuning (bad 2 to 3 trials, dear 1 trial)"
    (line,) = comparisons(["a", "b"], curves_of([good, good]), [500.0, 500.0])
    assert line == "the bands of a and b overlap at every number of trials: these 40 trials do not tell them apart"
    (line,) = comparisons(["a", "b"], curves_of([good, good]), [500.0, 600.0])
    assert line.startswith("the bands of a and b overlap at every price: ")
    (line,) = comparisons(["a", "b"], curves_of([good, bad]), [500.0, 1.0])
    assert line == "b and a were not tried at equal price: one trial of a costs more than 40 of b"


def test_the_tuning_curve_is_drawn_against_its_price() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 1.4, math.inf]
    cheap, dear = tuned(*values), tuned(*values, name="lehi", passes=2.0)
    figure, table, lines = tuning_curve_blocks([cheap, dear], "random")
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert isinstance(lines, Lines)
    assert figure.x_label == "passes spent on tuning"
    assert [trace.xs for trace in figure.traces] == [[1, 2, 3, 4, 5, 6], [2, 4, 6, 8, 10, 12]]
    assert "band: 97.5% each" in figure.caption
    assert [row[0] for row in table.rows] == ["1", "2", "4", "6"]
    assert table.rows[0][2].startswith("inf [")
    assert table.caption.endswith("passes of a trial: adam 1, lehi 2")


def test_an_optimizer_whose_trials_took_no_step_has_no_tuning_curve() -> None:
    blocks = tuning_curve_blocks([tuned(1.0, 2.0, 3.0), tuned(*[math.inf] * 3, name="lehi", passes=0.0)], "random")
    assert blocks[-1] == Lines(["no tuning curve of lehi: none of its trials took a step"])
    assert len(tuning_curve_blocks([tuned(*[math.inf] * 3, passes=0.0)], "random")) == 1


def test_a_trial_that_raises_is_a_failed_run(lehi: Callable) -> None:
    Path("fragile.py").write_text(
        "from torch.optim import SGD\n"
        "from lehi_cli.registry.optimizers import Option, OptimizerRecord\n"
        "class Fragile(SGD):\n"
        "    def step(self, closure=None):\n"
        "        if self.param_groups[0]['lr'] > 0.05:\n"
        "            raise RuntimeError('too fast')\n"
        "        return super().step(closure)\n"
        "OPTIMIZERS = [OptimizerRecord('fragile', 'SGD', ':Fragile', options=(Option('lr', 0.01, 'rate'),))]\n"
    )
    space = ("--tune", "4", "--space", "lr=1e-3..1/log", "--seeds", "1")
    result = lehi("compare", *SHORT, "--optims", "./fragile.py,adam", *space)
    statuses = [json.loads(path.read_text())["status"] for path in Path("runs").glob("*/run.json")]
    assert 0 < statuses.count("error") < 4
    assert result.code == 1, result.err

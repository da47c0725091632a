"""Grids and spaces: what they say, what they refuse, and what is drawn from them."""

from __future__ import annotations

import math

import pytest

from lehi_cli.errors import UsageError
from lehi_cli.experiment.space import Search, dimension, grid, parse_axes, parse_space
from lehi_cli.runs.specs import OptimSpec


def test_a_grid_is_every_combination() -> None:
    axes = parse_axes(["lr=1e-3..1e-1/log3", "factor=rademacher,sampled", "adam.eps=1e-8,1e-6"])
    lehi = [str(spec) for spec in grid(OptimSpec("lehi"), axes)]
    assert lehi == [
        f"lehi:factor={factor}:lr={lr}" for lr in ("0.001", "0.01", "0.1") for factor in ("rademacher", "sampled")
    ]
    assert len(grid(OptimSpec("adam"), axes)) == 3 * 2 * 2


def test_labels_tell_settings_apart() -> None:
    specs = grid(OptimSpec("adam", {"eps": 1e-7}, "mine"), parse_axes(["lr=1e-3,1e-2"]))
    assert [spec.label for spec in specs] == ["mine:lr=0.001", "mine:lr=0.01"]
    assert specs[0].options == {"eps": 1e-7, "lr": 1e-3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "malformed"),
        ("lr=", "malformed"),
        ("=1,2", "malformed"),
        ("lr=1e-3", "single value"),
        ("lr=1e-3,1e-3", "given twice"),
        ("lr=1e-1..1e-3/log3", "empty or reversed"),
        ("lr=1e-3..1e-3/log3", "empty or reversed"),
        ("lr=0..1/log3", "must stay above zero"),
        ("lr=-1..1/log3", "must stay above zero"),
        ("lr=1e-3..1e-1/log1", "at least 2 points"),
        ("lr=a..b/log3", "must be numbers"),
    ],
)
def test_malformed_axes_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_axes([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=1e-3", "nothing to choose"),
        ("lr=1e-3..1e-1", "malformed"),
        ("lr=1e-3..1e-1/log9", "malformed"),
        ("lr=1e-1..1e-3/log", "empty or reversed"),
        ("lr=0..1/log", "must stay above zero"),
        ("lr=a..1/log", "must be numbers"),
        ("lr=1..2/cubic", "malformed"),
    ],
)
def test_malformed_dimensions_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_space([text])


def test_an_option_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_space(["lr=1e-3..1/log", "lr=1..2/lin"])
    assert set(parse_space(["lr=1e-3..1/log", "adam.lr=1..2/lin"])) == {("", "lr"), ("adam", "lr")}


def test_what_an_optimizer_fixes_is_no_axis() -> None:
    with pytest.raises(UsageError, match="already says what lr is"):
        grid(OptimSpec("adam", {"lr": 1e-3}), parse_axes(["lr=1e-3,1e-2"]))


SPACE = [dimension("lr", "1e-5..1e-1/log"), dimension("theta", "0..1/lin"), dimension("k", "1..20/int")]
CHOICE = dimension("betas", "0.9/0.99,0.9/0.999")


@pytest.mark.parametrize("sampler", ["sobol", "random", "tpe"])
def test_trials_lie_in_the_space_and_repeat_with_the_seed(sampler: str) -> None:
    drawn = []
    for _ in range(2):
        search = Search(OptimSpec("lehi", {"eps": 1e-7}), [*SPACE, CHOICE], sampler, seed=3)
        specs = []
        for i in range(12):
            specs.append(search.ask())
            search.tell(specs[-1], math.inf if i % 3 else float(i))
        drawn.append(specs)
    assert drawn[0] == drawn[1]
    assert len({str(spec) for spec in drawn[0]}) == 12
    for spec in drawn[0]:
        assert 1e-5 <= spec.options["lr"] <= 1e-1
        assert 0 <= spec.options["theta"] <= 1
        assert spec.options["k"] in range(1, 21)
        assert isinstance(spec.options["k"], int)
        assert spec.options["betas"] in ((0.9, 0.99), (0.9, 0.999))
        assert spec.options["eps"] == 1e-7
    assert [str(spec) for spec in drawn[0]] != [
        str(Search(OptimSpec("lehi"), SPACE, sampler, seed=4).ask()) for _ in drawn[0]
    ]


def test_sobol_points_are_spread_evenly() -> None:
    search = Search(OptimSpec("adam"), SPACE[:1], "sobol", seed=0)
    sixteenths = {int((math.log10(search.ask().options["lr"]) + 5) / 4 * 16) for _ in range(16)}
    assert len(sixteenths) >= 14


def test_tpe_goes_where_it_was_good() -> None:
    search = Search(OptimSpec("adam"), SPACE[:1], "tpe", seed=0)
    for _ in range(40):
        spec = search.ask()
        search.tell(spec, abs(math.log10(spec.options["lr"]) + 3))
    late = [search.ask().options["lr"] for _ in range(10)]
    assert sum(3e-4 < lr < 3e-3 for lr in late) >= 4


def test_a_space_can_run_out() -> None:
    search = Search(OptimSpec("adam"), [CHOICE], "sobol", seed=0)
    assert {str(search.ask()) for _ in range(2)} == {"adam:betas=0.9/0.99", "adam:betas=0.9/0.999"}
    with pytest.raises(UsageError, match="no further point"):
        search.ask()
    with pytest.raises(UsageError, match="nothing to tune"):
        Search(OptimSpec("adam"), [], "sobol", seed=0)


@pytest.mark.parametrize(
    ("text", "upwards", "wider"),
    [
        ("1e-5..1e-1/log", True, "1e-05..10/log"),
        ("1e-5..1e-1/log", False, "1e-07..0.1/log"),
        ("0..2/lin", True, "0..4/lin"),
    ],
)
def test_widening(text: str, upwards: bool, wider: str) -> None:
    assert str(dimension("x", text).widened(upwards)) == wider

"""The price table, to the letter."""

from __future__ import annotations

import json
import math

import pytest

from lehi_cli.analysis.prices import NO_INTERVAL, Price, PriceList
from lehi_cli.render.document import Heading, Lines, Table
from lehi_cli.render.prices import price_blocks, price_content
from lehi_cli.render.table import to_markdown
from lehi_cli.stats.paired import Interval

NAN = math.nan
ADAM = Price("adam", 1.0, 0.9134, Interval(0.9, 0.95), 1.0, Interval(1, 1), 566_500, 8.0, 10, "measured")
LEHI = Price("lehi", 5 / 3, 1.371, Interval(1.3, 1.4), 1.5001, Interval(1.482, 1.519), 671_012, 8.0, 10, "measured")
LBFGS = Price("lbfgs", 20.0, 123.4, Interval(100, 150), 135.2, Interval(120, 150), 11_300_000, 536.2, 10, "measured")
LOST = Price("hf", NAN, NAN, NO_INTERVAL, NAN, NO_INTERVAL, None, NAN, 0, "measured", "not measured: no memory")
MEASURED = PriceList(
    "digits", "cpu", "x86_64", 1, "adam", [LEHI, ADAM, LBFGS, LOST], "measured", "10 rounds", "peak memory: tensors"
)


def test_measured_prices() -> None:
    heading, table, notes = price_blocks(MEASURED)
    assert heading == Heading("price of a step on cpu (x86_64), 1 thread: 10 rounds")
    assert isinstance(table, Table)
    assert to_markdown(table) == (
        """\
| optimizer   |   passes/step |   ms/step |   ratio [95 % interval] |   peak memory |   state B/param |
|-------------|---------------|-----------|-------------------------|---------------|-----------------|
| lehi        |         1.667 |      1.37 |    1.500 [1.482, 1.519] |      671.0 kB |               8 |
| adam        |             1 |     0.913 |                       1 |      566.5 kB |               8 |
| lbfgs       |            20 |       123 |          135 [120, 150] |       11.3 MB |             536 |
| hf          |             - |         - |                       - |             - |               - |"""
    )
    assert table.caption == (
        "passes in gradients (forward + backward), ms: median over the rounds; "
        "ratio of time to adam: geometric mean of the ratios within rounds; peak memory: tensors; "
        "state: bytes that the optimizer keeps per parameter"
    )
    assert notes == Lines(["hf: not measured: no memory"])


def test_prices_of_runs_have_no_peak_memory() -> None:
    runs = [
        Price("lehi", 5 / 3, 1.371, NO_INTERVAL, 1.5, NO_INTERVAL, None, 8.0, 1, "runs"),
        Price("adam", 1.0, 0.9, NO_INTERVAL, 1.0, NO_INTERVAL, None, 8.0, 1, "runs"),
    ]
    prices = PriceList("digits", "cuda", "", None, "adam", runs, "runs", "by the clocks of the runs")
    heading, table = price_blocks(prices)
    assert heading == Heading("price of a step on cuda: by the clocks of the runs")
    assert isinstance(table, Table)
    assert [column.heading for column in table.columns][4:] == ["state B/param"]
    assert [row[3] for row in table.rows] == ["1.5", "1"]
    assert "within seeds" in table.caption
    assert "peak" not in table.caption


@pytest.mark.parametrize(
    ("ratio", "low", "high", "text"),
    [
        (1.5001, 1.482, 1.519, "1.500 [1.482, 1.519]"),
        (1.41, 1.29, 1.53, "1.41 [1.29, 1.53]"),
        (33.9, 28.7, 40.0, "33.9 [28.7, 40.0]"),
        (2.0, 2.0, 2.0, "2.00 [2.00, 2.00]"),
        (0.9, 0.4, 2.4, "0.9 [0.4, 2.4]"),
        (1.5, NAN, NAN, "1.5"),
        (NAN, NAN, NAN, "-"),
    ],
)
def test_a_ratio_has_the_digits_its_interval_allows(ratio: float, low: float, high: float, text: str) -> None:
    price = Price("lehi", 1.0, 1.0, NO_INTERVAL, ratio, Interval(low, high), None, 8.0, 10, "measured")
    table = price_blocks(PriceList("digits", "cpu", "", 2, "adam", [price], "measured", ""))[1]
    assert isinstance(table, Table)
    assert table.rows[0][3] == text


def test_the_content_is_json_without_numbers_that_are_none() -> None:
    content = json.loads(json.dumps(price_content(MEASURED), allow_nan=False))
    lehi, _, _, lost = content.pop("prices")
    assert content == {
        "source": "measured", "how": "10 rounds", "device": "cpu", "device_name": "x86_64", "threads": 1,
        "reference": "adam", "memory": "peak memory: tensors",
    }  # fmt: skip
    assert lehi == {
        "label": "lehi", "passes_per_step": 5 / 3, "ms_per_step": 1.371, "ms_quartiles": [1.3, 1.4], "ratio": 1.5001,
        "ratio_interval": [1.482, 1.519], "peak_bytes": 671_012, "state_bytes_per_parameter": 8.0, "rounds": 10,
        "note": "",
    }  # fmt: skip
    assert (lost["ratio"], lost["ms_quartiles"], lost["peak_bytes"]) == (None, [None, None], None)

"""A small document that has every kind of block, and text that each format has to take care of."""

from __future__ import annotations

import math

from lehi_cli.render.document import Column, Document, Figure, Heading, Lines, Part, Table, Trace

AWKWARD = "a*b|c_d & <é> 50% {x} [y](z) ~1 $2 `c` #1 ^ \\ it's --lr"

CURVES = Figure(
    "task_1: validation <loss>",
    "passes",
    [
        Trace("floor", [0.0, 20.0], [0.4, 0.4], "auxiliary"),
        Trace("lehi", [0.0, 10.0, 20.0], [2.0, 1.0, 0.5], 0, low=[1.9, 0.9, 0.4], high=[2.1, 1.1, math.inf]),
        Trace("a*b|c_d", [0.0, 10.0], [2.0, 1.5], 1, "steps"),
        Trace("", [10.0], [2.0], "lost", "points"),
    ],
    "mean of 3 seeds, band: lowest & highest",
)
FINALS = Figure(
    "task_1: final",
    "val loss",
    [
        Trace("lehi", [0.5], [0], 0, "points", [0.4], [0.6], [[0.45, 0.5, 0.55]]),
        Trace("a*b|c_d", [math.nan], [1], 1, "points", [math.nan], [math.nan], [[]]),
    ],
    rows=["lehi", "a*b|c_d"],
)
EMPTY = Figure("nothing to draw", "passes", [Trace("lehi", [], [], 0)])
SUMMARY = Table(
    [
        Column("optimizer", right=False),
        Column("val loss"),
        Column("val_acc"),
        Column("lr", 1),
        Column("best setting", 1, right=False, wraps=True),
    ],
    [
        ["lehi", "0.082±0.003*", "-0.5", "1e-05", "lr=1e-05 clip=none"],
        ["a*b|c_d", "1.2e-07", "-0.0100 [-0.02, inf]*", "-", "-"],
        [AWKWARD, "-", "<0.0001", "600", "a & b"],
    ],
    "mean±sd, * best, 50% of <n> seeds",
)
VERDICT = Table([Column("optimizer", right=False), Column("verdict", right=False)], [["[lehi]", "better"]])

DOCUMENT = Document(
    [
        Part(
            "task_1 [FAKE DATA]", "60 steps · batch 64", [SUMMARY, Lines([AWKWARD, "- one", "2. two"]), CURVES, EMPTY]
        ),
        Part("task 2", "", [Heading("verdict against a*b|c_d"), VERDICT, Lines(["only one"]), Lines([]), FINALS]),
    ],
    [("command", "lehi report --task task_1 --optims 'a*b|c_d'"), ("data", "task_1 0123abcd FAKE DATA")],
)


def draw(figure: Figure) -> str:
    """Stands in for a drawing: how a figure looks in characters is tested elsewhere."""
    points = sum(len(trace.xs) for trace in figure.traces)
    return f"┌─ {figure.x_label} ─┐  \n│ {points} points ```` │" if points else ""

"""Write the table of what was tested of pytorch-optimizer: `python tools/tested_pytorch_optimizer.py`.

Every optimizer that the installed version offers is either refused, with the reason, or built and driven for some steps
the way the training loop would. The table is written when the weights of all of these moved and stayed finite.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from lehi_cli.conformance.candidate import Candidate
from lehi_cli.conformance.problems import all_finite, equal, small
from lehi_cli.registry import pytorch_optimizer_names as names
from lehi_cli.registry import pytorch_optimizer_tested as tested

PATH = Path(tested.__file__).with_name(tested.TABLE)
STEPS = 20  # some collect gradients before they move: AdaShift ten of them


def table() -> str:
    """The table of the installed version, as text."""
    optimizers = {name: names.driving(name) for name in names.names()}
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(how)}" for name, how in optimizers.items())
    return f'{{\n "version": {json.dumps(tested.installed())},\n "optimizers": {{\n{rows}\n }}\n}}\n'


def failures() -> list[str]:
    """The optimizers that are not refused and cannot be trained with, each with the reason."""
    driven = [name for name in names.names() if "refused" not in names.driving(name)]
    return [f"{name}: {why}" for name in driven if (why := failure(name))]


def failure(name: str) -> str:
    """Why one cannot be trained with at its defaults; empty when it can."""
    problem, candidate = small(), Candidate(names.find(names.PREFIX + name))
    before = problem.weights()
    try:
        candidate.train(problem, candidate.on(problem), STEPS)
    except Exception as error:  # the package's own code may raise anything
        return f"{type(error).__name__}: {error}"
    after = problem.weights()
    if not all_finite(after):
        return "weights are NaN or infinite"
    return "no weight has moved" if equal(before, after) else ""


def main() -> None:
    """Write the table, or say which optimizers stand in the way and exit with 1."""
    warnings.simplefilter("ignore")
    if found := failures():
        sys.exit("\n".join(["not written; these need a rule in pytorch_optimizer_names:", *found]))
    PATH.write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    main()

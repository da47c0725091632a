"""The CI gate: assertions about stored runs that hold, do not hold, or cannot be told.

    lehi < adam @ val_loss
    lehi <= 1.02*adam
    lehi.val_accuracy > 0.95

How an assertion is written is told in `lehi_cli.gate.expression`, what its columns are in `lehi_cli.gate.quantity`, and
when it holds in `lehi_cli.gate.check`.
"""

from .binding import check_names
from .check import Check, check_all, exit_code, undecided
from .expression import Assertion, parse

__all__ = ["Assertion", "Check", "check_all", "check_names", "exit_code", "parse", "undecided"]

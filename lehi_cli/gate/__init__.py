"""The CI gate: assertions about stored runs that hold, do not hold, or cannot be decided.

    lehi < adam @ val_loss
    lehi <= 1.02*adam
    lehi.val_accuracy > 0.95

`lehi_cli.gate.expression` defines how an assertion is written, `lehi_cli.gate.quantity` its columns, and
`lehi_cli.gate.check` when it holds.
"""

from .binding import check_names
from .check import Check, check_all, exit_code, undecided
from .expression import Assertion, parse

__all__ = ["Assertion", "Check", "check_all", "check_names", "exit_code", "parse", "undecided"]

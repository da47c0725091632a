"""What every task and every optimizer must do before its results mean anything.

There is one suite for the built-in ones and a user's own: `lehi tasks check` and `lehi optims check` run it, and so do
the tests. Each check is a small function that returns what it found, or raises `NonconformityError` to say what is
wrong, or `NotAskedError` to say why it does not apply.
"""

from .findings import Finding, NonconformityError, NotAskedError
from .optimizers import check_optimizer
from .tasks import check_task

__all__ = ["Finding", "NonconformityError", "NotAskedError", "check_optimizer", "check_task"]

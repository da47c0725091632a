"""What every task and every optimizer must do before its results mean anything.

One suite for ours and for a user's: `lehi tasks check` and `lehi optims check` run it, and so do the tests. Each check
is a small function that says what it found, or raises `NonconformityError` with what is wrong, or `NotAskedError` with
why it cannot be asked.
"""

from .findings import Finding, NonconformityError, NotAskedError
from .optimizers import check_optimizer
from .tasks import check_task

__all__ = ["Finding", "NonconformityError", "NotAskedError", "check_optimizer", "check_task"]

"""When the rows of a running run are written, so that others can see them: often at first, then rarely.

Each write is a shard of its own. They are `LEAST` apart, and once a run is older at least `SHARE` of its age, which
makes 20 in the first 40 seconds, 217 in a week, and none in a run that is shorter than `LEAST`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST = 2.0  # seconds
SHARE = 0.05


class Pace:
    """Tells when to write, counting from its construction.

    Args:
        now: returns the time, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._since = now()
        self._next = self._since + LEAST

    def due(self) -> bool:
        """Whether it is time to write; if so, not again for a while."""
        now = self._now()
        if now < self._next:
            return False
        self._next = now + max(LEAST, SHARE * (now - self._since))
        return True

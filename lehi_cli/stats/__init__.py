"""Statistics of repeated runs: pure functions, one idea per module.

The means that every table needs are exported here; the tests, curves and verdicts are imported from their modules.
numpy and scipy are imported inside functions, because `lehi --help` does without them.
"""

from lehi_cli.stats.summary import Estimate, estimate

__all__ = ["Estimate", "estimate"]

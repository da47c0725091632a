"""Imports that nearly every run needs, for a process from which others are forked.

torch's optimizers import `torch._dynamo` at their first step, which takes as long as importing torch.
"""

import pyarrow.parquet  # noqa: F401
import torch._dynamo  # noqa: F401

from . import worker  # noqa: F401

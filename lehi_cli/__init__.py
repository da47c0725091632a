"""Is this optimizer better than that one, on my task, at the same price, and how sure can I be?

    import lehi_cli as lehi

    result = lehi.compare(task="digits", optims="lehi,adam", seeds=3)
    print(result)
    result.assert_true("lehi <= adam*1.05 @ val_loss")

`compare`, `sweep`, `train` and `report` do what the verbs of the command line do, and return a `Result`. A progress
callback is called with `Progress` events. `Task`, `Optimizer` and `Options` are the types of their arguments. The
optimizers are in `lehi_cli.optim`, the losses in `lehi_cli.curvature`, the errors in `lehi_cli.errors`. The import
itself is light: PyTorch and the rest are loaded by the first call that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.options import Options
    from .api.progress import Progress
    from .api.result import PairVerdict, Result
    from .api.subjects import Optimizer, Task
    from .api.verbs import compare, report, sweep, train
    from .errors import LehiError

from .version import __version__

__all__ = [
    "LehiError",
    "Optimizer",
    "Options",
    "PairVerdict",
    "Progress",
    "Result",
    "Task",
    "__version__",
    "compare",
    "report",
    "sweep",
    "train",
]

_PLACES = {
    "LehiError": "errors",
    "Optimizer": "api.subjects",
    "Options": "api.options",
    "PairVerdict": "api.result",
    "Progress": "api.progress",
    "Result": "api.result",
    "Task": "api.subjects",
    "compare": "api.verbs",
    "report": "api.verbs",
    "sweep": "api.verbs",
    "train": "api.verbs",
}


def __getattr__(name: str) -> Any:
    """A name of the API, imported at its first use."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The identity of code: a hash that changes when the code behind a reference may compute something else.

`closure` finds the definitions that the code reaches, `outline` reads them from the source, and `canonical` writes them
so that comments, docstrings and layout do not count. Nothing is imported: the code may need torch, this must not.
"""

from .history import first_name
from .identity import code_hash, forget_sources, modules_reached, own_files

__all__ = ["code_hash", "first_name", "forget_sources", "modules_reached", "own_files"]

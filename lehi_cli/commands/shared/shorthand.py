"""`lehi optims adam` for `lehi optims show adam`: a name that stands alone is shown."""

from __future__ import annotations

from typing import Any

from .once import OnceGroup


class ShowGroup(OnceGroup):
    """A group of commands in which a single word that is not a command is shown by `show`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, with `show` in front of a name that stands alone."""
        if len(args) == 1 and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["show", *args]
        return super().parse_args(ctx, args)

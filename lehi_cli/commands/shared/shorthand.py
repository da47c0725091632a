"""Shorthands: `lehi optims adam` for `lehi optims show adam`, `lehi runs --json` for `lehi runs list --json`."""

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


class ListGroup(ShowGroup):
    """A group in which options without a command are options of `list`, and a name may have options of `show`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse after inserting `list` or `show` before what is not a command."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["list" if args[0].startswith("-") else "show", *args]
        return super().parse_args(ctx, args)

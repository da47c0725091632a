"""Refuse an option that takes one value if it is given twice: the parser would silently take the last."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from lehi_cli.errors import UsageError

if TYPE_CHECKING:
    import typer


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, then look for overwritten options."""
        typed = list(args)  # the parser empties its argument
        rest = super().parse_args(ctx, args)
        _refuse_repeated(self, ctx, typed)
        return rest


class OnceGroup(TyperGroup):
    """A group of commands that refuses one of its own options given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, then look for overwritten options."""
        typed = list(args)
        rest = super().parse_args(ctx, args)
        _refuse_repeated(self, ctx, typed)
        return rest


def each_option_once(app: typer.Typer) -> None:
    """Make every command of an application, including its groups, refuse options given twice."""
    for command in app.registered_commands:
        command.cls = OnceCommand
    for group in app.registered_groups:
        own = group.typer_instance.info.cls if group.typer_instance is not None else None
        group.cls = own if isinstance(own, type) and issubclass(own, OnceGroup) else OnceGroup
        if group.typer_instance is not None:
            each_option_once(group.typer_instance)


def _refuse_repeated(command: OnceCommand | OnceGroup, ctx: Any, args: list[str]) -> None:
    """Check that no option that takes one value was given twice; flags may be repeated.

    Raises:
        UsageError: naming the option.
    """
    _, _, order = command.make_parser(ctx).parse_args(args)
    for option, count in Counter(order).items():
        if count > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag):
            how = "separate several with commas" if option.name in ("task", "optims", "seeds") else "give it once"
            raise UsageError(f"{option.opts[0]} takes one value, but is given {count} times", how)

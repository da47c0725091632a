"""Several options as one value of a command: typer sees an option for each field, the command gets the whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

Arrange = Callable[[Sequence[inspect.Parameter], Sequence[inspect.Parameter], int], Sequence[inspect.Parameter]]


def in_place(
    own: Sequence[inspect.Parameter], options: Sequence[inspect.Parameter], place: int
) -> list[inspect.Parameter]:
    """The options where the value stands among the command's own."""
    return [*own[:place], *options, *own[place:]]


def spread(
    command: Callable[..., None], name: str, kind: type, options: Mapping[str, Any], arrange: Arrange = in_place
) -> Callable[..., None]:
    """Turn one parameter of a command into an option for each field of its dataclass.

    Args:
        command: takes the value.
        name: of the parameter.
        kind: the dataclass.
        options: by field, how it is given on the command line, in the order of the help.
        arrange: the order of the command's own parameters and these, from the place the value has among its own.
    """

    @wraps(command)
    def flat(**values: Any) -> None:
        whole = kind(**{key: value for key, value in values.items() if key in options})
        command(**{name: whole}, **{key: value for key, value in values.items() if key not in options})

    hints = get_type_hints(command, include_extras=True)
    listed = list(inspect.signature(command).parameters)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != name
    ]
    parameters = arrange(own, _parameters(kind, options), listed.index(name))
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _parameters(kind: type, options: Mapping[str, Any]) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters for typer."""
    hints, defaults = get_type_hints(kind), {item.name: item.default for item in fields(kind)}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if defaults[name] is MISSING else defaults[name],
            annotation=Annotated[hints[name], option],
        )
        for name, option in options.items()
    ]

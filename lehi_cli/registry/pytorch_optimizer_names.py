"""Any optimizer of the package pytorch-optimizer, as `po.<Name>`.

What can be known of one is read from its source: the options from the signature of its constructor, their meaning from
the docstring, how it must be driven from what its class calls. Nothing is imported, neither the package nor torch. One
that does not fit a training loop with one model, one loss and one learning rate is refused, with the reason.

These rules are tried out for each version that `pytorch_optimizer_tested.json` names; with any other version a record
carries a notice, see `pytorch_optimizer_tested`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lehi_cli.errors import PluginError, UnknownNameError, UsageError
from lehi_cli.runs.specs import Value

from . import plugins, pytorch_optimizer_tested
from .record import OptimizerRecord, Option

PREFIX = "po."
PACKAGE = "pytorch_optimizer"
_ROOT = f"{PACKAGE}.optimizer"
_LEFT_OUT = ("maximize",)  # it would turn training upside down
_TYPES = ("float", "int", "bool", "str")

_REFUSED = {
    "LOMO": "updates the weights during the backward pass and has no step",
    "AdaLOMO": "updates the weights during the backward pass and has no step",
    "DynamicLossScaler": "is no optimizer",
    "RotoGrad": "is no optimizer",
    "SpectralSphere": "takes matrices only",
}
"""What the source shows too indirectly; everything else is refused by a rule."""


@dataclass(frozen=True)
class _Class:
    """A class of the package: its module and its syntax."""

    module: str
    node: ast.ClassDef

    def method(self, name: str) -> ast.FunctionDef | None:
        """The method called `name`, if it is the class's own."""
        return next((n for n in self.node.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def find(name: str) -> OptimizerRecord:
    """The record of `po.<Name>`, with a notice where the installed version of the package was not tested.

    Raises:
        UnknownNameError: when the package has no such optimizer.
        UsageError: when it has, and it cannot be trained with here; with the reason.
        PluginError: when the package is not installed.
    """
    wanted = name.removeprefix(PREFIX)
    known = names()
    if wanted not in known:
        raise UnknownNameError("optimizer", name, [PREFIX + other for other in known])
    found = _class(wanted, _ROOT)
    reason = _reason(wanted, found)
    if found is None or reason:
        raise UsageError(f"{name} cannot be used: {wanted} {reason}", "lehi optims lists what can")
    record = _record(name, wanted, found)
    return replace(record, notice=pytorch_optimizer_tested.notice(wanted, _driven(record)))


def driving(name: str) -> dict[str, Any]:
    """How the training loop drives `name`, or `{"refused": reason}`: an entry of the table of what was tested."""
    found = _class(name, _ROOT)
    reason = _reason(name, found)
    return {"refused": reason} if found is None or reason else _driven(_record(PREFIX + name, name, found))


def _driven(record: OptimizerRecord) -> dict[str, Any]:
    """What the rules read from the source and nothing states: kind, first argument, and whether it has modes."""
    return {"kind": record.kind, "takes": record.takes, "modes": record.modes}


def _reason(wanted: str, found: _Class | None) -> str:
    """Why it cannot be used; empty when it can."""
    if names()[wanted]:
        return f"is torch's own: write {wanted.lower()}"
    return _REFUSED.get(wanted) or (_unsuitable(found) if found else "is no class")


@cache
def names() -> dict[str, bool]:
    """The optimizers that the package offers, and whether each is only passed on from torch.

    Raises:
        PluginError: when the package is not installed.
    """
    tree = _tree(_ROOT)
    imported = dict(_imports(tree))
    offered = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return {
        name: imported[name] == "torch.optim" for name in sorted(offered) if name in imported and not name.islower()
    }


@cache
def _tree(module: str) -> ast.Module:
    try:
        return ast.parse(plugins.locate(module).read_text(encoding="utf-8"))
    except PluginError as error:
        raise PluginError(f"{PREFIX}<Name> needs the package pytorch-optimizer: {error.message}", error.hint) from None


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that a module imports, with the modules they come from."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, node.module) for alias in node.names)


def _class(name: str, module: str) -> _Class | None:
    """The class `name`, wherever `module` has it from."""
    tree = _tree(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(module, node)
    source = dict(_imports(tree)).get(name, "")
    return _class(name, source) if source.startswith(PACKAGE) else None


def _unsuitable(found: _Class) -> str:
    """Why the training loop cannot use it; empty when it can."""
    parameters, options = _parameters(found)
    needed = [name for name in parameters if name not in options]
    if any("optimizer" in name for name in needed):
        return "wraps another optimizer"
    if "use_muon" in ast.unparse(found.node):
        return "wants its parameters sorted into groups with use_muon: write muon"
    if "lora" in found.node.name.lower():
        return "is for pairs of LoRA factors"
    if "process_group" in options or "Distributed" in found.node.name:
        return "needs several processes"
    if needed[1:]:
        return f"must be told {', '.join(needed[1:])}, which nothing here knows"
    if options.get("lr", "none") in ("none", "None"):
        return "has no learning rate of its own for a schedule to act on"
    return ""


def _parameters(found: _Class) -> tuple[list[str], dict[str, str]]:
    """The constructor's parameters in their order, and the source of their defaults."""
    constructor = found.method("__init__")
    if constructor is None:
        return [], {}
    arguments = constructor.args.args[1:]
    defaults = constructor.args.defaults
    with_default = arguments[len(arguments) - len(defaults) :]
    options = {a.arg: ast.unparse(d) for a, d in zip(with_default, defaults, strict=True)}
    return [argument.arg for argument in arguments], options


def _record(name: str, wanted: str, found: _Class) -> OptimizerRecord:
    source = ast.unparse(found.node)
    kind = "gradient"
    if "compute_hutchinson_hessian" in source:
        kind = "differentiable"
    elif "NoClosureError" in source:
        kind = "closure"
    passes = {"gradient": "1", "differentiable": "1 to 3", "closure": "1 or more"}[kind]
    options = tuple(_options(found))
    rate = next((option.default for option in options if option.name == "lr"), None)
    summary = (ast.get_docstring(found.node) or wanted).partition("\n")[0].rstrip(".")
    return OptimizerRecord(
        name,
        summary[0].lower() + summary[1:],
        f"{PACKAGE}:{wanted}",
        options,
        kind=kind,
        takes="model" if _parameters(found)[0][:1] == ["model"] else "parameters",
        passes=passes,
        state="",
        source=f"{found.module} of pytorch-optimizer",
        space={"lr": f"{rate / 100:g}..{rate * 100:g}/log"} if isinstance(rate, float) else {},
        modes=found.method("eval") is not None and found.method("train") is not None,
        draws=True,  # which of them draw is not told; a stream of its own does the others no harm
    )


def _options(found: _Class) -> Iterator[Option]:
    """The options whose defaults and types are plain values; the others keep their defaults."""
    constructor = found.method("__init__")
    if constructor is None:
        return
    meanings = _meanings(ast.get_docstring(found.node) or "")
    annotations = {a.arg: ast.unparse(a.annotation) for a in constructor.args.args if a.annotation}
    for name, text in _parameters(found)[1].items():
        if name in _LEFT_OUT:
            continue
        try:
            default = ast.literal_eval(text)
        except ValueError:
            continue
        option = _option(name, default, annotations.get(name, ""), meanings.get(name, ""))
        if option is not None:
            yield option


def _option(name: str, default: Any, annotation: str, meaning: str) -> Option | None:
    """One option, of the first plain type its annotation names; None where that is none."""
    kinds = [part for part in re.split(r"\W+", annotation) if part in _TYPES]
    choices: tuple[Value, ...] = ()
    if isinstance(default, tuple):
        numbers = all(part is None or (isinstance(part, int | float) and part is not True) for part in default)
        return Option(name, default, meaning) if numbers else None
    if default is None:
        return Option(name, None, meaning, type=kinds[0]) if kinds else None
    if isinstance(default, int) and not isinstance(default, bool) and kinds[:1] == ["float"]:
        default = float(default)
    if annotation.startswith("Literal["):
        choices = tuple(ast.literal_eval(annotation.removeprefix("Literal")))
    return Option(name, default, meaning, choices)


def _meanings(docstring: str) -> dict[str, str]:
    """What the section `Args:` of a docstring says of each argument, each on one line."""
    section = re.split(r"\n\n(?=\S)", docstring.partition("Args:\n")[2])[0]
    entries = re.findall(r"^    (\w+)(?: \([^)]*\))?: (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: _lowered(" ".join(text.split()).rstrip(".")) for name, text in entries}


def _lowered(text: str) -> str:
    """Without the capital of a sentence, unless the first word is a name."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]

"""What all of this project's optimizers share: checks of their arguments, and complete copies and checkpoints."""

from abc import ABC
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from lehi_cli.optim.options import CONVENTIONS, Rule, check_options

DENSE = "make the embedding that they come from with sparse=False"
_TORCHS_OWN = ("_optimizer", "_zero", "step")

# In a compiled step, Python counters would become constants. torch.compiler.disable does the same as this, but imports
# the compiler along with every module in which it decorates a function.
eager = _disable_dynamo


class CheckedOptimizer(torch.optim.Optimizer, ABC):
    """A `torch.optim.Optimizer` that refuses options it does not have and parameters it cannot move.

    Everything that decides its next step is in `state` and `param_groups`, so hooks on `load_state_dict`, and programs
    that take checkpoints apart, see all of it. Keys of a group that are not options stay with the group, as in torch.

    Attributes:
        RULES: the values each option may have; a subclass's rules include its parents'.
        SHARED: options that have one value for all groups, so that a group cannot set them.
        LAYOUT: options that decide what the state contains; they must equal the saved ones when a state is loaded.
    """

    RULES: ClassVar[Mapping[str, Rule]] = {}
    SHARED: ClassVar[frozenset[str]] = frozenset()
    LAYOUT: ClassVar[tuple[str, ...]] = ()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as in torch, with its options checked.

        Raises:
            ValueError: for an option that is out of range, cannot be set by a group or looks misspelt, and for
                parameters on the meta device.
            TypeError: for complex parameters.
        """
        check_options({**self.defaults, **param_group}, {**CONVENTIONS, **self.RULES})
        self._check_names(param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_params(group["params"])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        group |= {name: self.param_groups[0][name] for name in self.SHARED & set(self.param_groups[0])}
        # In-place operations take 0-dim tensors only; as views, these follow in-place changes of the user's tensor.
        group |= {name: group[name].squeeze() for name in self.defaults if isinstance(group[name], Tensor)}

    def _add_defaults(self, **options: Any) -> None:
        """Add a subclass's own options to its parent's, once the parent is constructed.

        Raises:
            ValueError: for an option that is out of range.
        """
        self.defaults |= options
        for group in self.param_groups:
            group |= {**options, **group}
            check_options(group, self.RULES)

    def _check_names(self, param_group: Mapping[str, Any]) -> None:
        name = type(self).__name__
        for key in set(param_group) & self.SHARED:
            if key not in self.defaults or param_group[key] != self.defaults[key]:
                raise ValueError(f"{key} is one for all groups of {name}: give it to the constructor")
        foreign = _names_elsewhere() - set(self.RULES)
        for key in sorted(set(param_group) - set(self.defaults) - set(CONVENTIONS) - {"params"}):
            close = get_close_matches(key, self.defaults, 1, cutoff=0.85)
            if key in foreign or close:
                meant = f"; did you mean {close[0]}?" if close else "."
                raise ValueError(
                    f"{name} has no option {key!r}{meant} A group may set {', '.join(self._group_options)}"
                )

    @property
    def _group_options(self) -> list[str]:
        return sorted(set(self.RULES) - self.SHARED)

    def _set_all(self, **values: Any) -> None:
        for group in self.param_groups:
            group |= values

    def _only_prepares(self, closure: object) -> bool:
        """Whether a step only creates state for torch.distributed.checkpoint to fill: no closure, no state, lr 0."""
        return closure is None and not self.state and all(group["lr"] == 0 for group in self.param_groups)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state as torch does, hooks included; the next step is the one the saved optimizer would have taken.

        Raises:
            ValueError: when `state_dict` comes from another kind of optimizer, or from one whose state has other parts.
        """
        final: list[dict[str, Any]] = []

        def look(_: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
            self._check_state_dict(state_dict)
            final.append(state_dict)

        # Runs after the user's pre-hooks and before the user's post-hooks.
        handles = [
            self.register_load_state_dict_pre_hook(look),
            self.register_load_state_dict_post_hook(lambda _: self._restore(final[0]), prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def _restore(self, state_dict: dict[str, Any]) -> None:
        """Repair what torch's loading does to the state; `state_dict` is as the hooks left it."""

    def _saved_states(self, state_dict: Mapping[str, Any]) -> Iterator[tuple[Tensor, Mapping[str, Any]]]:
        """Each parameter that has a state in `state_dict`, with that state, matched as torch does."""
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for p, place in zip(group["params"], saved["params"], strict=True):
                if place in state_dict["state"]:
                    yield p, state_dict["state"][place]

    def _check_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        foreign = _names_elsewhere() - set(self.RULES)
        # When the numbers of groups differ, torch itself raises.
        for own_group, group in zip(self.param_groups, state_dict["param_groups"], strict=False):
            name = f"this state_dict is not that of a {type(self).__name__}"
            missing = sorted(set(self.defaults) - set(group))
            if missing:
                raise ValueError(f"{name}: it has no {', '.join(missing)}")
            others = sorted(foreign & set(group) - set().union(*self.param_groups))
            if others:
                raise ValueError(f"{name}: it has {', '.join(others)}")
            for option in self.LAYOUT:
                own = own_group[option]
                if group[option] != own:
                    raise ValueError(f"{option} is {own!r} here, and was {group[option]!r} where the state was saved")

    def _refuse_sparse(self, grads: Iterable[Tensor | None]) -> None:
        if any(grad is not None and grad.is_sparse for grad in grads):
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients: {DENSE}")

    def _named(self, params: Sequence[Tensor]) -> str:
        """The parameters in words: by name if the optimizer was given names, otherwise by position and shape."""
        places = {
            p: group["param_names"][i] if "param_names" in group else f"{i} of group {k} {list(p.shape)}"
            for k, group in enumerate(self.param_groups)
            for i, p in enumerate(group["params"])
        }
        names = [places[p] for p in params[:5]]
        more = f" and {len(params) - 5} more" if len(params) > 5 else ""
        return f"parameter{'s' if len(params) > 1 else ''} {', '.join(names)}{more}"

    def __getstate__(self) -> dict[str, Any]:
        # For copies and pickles. Hooks are left out, as in torch, and so is a `step` that a scheduler has wrapped.
        own = {name: value for name, value in self.__dict__.items() if not name.startswith(_TORCHS_OWN)}
        return {**own, **super().__getstate__()}


def shared_option(name: str, doc: str) -> Any:
    """A property that reads an option shared by all groups."""

    def read(optimizer: CheckedOptimizer) -> Any:
        return optimizer.param_groups[0][name]

    return property(read, doc=doc)


def _names_elsewhere() -> set[str]:
    """The options of all of this project's optimizers."""
    names: set[str] = set()
    classes = [CheckedOptimizer]
    while classes:
        kind = classes.pop()
        names |= set(kind.RULES)
        classes += kind.__subclasses__()
    return names


def _check_params(params: list[Tensor]) -> None:
    if any(p.is_complex() for p in params):
        raise TypeError("complex parameters are not supported: pass torch.view_as_real(parameter)")
    if any(p.is_meta for p in params):
        raise ValueError(
            "parameters on the meta device have no values: give the model some first, model.to_empty(device=...)"
        )

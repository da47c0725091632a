"""How to tell whether gradients were cleared behind an optimizer's back.

A sample that waits for its step belongs to gradients that wait for it too. When those are cleared elsewhere (a step was
skipped, `model.zero_grad()` was called), the sample has to go as well. One gradient, remembered as the last backward
pass left it, is enough to tell: autograd adds to it in place.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor


class Witness:
    """One gradient, as it was after the last backward pass."""

    def __init__(self) -> None:
        self._param: Tensor | None = None
        self._grad: Tensor | None = None
        self._version = -1

    def forget(self) -> None:
        """Drop the gradient."""
        self._param = self._grad = None

    def look(self, params: Iterable[Tensor]) -> None:
        """Remember the gradient of the first of `params` that has one."""
        self._param = next((p for p in params if p.grad is not None), None)
        self._grad = None if self._param is None else self._param.grad
        self._version = version(self._grad)

    def was_cleared(self, params: Sequence[Tensor], in_place: bool) -> bool:
        """Whether the gradients of `params` have been cleared since.

        Args:
            params: all parameters that may have gradients.
            in_place: whether gradients only change in place; code that averages them over ranks may replace them.

        Raises:
            RuntimeError: when they were replaced and it is impossible to tell.
        """
        grads = [p.grad for p in params if p.grad is not None]
        if not grads:
            return True
        if self._param is None or not changed(self._param, (self._grad, self._version)):
            return False
        if not any(bool(grad.any()) for grad in grads):
            return True
        if in_place and self._param.grad is not self._grad:
            raise RuntimeError(
                "the gradients are not those of the last backward pass, whose curvature sample waits for its step: "
                "call optimizer.zero_grad() before the first backward pass of a step, not model.zero_grad()"
            )
        return False


def version(grad: Tensor | None) -> int:
    """How often a gradient was changed in place; -1 if there is none."""
    local = getattr(grad, "_local_tensor", grad)  # a DTensor's own counter never changes
    return -1 if local is None else local._version


def changed(p: Tensor, before: tuple[Tensor | None, int]) -> bool:
    """Whether the gradient of `p` is not the tensor in `before`, or has changed in place since."""
    return p.grad is not before[0] or version(p.grad) != before[1]


def seen(params: Iterable[Tensor]) -> list[tuple[Tensor, tuple[Tensor | None, int]]]:
    """`params` with their current gradients, for `changed`."""
    return [(p, (p.grad, version(p.grad))) for p in params]

"""The long way of a call: from a caller's arguments to those results that are asked for."""

from typing import Any, TypeAlias

from fastloss import dispatch
from fastloss.arrays import disjoint, operands
from fastloss.definition import Definition

# An output that nobody asks for; one that is None is asked for as a new array.
ABSENT = ()

Triple: TypeAlias = tuple[Any, Any, Any]


def compute(
    loss: Definition,
    given: Triple,
    device: str | None,
    outs: Triple,
    total: bool = False,
    slot: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """Give total, value, gradient and curvature; what is not asked for, as anything.

    Parameters
    ----------
    loss : Definition
    given : tuple
        Input, target, and weight or None.
    device : str or None
    outs : tuple
        What takes value, gradient and curvature: an array, None for a new one, ``ABSENT`` for none.
    total : bool
        Whether there is a sum or mean.
    slot : array or None
        What takes it; None for a Python number.

    Raises
    ------
    TypeError, ValueError
        As :meth:`fastloss.Loss.value_and_grad`.
    """
    done = dispatch.at_once(loss, loss._mean, given, device, outs, total, slot)
    if done is not None:
        return done
    lazy = dispatch.lazily(given)
    if lazy is not None:
        results: tuple[Any, Any, Any, Any] = lazy.compute(loss, given, device, outs, total, slot)
        return results
    backend, place = dispatch.elementwise(*given, device)
    arrays = operands(place, *given)
    to_value, to_grad, to_hess = outs
    own = arrays.input.shape
    value = grad = hess = taken = None
    if to_value is not ABSENT:
        value = arrays.output(to_value, "out", arrays.shape)
    if to_grad is not ABSENT:
        grad = arrays.output(to_grad, "out" if to_hess is ABSENT else "out[0]", own)
    if to_hess is not ABSENT:
        hess = arrays.output(to_hess, "out[1]", own)
    if grad is not None and hess is not None:
        disjoint((grad, hess), ("out[0]", "out[1]"))
    if slot is not None:
        if not total:
            raise ValueError("total must be None with the reduction 'none'")
        taken = arrays.output(slot, "out" if grad is None else "total", ())
        if grad is not None:
            disjoint((grad, taken), ("out", "total"))
    found = backend.compute(
        loss.formula,
        arrays,
        mean=loss._mean,
        value=value,
        grad=grad,
        hess=hess,
        total=total,
        slot=taken,
    )
    return (
        found if taken is None else arrays.given(slot, taken),
        None if value is None else arrays.given(to_value, value),
        None if grad is None else arrays.given(to_grad, grad),
        None if hess is None else arrays.given(to_hess, hess),
    )

"""A loss of Dask arrays: one task for each block, whose results are picked and added up lazily."""

from functools import partial
from math import prod
from operator import itemgetter
from typing import Any, TypeAlias

import dask.array as da
import numpy as np

from fastloss import dispatch
from fastloss.arrays import inverse, operands, require_divisor
from fastloss.binding import Itself
from fastloss.cpu.backend import divide
from fastloss.dask import sums
from fastloss.dask.arguments import Arguments, arguments, labels
from fastloss.dask.packed import Packed
from fastloss.dask.threads import fair_share
from fastloss.definition import Definition
from fastloss.evaluation import ABSENT, Triple
from fastloss.loss import Loss

# Whether a block gives its total, value, gradient and curvature.
Wanted: TypeAlias = tuple[bool, bool, bool, bool]

PARTS = "total", "value", "grad", "hess"

FLOAT64 = np.dtype(np.float64)
NUMBER = np.empty((), FLOAT64)


def compute(
    loss: Definition,
    given: Triple,
    device: str | None,
    outs: Triple,
    total: bool,
    slot: Any,
) -> tuple[Any, Any, Any, Any]:
    """Give total, value, gradient and curvature as Dask arrays; None for what is not asked for.

    The parameters are those of :func:`fastloss.evaluation.compute`, the total is float64.

    Raises
    ------
    TypeError
        If something is to be written to memory or computed elsewhere; or as :func:`arguments`.
    ValueError
        As :func:`arguments`, or if the mean is over a number of elements that is not known.
    """
    _refuse(device, outs, slot)
    loss.formula  # noqa: B018 - which raises where a threshold is still to be found
    args = arguments(given)
    value, grad, hess = (out is not ABSENT for out in outs)
    divisor = _divisor(args) if loss._mean else None
    scale = _call(inverse, divisor) if divisor is not None and (grad or hess) else 1.0
    blocks = _blocks(loss, args, (total, value, grad, hess), scale)
    found = sums.total(blocks) if total else None
    if divisor is not None and total:
        found = _call(partial(divide, size=prod(args.shape)), found, divisor)
    return (
        found,
        _pick(blocks, 1, args) if value else None,
        _pick_slopes(blocks, 2, args) if grad else None,
        _pick_slopes(blocks, 3, args) if hess else None,
    )


def _refuse(device: object, outs: Triple, slot: object) -> None:
    if device is not None:
        raise TypeError(
            f"device must be None with Dask arrays, whose chunks are computed where they live, "
            f"got {device!r}"
        )
    if slot is not None or any(out is not ABSENT and out is not None for out in outs):
        raise TypeError("out and total must be None with Dask arrays, whose results are lazy")


def _divisor(args: Arguments) -> Any:
    """Give what the sum of the losses is divided by: a number, or a Dask array of shape ()."""
    if args.unknown:
        raise ValueError(
            "the mean needs the number of elements, but chunks have unknown sizes: call "
            "compute_chunk_sizes() on the arguments first, or use reduction='sum'"
        )
    weight, size = args.values[2], prod(args.shape)
    if weight is None:
        return float(size)
    own = arguments((da.asarray(weight), 0, None))
    found = sums.total(_blocks(Loss(Itself(), "sum"), own, (True, False, False, False)))
    repeats = size / prod(own.shape) if size else 0.0
    precision = np.promote_types(args.dtype, np.float32)
    return _call(partial(_checked, repeats=repeats, precision=precision), found)


def _checked(weights: float, repeats: float, precision: np.dtype[Any]) -> float:
    divisor = weights * repeats
    require_divisor(divisor, precision)
    return divisor


def _call(function: Any, *numbers: Any) -> Any:
    """Call a function of numbers; lazily, if one of them is lazy."""
    if not any(isinstance(number, da.Array) for number in numbers):
        return function(*numbers)
    pairs = [part for number in numbers for part in (number, labels(number))]
    return da.blockwise(partial(_number, function), (), *pairs, dtype=FLOAT64, meta=NUMBER)


def _number(function: Any, *numbers: Any) -> Any:
    # Python's own numbers overflow without a warning.
    return np.float64(function(*map(float, numbers)))


def _blocks(loss: Definition, args: Arguments, wanted: Wanted, scale: Any = 1.0) -> da.Array:
    """Give an array whose blocks are not arrays but what :func:`_block` gives."""
    values = *args.values, scale
    pairs = [part for value in values for part in (value, labels(value))]
    function = partial(_block, Packed(loss), wanted, args.folded, args.unknown)
    return da.blockwise(
        function, args.labels, *pairs, token="loss", dtype=args.dtype, meta=args.meta
    )


def _block(
    loss: Packed,
    wanted: Wanted,
    folded: tuple[int, ...],
    paired: bool,
    input: Any,
    target: Any,
    weight: Any,
    scale: float,
) -> tuple[Any, Any, Any, Any]:
    """Give the sum, value, gradient and curvature of a block, None for what is not wanted."""
    if paired:
        _require_one_shape(input, target, weight)
    backend, place = dispatch.elementwise(input, target, weight)
    arrays = operands(place, input, target, weight)
    # What is still to be added to other blocks' is rounded after that.
    slopes = arrays._replace(result=FLOAT64) if folded else arrays
    total, *elements = wanted
    shape, own = arrays.shape, arrays.input.shape
    value = arrays.empty() if elements[0] else None
    grad, hess = (slopes.empty(own) if wants else None for wants in elements[1:])
    with fair_share():
        found = backend.compute(
            loss.get().formula, arrays, scale=scale, value=value, grad=grad, hess=hess, total=total
        )
    padded = (1,) * (len(shape) - len(own)) + own
    return (
        found,
        None if value is None else place.give(value),
        None if grad is None else place.give(grad).reshape(padded),
        None if hess is None else place.give(hess).reshape(padded),
    )


def _require_one_shape(*values: Any) -> None:
    """Refuse what would broadcast in a block of unknown size, though not beside other blocks."""
    shapes = {value.shape for value in values if getattr(value, "ndim", 0)}
    if len(shapes) > 1:
        raise ValueError(f"chunks must have one shape, got {' and '.join(map(str, shapes))}")


def _pick(blocks: da.Array, which: int, args: Arguments, folded: tuple[int, ...] = ()) -> da.Array:
    axes = args.labels
    return da.blockwise(
        itemgetter(which),
        axes,
        blocks,
        axes,
        token=PARTS[which],
        adjust_chunks={axes[k]: 1 for k in folded},
        dtype=FLOAT64 if folded else args.dtype,
        meta=args.meta.astype(FLOAT64) if folded else args.meta,
    )


def _pick_slopes(blocks: da.Array, which: int, args: Arguments) -> da.Array:
    """Give a gradient or curvature in the input's shape."""
    found = _pick(blocks, which, args, args.folded)
    if args.folded:
        found = found.sum(axis=args.folded, keepdims=True, split_every=2).astype(args.dtype)
    return found[(0,) * (found.ndim - len(args.input_shape))]

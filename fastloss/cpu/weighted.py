"""The terms of a sum, and when they are multiplied by weights.

Of a sum alone of float32 they are as they are added: each weight is converted once then, for the
product and for the weights' own sum, and terms are stored in float32. Where two cores read 52 GB/s,
a weighted mean of 2**25 elements reaches 0.91 of that so, 0.73 with products in the loop over the
elements. In float64, where nothing is converted, that loop multiplies: 0.94 of reading, 0.90
otherwise. So it does beside an output, which may be the weights themselves, and for a formula of a
user's own.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from fastloss.cpu import sums
from fastloss.cpu.jit import INLINE, choose
from fastloss.cpu.maybe import Maybe, is_none, part
from fastloss.cpu.sums import TILE
from fastloss.formulas import Formula
from fastloss.typing import Vector


def terms_for(
    formula: Formula,
    input: Vector,
    weight: Maybe,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
) -> Vector:
    """Make a buffer for terms, in float64 if products with weights go there.

    Without weights, value and gradient of 2**25 float32 take 13.1 ms so, 13.9 with terms in
    float64. A formula of a user's own may give float64 for a float32, to be multiplied before it is
    rounded.
    """
    later = _is_own(type(formula)) and value_out is None and grad_out is None and hess_out is None
    return np.empty(TILE, input.dtype if weight is None or later else np.float64)


@overload(terms_for, jit_options=INLINE)
def _terms_for(formula, input, weight, value_out, grad_out, hess_out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    alone = all(map(is_none, (value_out, grad_out, hess_out)))
    if is_none(weight) or (alone and _is_own(formula.instance_class)):
        return lambda formula, input, weight, value_out, grad_out, hess_out: np.empty(  # noqa: A006
            TILE, input.dtype
        )
    return lambda formula, input, weight, value_out, grad_out, hess_out: np.empty(TILE, np.float64)  # noqa: A006


def _is_own(formula: type) -> bool:
    """Whether a formula is fastloss's, which give the precision that they are given."""
    return formula.__module__.startswith("fastloss.")


def weigh(terms: Vector, index: int, weight: float, value: float) -> None:
    """Write a term: the value, times its weight unless it is multiplied when it is added."""
    run = _leave if terms.dtype == np.float32 else _multiply
    run(terms, index, weight, value)


def _leave(terms: Vector, index: int, weight: float, value: float) -> None:
    terms[index] = value


def _multiply(terms: Vector, index: int, weight: float, value: float) -> None:
    # In float64 the product of two float32 is exact.
    terms[index] = np.float64(weight) * np.float64(value)


choose(weigh, lambda kinds: _leave if kinds["terms"].dtype == types.float32 else _multiply)


def add(running: Any, beside: Any, terms: Vector, weight: Maybe) -> Any:
    """Add terms, and their weights to ``beside`` if not None."""
    if weight is not None and terms.dtype == np.float32:
        return sums.add_weighted(running, beside, terms, weight)
    return sums.add(running, terms), None if beside is None else sums.add(beside, weight)


@overload(add, jit_options=INLINE)
def _add(running, beside, terms, weight):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if not is_none(weight) and terms.dtype == types.float32:
        return lambda running, beside, terms, weight: sums.add_weighted(
            running, beside, terms, weight
        )
    if is_none(beside):
        return lambda running, beside, terms, weight: (sums.add(running, terms), None)
    return lambda running, beside, terms, weight: (
        sums.add(running, terms),
        sums.add(beside, weight),
    )


def start_beside(weighed: Maybe) -> Any:
    """Start the weights' own sum, if there is a place for it."""
    return None if weighed is None else sums.start()


@overload(start_beside, jit_options=INLINE)
def _start_beside(weighed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(weighed):
        return lambda weighed: None
    return lambda weighed: sums.start()


def room_for(weight: Maybe) -> Maybe:
    """Make room for the weights of a tile."""
    return None if weight is None else np.empty(TILE, weight.dtype)


@overload(room_for, jit_options=INLINE)
def _room_for(weight):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(weight):
        return lambda weight: None
    return lambda weight: np.empty(TILE, weight.dtype)


def padded(weight: Maybe, room: Maybe) -> Maybe:
    """Copy weights that may be None into their room, and zeros after them."""
    if weight is None:
        return None
    room[: weight.size] = weight
    room[weight.size :] = 0
    return room


@overload(padded, jit_options=INLINE)
def _padded(weight, room):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(weight):
        return lambda weight, room: None

    def copy(weight, room):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        for i in range(weight.size):
            room[i] = weight[i]
        beyond = part(room, weight.size, room.size)
        for i in range(beyond.size):
            beyond[i] = 0
        return room

    return copy

"""What kernels do with arrays that may be None.

Numba compiles both sides of a branch on an argument that is an array, so each of these is an
overload, chosen by types: what a kernel does not need is not compiled with it, and none gives an
optional array, which would be tested in every loop.
"""

from itertools import combinations
from typing import Any, TypeAlias

from numba import types
from numba.extending import intrinsic, overload

from fastloss.cpu.jit import INLINE
from fastloss.typing import Vector

# A vector or None, each of which Numba compiles for by itself.
Maybe: TypeAlias = Any

# The arguments of ``in_order`` that are written to.
OUTS = (3, 4, 5)


def is_none(kind: Any) -> bool:
    """Whether a type is that of None."""
    return kind is None or isinstance(kind, types.NoneType | types.Omitted)


def part(array: Maybe, low: Any, high: Any) -> Maybe:
    """Slice what may be None. Compiled, a slice does not keep the array: see :func:`alive`."""
    return None if array is None else array[low:high]


@overload(part, jit_options=INLINE)
def _part(array, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(array):
        return lambda array, low, high: None
    return lambda array, low, high: _slice(array, low, high)


@intrinsic
def _slice(typingctx, array, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Slice a contiguous vector, unchecked, without asking whether a bound is negative.

    Numba's own slices cost a third of a call's branches, in each tile.
    """

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        kind = signature.args[0]
        whole = context.make_array(kind)(context, builder, arguments[0])
        piece = context.make_array(kind)(context, builder)
        low, high = arguments[1:]
        context.populate_array(
            piece,
            data=builder.gep(whole.data, [low]),
            shape=[builder.sub(high, low)],
            strides=whole.strides,
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return piece._getvalue()

    return array(array, types.intp, types.intp), build


def alive(array: Vector) -> None:
    """Keep an array until here, that a kernel has made and taken parts of.

    Numba frees an array after the last line that names it, and parts do not hold it: what was
    written to them then was somebody else's memory, or nobody's.
    """


@overload(alive, jit_options=INLINE)
def _alive(array):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return lambda array: _used(array)


@intrinsic
def _used(typingctx, array):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return context.get_dummy_value()

    return types.void(array), build


def row(matrix: Maybe, index: Any) -> Maybe:
    """Give a row of what may be None."""
    return None if matrix is None else matrix[index]


@overload(row, jit_options=INLINE)
def _row(matrix, index):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(matrix):
        return lambda matrix, index: None
    return lambda matrix, index: matrix[index]


def keep(pairs: Maybe, index: Any, total: float, error: float) -> None:
    """Write a sum and its rounding error to what may be None."""
    if pairs is not None:
        pairs[index, 0], pairs[index, 1] = total, error


@overload(keep, jit_options=INLINE)
def _keep(pairs, index, total, error):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(pairs):
        return lambda pairs, index, total, error: None

    def write(pairs, index, total, error):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        pairs[index, 0], pairs[index, 1] = total, error

    return write


def mark(done: Maybe, index: Any) -> None:
    """Say, in what may be None, that a block is done."""
    if done is not None:
        done[index] = True


@overload(mark, jit_options=INLINE)
def _mark(done, index):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(done):
        return lambda done, index: None

    def write(done, index):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        done[index] = True

    return write


def in_order(
    input: Vector,
    target: Maybe,
    weight: Maybe,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
) -> bool:
    """Whether arrays are runs of aligned elements, as many in each, and one at least.

    And whether no output overlaps another, or an input partly. It may be one of these: each element
    is read before it is written.
    """
    ins = [a for a in (input, target, weight) if a is not None]
    outs = [a for a in (value_out, grad_out, hess_out) if a is not None]
    for array in ins + outs:
        size, start = array.itemsize, array.ctypes.data
        if array.size != input.size or not array.size or start % size:
            return False
        if array.strides[0] != size and array.size > 1:
            return False

    def apart(a: Vector, b: Vector) -> bool:
        return abs(a.ctypes.data - b.ctypes.data) >= a.nbytes

    return all(apart(a, b) for a, b in combinations(outs, 2)) and all(
        out.ctypes.data == array.ctypes.data or apart(out, array) for out in outs for array in ins
    )


@overload(in_order, jit_options=INLINE)
def _in_order_of(input, target, weight, value_out, grad_out, hess_out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    def ask(input, target, weight, value_out, grad_out, hess_out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return _in_order(input, target, weight, value_out, grad_out, hess_out)

    return ask


@intrinsic
def _in_order(typingctx, input, target, weight, value_out, grad_out, hess_out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Do so in instructions: by functions, a first kernel takes a tenth longer to compile."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        present = [
            (k, context.make_array(kind)(context, builder, argument))
            for k, (kind, argument) in enumerate(zip(signature.args, arguments, strict=True))
            if not is_none(kind)
        ]
        count, size = present[0][1].nitems, present[0][1].itemsize
        zero, one = (count.type(n) for n in (0, 1))
        extent = builder.mul(count, size)
        starts = {k: builder.ptrtoint(array.data, count.type) for k, array in present}
        good = builder.icmp_signed(">", count, zero)

        def demand(condition: Any) -> None:
            nonlocal good
            good = builder.and_(good, condition)

        for k, array in present:
            demand(builder.icmp_signed("==", array.nitems, count))
            contiguous = builder.icmp_signed("==", builder.extract_value(array.strides, 0), size)
            demand(builder.or_(contiguous, builder.icmp_signed("==", count, one)))
            demand(builder.icmp_signed("==", builder.urem(starts[k], size), zero))
        for other, out in combinations(starts, 2):
            if out not in OUTS:
                continue
            apart = builder.sub(starts[out], starts[other])
            before = builder.icmp_signed("<=", apart, builder.neg(extent))
            after = builder.icmp_signed(">=", apart, extent)
            good_pair = builder.or_(before, after)
            if other not in OUTS:
                good_pair = builder.or_(good_pair, builder.icmp_signed("==", apart, zero))
            demand(good_pair)
        return good

    return types.boolean(input, target, weight, value_out, grad_out, hess_out), build

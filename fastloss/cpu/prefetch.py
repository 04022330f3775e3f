"""Memory brought to the cache before it is read."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastloss.cpu.jit import INLINE
from fastloss.cpu.maybe import Maybe, is_none
from fastloss.cpu.streaming import LINE

# Bytes further on that a tile brings. On Zen 4 a sum of 2**25 float32 takes 10.3 ms on one thread
# so (reading takes 10.2), from 4,096 to 8,192 up to 10.6, 12.4 with 2,048 and 11.8 without; one of
# 2**24 float64 11.8 (11.3), up to 12.9, 15.1 and 12.0. On Zen 3 all from 1,024 to 8,192 are within
# six percent, and without takes a quarter more.
AHEAD = 3584


def bring(array: Maybe, start: int, count: int) -> None:
    """Bring what lies ``AHEAD`` of ``count`` elements, if the array is not None."""


@overload(bring, jit_options=INLINE)
def _bring(array, start, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(array):
        return lambda array, start, count: None

    size = array.dtype.bitwidth // 8  # known here: the array would be asked at run time

    def lines(array, start, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        for further in range(0, count * size, LINE):
            _bring_one(array, start, further)

    return lines


@intrinsic
def _bring_one(typingctx, array, start, further):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        first = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        first = builder.gep(first, [ir.Constant(ir.IntType(64), AHEAD)])
        bring_line(builder, builder.gep(first, [arguments[2]]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), build


def bring_line(builder: Any, place: Any) -> None:
    """Bring a line to the second-level cache; it may lie beyond an array's end."""
    number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    read, second_level, data = (ir.Constant(number, n) for n in (0, 2, 1))
    builder.call(prefetch, [builder.bitcast(place, byte), read, second_level, data])

"""Outputs that go past the cache, a whole line at a time.

An ordinary store to memory reads the line first. Where the output is larger than the last cache,
that line is not used again soon, and storing past the cache saves the reading. The loop over the
elements knows nothing of it: it fills a window, which is the output itself, or a small buffer in
the first-level cache whose lines are then stored.

Between two stores past the cache nothing may be locked, as counting references does: that waits
for them, 90 ns each time. So all functions here and those around them are inlined, see ``jit.py``.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from fastloss.cpu.jit import INLINE
from fastloss.cpu.maybe import Maybe, is_none
from fastloss.typing import Vector

# Bytes that the processor moves at once.
LINE = 64
# Bytes of each output in a window. On Zen 4 the gradient of 2**25 float32 takes 10.3 ms so, 10.5
# with 256 bytes, 11.5 with 128, 10.9 with 1,024; of 2**24 float64 11.4, 12.1, 12.6 and 12.2. With
# 4,096, 15.6 on Zen 3 where 512 take 10.6: while lines are stored, nothing is read.
WINDOW_BYTES = 512


def step_for(array: Vector) -> int:
    """Give the elements of a window."""
    return WINDOW_BYTES // array.itemsize


@overload(step_for, jit_options=INLINE)
def _step_for(array):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    step = WINDOW_BYTES // (array.dtype.bitwidth // 8)  # known here: the array would be asked
    return lambda array: step


def buffers_for(value_out: Maybe, grad_out: Maybe, hess_out: Maybe, streamed: Maybe) -> Any:
    """Make a buffer for each output that is there; None if they are not stored past the cache."""
    if streamed is None:
        return None
    return buffer_for(value_out), buffer_for(grad_out), buffer_for(hess_out)


@overload(buffers_for, jit_options=INLINE)
def _buffers_for(value_out, grad_out, hess_out, streamed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(streamed):
        return lambda value_out, grad_out, hess_out, streamed: None

    return lambda value_out, grad_out, hess_out, streamed: (
        buffer_for(value_out),
        buffer_for(grad_out),
        buffer_for(hess_out),
    )


def buffer_for(out: Maybe) -> Maybe:
    """Make the buffer of an output that may be None."""
    return None if out is None else np.empty(step_for(out), out.dtype)


@overload(buffer_for, jit_options=INLINE)
def _buffer_for(out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(out):
        return lambda out: None
    line, step = (size // (out.dtype.bitwidth // 8) for size in (LINE, WINDOW_BYTES))

    # A line that lies across two is loaded in twice the time.
    def aligned(out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        room = np.empty(step + line, out.dtype)
        before = -room.ctypes.data % LINE // room.itemsize
        return room[before : before + step]

    return aligned


def window(out: Maybe, buffer: Maybe, low: int, high: int) -> Maybe:
    """Give the memory that elements ``low`` to ``high`` are written to."""
    if buffer is not None:
        return buffer[: high - low]
    return None if out is None else out[low:high]


@overload(window, jit_options=INLINE)
def _window(out, buffer, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if not is_none(buffer):
        return lambda out, buffer, low, high: buffer[: high - low]
    if is_none(out):
        return lambda out, buffer, low, high: None
    return lambda out, buffer, low, high: out[low:high]


def store(out: Maybe, buffer: Maybe, low: int, high: int) -> None:
    """Move elements ``low`` to ``high`` of an output from its buffer, if it has one.

    Element ``low`` is the first of a line.
    """
    if buffer is not None:
        out[low:high] = buffer[: high - low]


@overload(store, jit_options=INLINE)
def _store(out, buffer, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(buffer):
        return lambda out, buffer, low, high: None
    line = LINE // (out.dtype.bitwidth // 8)  # known here: the array would be asked at run time

    def by_lines(out, buffer, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        whole = (high - low) // line * line
        for i in range(0, whole, line):
            _store_line(out, low + i, buffer, i)
        for i in range(whole, high - low):
            out[low + i] = buffer[i]

    return by_lines


@intrinsic
def _store_line(typingctx, out, i, buffer, j):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Store a line of the buffer from element ``j`` at element ``i``, the first of a line."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        out_type, _, buffer_type, _ = signature.args
        element = context.get_value_type(out_type.dtype)
        size = context.get_abi_sizeof(element)
        line = ir.VectorType(element, LINE // size).as_pointer()

        def address(array_type: Any, array: Any, index: Any) -> Any:
            data = context.make_array(array_type)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [index]), line)

        loaded = builder.load(address(buffer_type, *arguments[2:]), align=size)
        store_past_cache(builder, loaded, address(out_type, *arguments[:2]))
        return context.get_dummy_value()

    return types.void(out, types.intp, buffer, types.intp), build


def store_past_cache(builder: Any, line: Any, place: Any) -> None:
    """Store a vector as long as a line, where one begins."""
    stored = builder.store(line, place, align=LINE)
    one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
    stored.set_metadata("nontemporal", one)


def fence(streamed: bool | None) -> None:
    """Let other threads see what is stored past the cache before anything that is stored later."""


@overload(fence, jit_options=INLINE)
def _fence_if(streamed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(streamed):
        return lambda streamed: None
    return lambda streamed: _fence()


@intrinsic
def _fence(typingctx):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build

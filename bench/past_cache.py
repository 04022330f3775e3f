"""The most that stores past the cache can give: two streams in, one out, and nothing else.

A line of each input is loaded, subtracted and stored past the cache, by one instruction each where
vectors are as long as lines. What a loss writes is compared with it in ``limits.py``.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from fastloss.cli.memory import BLOCK, Traffic
from fastloss.cpu.streaming import LINE, store_past_cache


@intrinsic
def _subtract_line(typingctx: Any, x: Any, y: Any, out: Any, start: Any) -> Any:
    """Do ``out[start : start + line] = x[...] - y[...]``, ``start`` being the first of a line."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(x.dtype)
        size = context.get_abi_sizeof(element)
        line = ir.VectorType(element, LINE // size).as_pointer()
        places = [
            builder.bitcast(
                builder.gep(context.make_array(x)(context, builder, a).data, [arguments[3]]), line
            )
            for a in arguments[:3]
        ]
        a, b = (builder.load(place, align=size) for place in places[:2])
        store_past_cache(builder, builder.fsub(a, b), places[2])
        return context.get_dummy_value()

    return types.void(x, y, out, types.intp), build


@numba.njit(parallel=True, error_model="numpy")
def _subtract(x: Any, y: Any, out: Any, line: int) -> None:
    for b in prange((x.size + BLOCK - 1) // BLOCK):
        low = np.int64(b) * BLOCK
        for i in range(low, min(x.size, low + BLOCK), line):
            _subtract_line(x, y, out, i)


def storing(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Traffic:
    """Give that kernel, on the elements of whole lines of ``out``."""
    line = LINE // x.itemsize
    first = -out.ctypes.data % LINE // x.itemsize
    here = slice(first, first + (x.size - first) // line * line)
    x, y, out = x[here], y[here], out[here]
    return Traffic(lambda: _subtract(x, y, out, line), 3 * x.nbytes)

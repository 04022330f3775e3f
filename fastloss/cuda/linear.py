"""The sum of a linear model's losses and its gradient, or a Hessian product: X is read once.

``rows`` gives each row of X to neighbouring threads, 16 bytes of it to each (``columns.py``). A
block goes through a fixed run of rows, tile by tile. The elements of a tile stay in registers
while

1. every thread leaves its part of its rows' dot products in shared memory,
2. one thread for each row adds them up, asks the formula and leaves the row's slope there,
3. every thread adds slope times element to the sums of its own columns.

At the end the threads that share columns add those up by halves, and ``outputs`` adds the blocks:
no atomics, and nothing that depends on the number of multiprocessors. Elements are widened in
registers; all arithmetic is in float64, products are added by fused operations that the code names.
"""

from typing import Any, NamedTuple

from numba import cuda, float64, int64, uint32, uint64

from fastloss.cuda.absent import element, position, settled
from fastloss.cuda.columns import combined, lanes_within, loaded, put, zeros
from fastloss.cuda.formula import hess, scaled_grad, value
from fastloss.cuda.jit import SIMULATED, THREADS, crowded_kernel, device, kernel
from fastloss.cuda.parts import PARTS, leave_parts, prediction, shorten
from fastloss.cuda.sums import add, add_pairs, combine

if SIMULATED:
    from fastloss.cuda.plain_lanes import plus
else:
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import plus


class Tiling(NamedTuple):
    """How threads and blocks share the rows of a matrix."""

    singly: Any
    """1 where a thread's columns are loaded one by one, ``()`` where 16 bytes at once."""
    threads: int
    """Threads to a row."""
    slots: int
    """Rows that are loaded at a time."""
    pitch: int
    """Distance in shared memory from a row's parts of its dot product to the next row's."""
    down: int
    """The same distance for all rows that are loaded at a time."""
    height: int
    """Rows of a tile."""
    shares: int
    """Parts of a dot product that are left for one thread to add up."""
    each: int
    """Rows of a block, whole tiles."""
    blocks: int


@device
def lanes_if(there: Any, X: Any, i: Any, singly: Any, count: Any) -> Any:
    """Load a thread's columns of a row, from element i on; zeros where there is no such row."""
    if there:
        return loaded(X, i, singly, count)
    return zeros(X, X.dtype.type(0))


@device
def entry(vector: Any, i: Any, size: Any, steps: Any, absent: Any) -> Any:
    """Give what a vector has for row i of as many."""
    return element(vector, uint64(position((size,), steps, i)), absent)[0]


def only_for(w: Any, memory: Any) -> Any:
    """Give memory back, or nothing for absent coefficients."""
    return () if isinstance(w, tuple) else memory


def wait_if(memory: Any) -> None:
    """Wait for the block's threads if there is memory that they write to."""
    if not isinstance(memory, tuple):
        cuda.syncthreads()


def slope_of(formula: Any, residual: Any, weight: Any, along: Any) -> Any:
    """Give what multiplies a row in the gradient, or in the Hessian times a direction."""
    if isinstance(along, tuple):
        return scaled_grad(formula, residual, weight)
    return weight * hess(formula, residual) * along


def add_loss(formula: Any, residual: Any, weight: Any, along: Any, total: Any, error: Any) -> Any:
    """Add a row's loss to a sum, see ``add``, unless there is a direction."""
    if isinstance(along, tuple):
        return add(total, error, weight * value(formula, residual))
    return total, error


@crowded_kernel
def rows(
    formula: Any,
    X: Any,
    y: Any,
    weight: Any,
    w: Any,
    direction: Any,
    partials: Any,
    size: Any,
    columns: Any,
    first: Any,
    step: Any,
    strides: Any,
    tiling: Any,
) -> None:
    """Go through a block's rows and leave a pair for each column, the intercept and the value.

    Row i of X starts at element ``first + i * step``; ``strides`` are those of y and weight, see
    ``position``. ``w`` and ``direction`` end with the intercept's entry; with a direction, the
    result is the Hessian times it, and the value is 0.
    """
    singly, threads, slots, pitch, down, height, shares, each, _ = tiling
    thread = uint32(cuda.threadIdx.x)
    slot = uint32(thread // uint32(threads))
    which = uint32(thread - slot * uint32(threads))
    busy = slot < slots
    sums = zeros(X, 0.0)
    column = uint32(which * uint32(len(sums)))
    count = lanes_within(singly, column, columns, sums)
    here = uint32(slot * uint32(pitch) + which)
    parts = cuda.shared.array(PARTS, float64)
    v_memory = cuda.shared.array(PARTS, float64)
    v_parts = only_for(direction, v_memory)
    total, error, slopes = 0.0, 0.0, 0.0
    low = int64(cuda.blockIdx.x) * each
    # Counts within a block have no sign and 32 bits: half the instructions, and no index that could
    # count from the end.
    left = uint32(min(each, size - low))
    tall, pitch, down = uint32(height), uint32(pitch), uint32(down)
    second, third, fourth = uint32(slot + slots), uint32(slot + 2 * slots), uint32(slot + 3 * slots)
    origin = first + column
    while left:
        below = left if busy else uint32(0)
        i = origin + (low + slot) * step
        on = slots * step
        a = lanes_if(slot < below, X, i, singly, count)
        b = lanes_if(second < below, X, i + on, singly, count)
        c = lanes_if(third < below, X, i + 2 * on, singly, count)
        d = lanes_if(fourth < below, X, i + 3 * on, singly, count)
        row = thread
        # Brought while X is on its way. The weight as well would be two registers too many.
        ahead = row < tall and row < left
        target = entry(y, low + row, size, strides[0], 0.0) if ahead else 0.0
        if busy:
            leave_parts(parts, here, down, (a, b, c, d), w, column, count)
        # Elements are widened anew behind a barrier; kept wide, they would take 32 registers.
        cuda.syncthreads()
        if busy:
            leave_parts(v_parts, here, down, (a, b, c, d), direction, column, count)
        wait_if(v_parts)
        if shares < threads:
            k = thread
            while k < tall * uint32(shares):
                of = uint32(k // uint32(shares))
                share = uint32(k - of * uint32(shares))
                shorten(parts, uint32(of * pitch), share, uint32(shares), uint32(threads))
                shorten(v_parts, uint32(of * pitch), share, uint32(shares), uint32(threads))
                k = uint32(k + THREADS)
            cuda.syncthreads()
        while row < tall:
            slope = 0.0
            if row < left:
                its = uint32(row * pitch)
                factor = entry(weight, low + row, size, strides[1], 1.0)
                residual = prediction(parts, its, uint32(shares), w, columns) - target
                along = prediction(v_parts, its, uint32(shares), direction, columns)
                slope = slope_of(formula, residual, factor, along)
                slopes = plus(slopes, slope)
                total, error = add_loss(formula, residual, factor, along, total, error)
            parts[uint32(row * pitch)] = slope
            row = uint32(row + THREADS)
            if row < tall and row < left:
                target = entry(y, low + row, size, strides[0], 0.0)
        cuda.syncthreads()
        if busy:
            its = uint32(slot * pitch)
            sums = combined(parts[its], sums, a)
            sums = combined(parts[uint32(its + down)], sums, b)
            sums = combined(parts[uint32(its + 2 * down)], sums, c)
            sums = combined(parts[uint32(its + 3 * down)], sums, d)
        cuda.syncthreads()
        low += height
        left = uint32(left - min(left, tall))
    put(parts, thread, sums)
    cuda.syncthreads()
    left = slots
    while left > 1:
        half = (left + 1) // 2
        if slot < left - half:
            for k in range(len(sums)):
                parts[k * THREADS + thread] += parts[k * THREADS + thread + half * threads]
        cuda.syncthreads()
        left = half
    block, blocks = int64(cuda.blockIdx.x), int64(cuda.gridDim.x)
    if slot == 0:
        for k in range(count):
            pair = 2 * ((column + k) * blocks + block)
            partials[pair] = parts[k * THREADS + thread]
            partials[pair + 1] = 0.0
    combine(partials, columns * blocks + block, slopes, 0.0)
    cuda.syncthreads()
    combine(partials, (columns + 1) * blocks + block, total, error)


@kernel
def outputs(partials: Any, count: Any, result: Any) -> None:
    """Add up the ``count`` pairs of each output, a block for each."""
    output = int64(cuda.blockIdx.x)
    total, error = add_pairs(partials, output * count, count)
    pair = cuda.shared.array(2, float64)
    combine(pair, 0, total, error)
    if cuda.threadIdx.x == 0:
        result[output] = settled(pair[0], pair[1])


if not SIMULATED:

    @overload(only_for)
    def _only_for(w, memory):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(w, BaseTuple):
            return lambda w, memory: ()
        return lambda w, memory: memory

    @overload(wait_if)
    def _wait_if(memory):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(memory, BaseTuple):
            return lambda memory: None
        return lambda memory: cuda.syncthreads()

    @overload(slope_of)
    def _slope_of(formula, residual, weight, along):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(along, BaseTuple):
            return lambda formula, residual, weight, along: scaled_grad(formula, residual, weight)
        return lambda formula, residual, weight, along: weight * hess(formula, residual) * along

    @overload(add_loss)
    def _add_loss(formula, residual, weight, along, total, error):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(along, BaseTuple):
            return lambda formula, residual, weight, along, total, error: add(
                total, error, weight * value(formula, residual)
            )
        return lambda formula, residual, weight, along, total, error: (total, error)

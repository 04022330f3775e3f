"""Value, gradient and curvature of every element, and their sum, in one pass over memory.

One loop, ``fill``, computes whatever is asked for: an output that is ``None`` is removed at
compile time. ``_summed`` runs it over a fixed number of elements and sums them; the serial and the
parallel kernel are the same function over such blocks, compiled twice; ``single`` takes one alone.
"""

from typing import Any

import numpy as np
from numba import prange

from fastloss.cpu import sums
from fastloss.cpu.formula import hess, scaled_grad, value
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel, short_kernel
from fastloss.cpu.maybe import Maybe, alive, in_order, is_none, keep, mark, part, row
from fastloss.cpu.prefetch import bring
from fastloss.cpu.sizes import BLOCK
from fastloss.cpu.streaming import buffers_for, fence, step_for, store, window
from fastloss.cpu.sums import TILE
from fastloss.cpu.weighted import add, padded, room_for, start_beside, terms_for, weigh
from fastloss.formulas import Formula
from fastloss.typing import Vector


def fill(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    terms: Maybe,
    buffers: Maybe = None,
) -> None:
    """Write what is asked for, element by element; ``scale`` multiplies grad and hess.

    The scale goes to the weight first, as in torch: weights divided by their sum are at most 1,
    where the product of a weight and a gradient may overflow. With ``buffers``, outputs go past
    the cache.
    """
    loop = _fill if buffers is None else _fill_windows
    loop(formula, input, target, weight, scale, value_out, grad_out, hess_out, terms, buffers)


def _fill(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    terms: Maybe,
    buffers: Maybe = None,
) -> None:
    for i in range(input.size):
        r = input[i] if target is None else input[i] - target[i]
        # Read once, before anything is written: an output may be the weights themselves. Without
        # weights it is not used, but has to have the type of one.
        w = scale if weight is None else weight[i]
        factor = scale if weight is None else scale * w
        if value_out is not None:
            value_out[i] = value(formula, r) if weight is None else w * value(formula, r)
        if grad_out is not None:
            grad_out[i] = scaled_grad(formula, r, factor)
        if hess_out is not None:
            hess_out[i] = factor * hess(formula, r)
        if terms is not None:
            if weight is None:
                terms[i] = value(formula, r)
            else:
                weigh(terms, i, w, value(formula, r))


def _fill_windows(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    terms: Maybe,
    buffers: Maybe = None,
) -> None:
    size, step = input.size, step_for(input)
    whole = size // step * step
    # As for tiles, see below, the length of whole windows is known. A tuple of the arguments would
    # count references, see streaming.py.
    for low in range(0, whole, step):
        _fill_window(
            formula,
            input,
            target,
            weight,
            scale,
            value_out,
            grad_out,
            hess_out,
            terms,
            buffers,
            low,
            low + step,
        )
    if whole < size:
        _fill_window(
            formula,
            input,
            target,
            weight,
            scale,
            value_out,
            grad_out,
            hess_out,
            terms,
            buffers,
            whole,
            size,
        )


@inner
def _fill_window(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    terms: Maybe,
    buffers: Any,
    low: int,
    high: int,
) -> None:
    bring(input, low, high - low)
    bring(weight, low, high - low)
    fill(
        formula,
        part(input, low, high),
        part(target, low, high),
        part(weight, low, high),
        scale,
        window(value_out, buffers[0], low, high),
        window(grad_out, buffers[1], low, high),
        window(hess_out, buffers[2], low, high),
        part(terms, low, high),
    )
    bring(target, low, high - low)
    store(value_out, buffers[0], low, high)
    store(grad_out, buffers[1], low, high)
    store(hess_out, buffers[2], low, high)


choose(fill, lambda types: _fill if is_none(types["buffers"]) else _fill_windows)


def block(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    summed: Maybe,
    weighed: Maybe,
    buffers: Maybe = None,
) -> tuple[float, float, bool]:
    """Fill a block; give the sum, the rounding error that it leaves, and True.

    False, with nothing written, where the arrays are not in order: asking NumPy beforehand takes
    0.6 microseconds of a small call's 1.5. If ``summed`` is None, nothing is summed. The weights'
    own sum and its error go to ``weighed``, unless that is None.
    """
    run = _filled if summed is None else _summed
    outs = value_out, grad_out, hess_out
    return run(formula, input, target, weight, scale, *outs, summed, weighed, buffers)


def _summed(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    summed: Maybe,
    weighed: Maybe,
    buffers: Maybe = None,
) -> tuple[float, float, bool]:
    if not in_order(input, target, weight, value_out, grad_out, hess_out):
        return 0.0, 0.0, False
    size = input.size
    terms = terms_for(formula, input, weight, value_out, grad_out, hess_out)
    room = room_for(weight)
    running, beside = sums.start(), start_beside(weighed)
    whole = size // TILE * TILE
    # Whole tiles have a length that is known when this is compiled: no tests of overlaps and no
    # remainders in each.
    for low in range(0, whole, TILE):
        high = low + TILE
        if buffers is None:
            bring(input, low, TILE)
            bring(weight, low, TILE)
        fill(
            formula,
            part(input, low, high),
            part(target, low, high),
            part(weight, low, high),
            scale,
            part(value_out, low, high),
            part(grad_out, low, high),
            part(hess_out, low, high),
            terms,
            buffers,
        )
        # In two parts: more at a time would wait for each other.
        if buffers is None:
            bring(target, low, TILE)
        # The weights' own sum here rather than in a loop of its own, in which memory rests: of the
        # speed of reading alone, a weighted mean of 2**25 float32 takes 0.99 so, 0.92 otherwise.
        running, beside = add(running, beside, terms, part(weight, low, high))
    if whole < size:
        rest = part(terms, 0, sums.places_for(size - whole))
        beyond = part(rest, size - whole, rest.size)
        for i in range(beyond.size):
            beyond[i] = 0.0
        kept = padded(part(weight, whole, size), part(room, 0, rest.size))
        fill(
            formula,
            part(input, whole, size),
            part(target, whole, size),
            part(kept, 0, size - whole),
            scale,
            part(value_out, whole, size),
            part(grad_out, whole, size),
            part(hess_out, whole, size),
            rest,
            buffers,
        )
        running, beside = add(running, beside, rest, kept)
    if weighed is not None:
        weighed[0], weighed[1] = sums.combine(beside)
    found, error = sums.combine(running)
    alive(terms)
    alive(room)
    return found, error, True


def _filled(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    summed: Maybe,
    weighed: Maybe,
    buffers: Maybe = None,
) -> tuple[float, float, bool]:
    if not in_order(input, target, weight, value_out, grad_out, hess_out):
        return 0.0, 0.0, False
    fill(formula, input, target, weight, scale, value_out, grad_out, hess_out, None, buffers)
    return 0.0, 0.0, True


choose(block, lambda types: _filled if is_none(types["summed"]) else _summed)


def _blocks(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    sums_out: Maybe,
    weights_out: Maybe,
    streamed: Maybe,
    done: Maybe,
) -> None:
    for index in prange((input.size + BLOCK - 1) // BLOCK):
        number = np.int64(index)  # the index is unsigned: mixed with int64 it makes a float
        low = number * BLOCK
        high = min(input.size, low + BLOCK)
        v = part(value_out, low, high)
        g = part(grad_out, low, high)
        h = part(hess_out, low, high)
        found, error, _ = block(
            formula,
            part(input, low, high),
            part(target, low, high),
            part(weight, low, high),
            scale,
            v,
            g,
            h,
            sums_out,
            row(weights_out, number),
            buffers_for(v, g, h, streamed),
        )
        keep(sums_out, number, found, error)
        fence(streamed)
        mark(done, number)


serial = kernel(_blocks)
parallel = parallel_kernel(_blocks)


# At most one block, for which everything around the block would cost more than it does.
single_summed = short_kernel(_summed)
single_filled = short_kernel(_filled)

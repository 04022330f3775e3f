"""A call on ordinary arrays, in a fifth of the time that the general one takes.

Most calls have contiguous arrays of one shape, dtype and library, on the current device. For them
nothing has to be broadcast, promoted, merged or moved, and what there is to check is checked here
by comparing a few attributes. Where anything else is found, even what will be an error, nothing is
launched and the caller goes the general way, which knows all cases and has the words for them.
"""

from math import prod
from typing import Any

import numpy as np

from fastloss.arrays import smallest_divisor
from fastloss.binding import Itself, bind
from fastloss.cuda import elementwise, launch
from fastloss.cuda.backend import checked_total
from fastloss.cuda.choice import contiguous
from fastloss.cuda.jit import VECTOR_BYTES
from fastloss.cuda.looks import Looks, looks_of
from fastloss.uncompilable import compiling

ABSENT = ()
NO_OUTS = ABSENT, ABSENT, ABSENT
ITSELF = Itself()
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def compute(
    loss: Any,
    mean: bool,
    arguments: tuple[Any, Any, Any],
    outs: tuple[Any, Any, Any],
    total: bool,
    slot: Any,
) -> tuple[Any, Any, Any, Any] | None:
    """Give total, value, gradient and curvature; None, with nothing done, for the general way.

    Parameters
    ----------
    loss : Loss
    mean : bool
        Whether total, gradient and curvature are those of the mean.
    arguments : tuple
        Input, target, and weight or None.
    outs : tuple
        What takes value, gradient and curvature: an array, None for a new one, ``()`` for none.
    total : bool
        Whether there is a sum or mean.
    slot : array or None
        What takes it; None for a Python number.
    """
    looks = looks_of(type(arguments[0]))
    if looks is None:
        return None
    try:
        ready = _prepare(looks, mean, arguments, outs, total, slot)
    except Exception:  # whatever the library says: the general way says it by the argument's name
        return None
    return None if ready is None else _launch(looks, loss, mean, total, slot, ready)


def _prepare(
    looks: Looks, mean: bool, arguments: Any, outs: Any, total: bool, slot: Any
) -> tuple[Any, ...] | None:
    """Look once at each array and make new ones; None if one of them is not ordinary.

    Nothing but this needs a check. Arrays of one shape and dtype broadcast and cast to each other,
    neither PyTorch's nor CuPy's are read-only, and two of one size that are contiguous overlap
    partly only if they start less than that apart, and not at the same place.
    """
    x, y, weight = arguments
    cls = type(x)
    first = looks.look(x)
    if first is None or (slot is not None and not total) or not launch.is_active(first[3]):
        return None
    address, shape, dtype, device = first
    size = prod(shape)
    if not size:
        return None
    step = size * dtype.itemsize
    arrays = [x, y, ABSENT if weight is None else weight, *outs]
    addresses = [address]
    low_bits = of_inputs = address
    for k in range(1, 6):
        array = arrays[k]
        if array is ABSENT:
            addresses.append(0)
            continue
        if array is None:
            array = arrays[k] = looks.like(x)
        found = looks.look(array) if type(array) is cls else None
        if found is None or found[1:] != (shape, dtype, device):
            return None
        address = found[0]
        low_bits |= address
        if k < 3:
            of_inputs = low_bits
        else:
            for j, other in enumerate(addresses):
                if -step < address - other < step and (address != other or j >= 3):
                    return None
        addresses.append(address)
    lanes = 0 if low_bits % VECTOR_BYTES else VECTOR_BYTES // dtype.itemsize
    chosen = contiguous(size, lanes, total)
    scratch = result = summing = None
    blocks = chosen[0] if total else 0
    if total:
        # An output must not change a sum: where its address rules out vectors, there are two runs.
        if not lanes and not of_inputs % VECTOR_BYTES:
            return None
        if slot is not None:
            result = looks.look(slot) if type(slot) is cls else None
            if result is None or result[1] != () or result[3] != device:
                return None
            for address in addresses:
                if -result[2].itemsize < result[0] - address < step:
                    return None
    if mean and weight is not None:
        lanes = 0 if addresses[2] % VECTOR_BYTES else VECTOR_BYTES // dtype.itemsize
        summing = contiguous(size, lanes, True)
        blocks += summing[0]
    if blocks:
        # The blocks' pairs; then the sum of the weights, the total, and the inverse of that sum.
        scratch = looks.scratch(2 * blocks + 3, x)
    return size, dtype, device, arrays, addresses, chosen, summing, blocks, scratch, result


def _launch(
    looks: Looks, loss: Any, mean: bool, total: bool, slot: Any, ready: tuple[Any, ...]
) -> tuple[Any, Any, Any, Any]:
    size, dtype, device, arrays, addresses, chosen, summing, blocks, scratch, result = ready
    precision = FLOAT64 if dtype == FLOAT64 else FLOAT32
    formula = loss.formula
    stream = launch.stream_at(looks.stream(device))
    run, vector = launch.run, launch.vector
    x, y, w, *outs = [vector(at, size, dtype) if at else ABSENT for at in addresses]
    one = precision.type(1)
    scale, inverse, divisor = one, ABSENT, 1.0
    partials: Any = ABSENT
    if blocks:
        pairs = looks.address(scratch)
        sum_at = pairs + 2 * blocks * FLOAT64.itemsize
        total_at, inverse_at = sum_at + FLOAT64.itemsize, sum_at + 2 * FLOAT64.itemsize
    if mean and summing is None:
        divisor = float(size)
        scale = precision.type(1.0 / size)
    count, kernel, rest = chosen
    with compiling(formula):
        if summing is not None:
            own, sum_kernel, its_rest = summing
            sums = vector(pairs, 2 * own, FLOAT64)
            pairs += 2 * own * FLOAT64.itemsize
            divisor, inverse = vector(sum_at, 1, FLOAT64), vector(inverse_at, 1, precision)
            itself = bind(ITSELF, precision)
            run(
                sum_kernel, own, stream, itself, w, ABSENT, ABSENT, one, ABSENT, *NO_OUTS, sums,
                *its_rest,
            )  # fmt: skip
            smallest = smallest_divisor(precision)
            run(elementwise.finish, 1, stream, sums, own, 1.0, divisor, inverse, smallest)
        if total:
            partials = vector(pairs, 2 * count, FLOAT64)
        bound = bind(formula, precision)
        run(kernel, count, stream, bound, x, y, w, scale, inverse, *outs, partials, *rest)
        if total:
            where, kind = (total_at, FLOAT64) if result is None else (result[0], result[2])
            to, smallest = vector(where, 1, kind), smallest_divisor(precision)
            run(elementwise.finish, 1, stream, partials, count, divisor, to, ABSENT, smallest)
            if slot is None and summing is None:
                slot = float(launch.fetch_at(total_at, 1, FLOAT64, stream)[0])
            elif slot is None:
                slot = checked_total(launch.fetch_at(sum_at, 2, FLOAT64, stream), precision)
    return slot, *arrays[3:]

"""Adding up what blocks give, in an order that the chunks alone decide.

Which worker is done first, and how many there are, changes no bit.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any, TypeAlias

import dask.array as da
import numpy as np

# A sum and the rounding error that it leaves.
Pair: TypeAlias = tuple[float, float]


def total(blocks: da.Array) -> da.Array:
    """Add up the first entries of blocks that are tuples, two along each axis at a time.

    The rounding errors are added up beside them, so that many blocks cost no digits.

    Returns
    -------
    da.Array
        Of shape ``()`` and dtype float64.
    """
    return da.reduction(
        blocks,
        chunk=_first,
        combine=add,
        aggregate=_rounded,
        concatenate=False,
        split_every=2,
        dtype=np.float64,
        name="total",
        meta=np.empty((), np.float64),
    )


def _first(block: Any, **_: Any) -> Pair:
    return block[0], 0.0


def add(pairs: Any, **_: Any) -> Pair:
    """Add up the pairs of nested lists, one list for each axis."""
    found, error = 0.0, 0.0
    for value, its_error in _flat(pairs):
        summed = found + value
        if isfinite(summed):
            back = summed - found
            error += (found - (summed - back)) + (value - back) + its_error
        found = summed
    return found, error if isfinite(found) else 0.0


def _rounded(pairs: Any, **_: Any) -> Any:
    return np.float64(sum(add(pairs)))


def _flat(pairs: Any) -> Iterator[Pair]:
    """Give the pairs of nested lists, one list for each axis."""
    if isinstance(pairs, list):
        for part in pairs:
            yield from _flat(part)
    else:
        yield pairs

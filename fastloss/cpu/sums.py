"""Sums that are exact to the last bit or two, and the same for any number of threads.

The terms of a sum are laid into a small buffer and added in float64, in an order that is written
out here: four at a time by plain additions, which cost at most two roundings, then onto one of 32
running sums with the rounding error kept beside it (Knuth's two-sum, ``running.py``), and at the
end by halves. A sum of positive terms is off by at most 3.4e-16 of itself, whatever its length:
three roundings of 2**-53. Nothing has to be reordered to be vectorised, so its bits depend on
neither the compiler nor the processor.
"""

from typing import Any

import numpy as np
from numba import config

from fastloss.cpu.jit import inner, kernel
from fastloss.typing import Array, Vector

if config.DISABLE_JIT:
    from fastloss.cpu.plain_running import GROUP, add_group, combine, start
    from fastloss.cpu.plain_running import add_weighted as add_weighted_group
else:
    from fastloss.cpu.running import GROUP, add_group, combine, start
    from fastloss.cpu.running import add_weighted as add_weighted_group

__all__ = ["TILE", "add", "add_weighted", "combine", "places_for", "start", "total"]

# Elements whose terms are computed before they are added. Memory rests while they are, unless the
# processor reads on meanwhile: a sum of 2**25 float32 takes 14.1 ms so, 14.6 with 256 elements, and
# 17.7 with 512.
TILE = GROUP


@inner
def places_for(terms: int) -> int:
    """Give the size of a buffer for this many terms, a multiple of ``GROUP``."""
    return (terms + GROUP - 1) // GROUP * GROUP


@inner
def add(running: Any, terms: Vector) -> Any:
    """Add terms, a multiple of ``GROUP``, onto the running sums."""
    for first in range(0, terms.size, GROUP):
        running = add_group(running, terms, first)
    return running


@inner
def add_weighted(running: Any, beside: Any, terms: Vector, weights: Vector) -> Any:
    """Add terms of float32 times their weights, and the weights to ``beside`` if not None."""
    for first in range(0, terms.size, GROUP):
        running, beside = add_weighted_group(running, beside, terms, weights, first)
    return running, beside


@kernel
def total(pairs: Array) -> float:
    """Give the sum of all blocks, each a sum and its rounding error."""
    found, error = 0.0, 0.0
    for i in range(pairs.shape[0]):
        term = pairs[i, 0]
        after = found + term
        seen = after - found
        error += pairs[i, 1] + ((found - (after - seen)) + (term - seen))
        found = after
    # Beyond float64's range the error is NaN (inf - inf), the sum itself is still right.
    return found + error if np.isfinite(found) else found

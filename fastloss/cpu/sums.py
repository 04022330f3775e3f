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
from fastloss.typing import Vector

if config.DISABLE_JIT:
    from fastloss.cpu.plain_running import GROUP, add_group, combine, start
else:
    from fastloss.cpu.running import GROUP, add_group, combine, start

__all__ = ["TILE", "add", "combine", "places_for", "start", "total"]

# Elements whose terms are computed before they are added: below, loops are too short.
TILE = 512


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


@kernel
def total(sums: Vector, errors: Vector) -> float:
    """Give the sum of all blocks."""
    found, error = 0.0, 0.0
    for i in range(sums.size):
        after = found + sums[i]
        seen = after - found
        error += errors[i] + ((found - (after - seen)) + (sums[i] - seen))
        found = after
    # Beyond float64's range the error is NaN (inf - inf), the sum itself is still right.
    return found + error if np.isfinite(found) else found

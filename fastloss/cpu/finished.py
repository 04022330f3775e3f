"""Whether every block of a parallel kernel came to its end.

What a formula raises on one of Numba's own threads is lost: the kernel returns, and the results of
that thread are what lay in memory before. So each block leaves a mark at its end; where one is
missing, the serial kernel goes the same way and raises it. The formulas of the package raise
nothing, and have no marks.
"""

from typing import Any

import numpy as np

from fastloss.binding import BUILT_IN
from fastloss.cpu.quick import QuickSmoothL1
from fastloss.typing import Array

RAISE_NOTHING = BUILT_IN | {QuickSmoothL1}


def marks(formula: Any, blocks: int) -> Array | None:
    """Give a place for each block's mark; None for a formula that raises nothing."""
    return None if type(formula) in RAISE_NOTHING else np.zeros(blocks, np.bool_)


def missing(done: Array | None) -> bool:
    """Whether a block has left no mark."""
    return done is not None and not done.all()

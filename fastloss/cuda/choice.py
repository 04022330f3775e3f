"""Which kernel takes contiguous arrays, and how many blocks of threads run it.

A sum has the bits that this choice gives it, so there is one for every way to a launch.
"""

from typing import Any

from fastloss.cuda import elementwise
from fastloss.cuda.jit import THREADS

# Elements that a thread takes of a sum, so that few partial sums are left: a number of tiles in
# the vector kernel, of elements in the other.
TILES_OF_A_SUM = 8
EACH_OF_A_SUM = 32
EACH = 4
NO_STRIDES = ((), (), (), (), (), ())


def contiguous(size: int, lanes: int, total: bool) -> tuple[int, Any, tuple[Any, ...]]:
    """Give the number of blocks, the kernel and its last arguments.

    ``lanes`` are the elements in 16 bytes, 0 where the arrays cannot be moved so.
    """
    if lanes:
        tiles = TILES_OF_A_SUM if total else 1
        return (
            blocks_of(size, elementwise.UNROLL * lanes * tiles),
            elementwise.vectors,
            (size, tiles),
        )
    each = EACH_OF_A_SUM if total else EACH
    return blocks_of(size, each), elementwise.scalars, (size, (), NO_STRIDES, each)


def blocks_of(size: int, each: int) -> int:
    """Count the blocks whose threads take so many elements each."""
    return -(-size // (THREADS * each))

"""What streaming asks of rows that lie on disk, and what its sources share."""

import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from fastloss.cpu.apart import Apart
from fastloss.typing import Array, Vector

# Blocks in memory at a time, by :func:`fastloss.stream.ahead.ahead`: the caller's and the next one.
ALIVE = 2
# Blocks have this part of a budget at least.
LEAST_SHARE = 4
# What kernels make of a row: residuals, their sizes, marks.
RESULT_BYTES = 32


class Block(NamedTuple):
    """Consecutive rows in memory, read-only for whoever gets them."""

    low: int
    """The number of the first row."""
    X: Array | Apart
    """In float32 or float64, in C or Fortran order or as an array in memory has it, or apart."""
    y: Vector
    weight: Vector | None


@runtime_checkable
class Rows(Protocol):
    """Rows of a linear model, read block by block and as often as a fit wants to.

    What can be known without reading rows is checked when the object is made. NaN and weights out
    of range are not looked for.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the blocks of X: float32, or float64 for everything else."""

    @property
    def block_bytes(self) -> int:
        """Bytes of a block that suit the source: memory is fastest in blocks that fit a cache."""

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block with which a pass holds about ``budget`` bytes.

        The blocks, what kernels make of one, and what is held beside them, such as chunks, which
        may leave too little of a small budget: blocks have a quarter of it, and a row, whatever
        that comes to.
        """

    def least_memory(self) -> int:
        """Give the bytes that are held beside blocks, however short these are."""

    def spilled(self, memory: int) -> "Rows | None":
        """Write the rows to where less is held beside blocks, and warn; None if that cannot be.

        ``memory`` is what may be held meanwhile.
        """

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``, into memory of their own."""

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks of ``rows`` rows in order, from row ``low`` on; the last may be shorter.

        A block is valid until the next one is asked for, as its memory may be used again. Close the
        generator, or forget it, to stop early.

        Raises
        ------
        ValueError
            If ``rows`` is not positive or there is no row ``low``.
        OSError
            If rows cannot be read, on the way, naming which.
        """

    def where(self, row: int, first: int = 0) -> str:
        """Say in which file a row lies, see :meth:`fastloss.model.Model.where`.

        Rows of a file are counted from ``first``.
        """


def rows_within(budget: int, row: int, beside: int, alive: int = ALIVE) -> int:
    """Give the rows to a block, of ``row`` bytes each, and ``beside`` bytes beside the blocks."""
    # A pass over blocks of a row each would never end.
    left = max(budget - beside, budget // LEAST_SHARE)
    return max(1, left // (alive * row + RESULT_BYTES))


def check_range(n: int, low: int, high: int) -> None:
    """Raise ValueError unless there are rows from ``low`` to before ``high`` among n."""
    if not 0 <= low < high <= n:
        raise ValueError(
            f"rows must be a range within the {n} there are, got {low} to before {high}"
        )


def check_blocks(n: int, rows: int, low: int) -> None:
    """Raise ValueError unless n rows have blocks of ``rows`` rows from row ``low`` on."""
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    if not 0 <= low < n:
        raise ValueError(f"low must be one of the {n} rows, got {low}")


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turn whatever a library raises into an OSError that names what is read."""
    try:
        yield
    except MemoryError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        code = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EACCES
        file = error.filename or str(what)  # Arrow's errors have neither that nor a code
        raise OSError(code, os.strerror(code), file) from error  # which makes it one of these
    # The libraries promise no set of exceptions: damaged data come out as RuntimeError, KeyError,
    # ValueError and others.
    except Exception as error:
        raise OSError(f"cannot read {what}: {error or type(error).__name__}") from error

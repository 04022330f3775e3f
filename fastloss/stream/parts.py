"""All columns of Parquet files, read by several threads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from fastloss.parallelism import limit
from fastloss.stream.batches import Batches
from fastloss.stream.part import Part
from fastloss.stream.pools import each
from fastloss.typing import Vector

# For each thread, so that one with wide columns keeps no other waiting.
PARTS = 2


class Parts:
    """Parts of the columns, each as one of several threads gets to it.

    Parameters
    ----------
    parts : sequence of Part
        Every so many columns: of three, the second has the columns 1, 4 and so on.
    pool : ThreadPoolExecutor
        The threads.
    """

    def __init__(self, parts: Sequence[Part], pool: ThreadPoolExecutor) -> None:
        self._parts, self._pool = parts, pool
        self._which = [slice(i, None, len(parts)) for i in range(len(parts))]

    @classmethod
    @contextmanager
    def of(
        cls,
        dtypes: Mapping[str, np.dtype[Any]],
        batches: Callable[[Sequence[str]], Batches],
    ) -> Iterator["Parts"]:
        """Read columns of these names and dtypes; ``batches`` gives those of some of them."""
        threads = min(pa.cpu_count(), limit())
        count = min(len(dtypes), PARTS * threads)
        some = [dict(list(dtypes.items())[i::count]) for i in range(count)]
        with ExitStack() as stack:
            parts = [stack.enter_context(closing(Part(its, batches(list(its))))) for its in some]
            yield cls(parts, stack.enter_context(ThreadPoolExecutor(threads, "fastloss-parquet")))

    def take(self, rows: int, most: int) -> list[Vector]:
        """Give the next rows of each column, see :meth:`fastloss.stream.part.Part.take`."""
        taken = each(self._pool, lambda part: part.take(rows, most), self._parts)
        columns = [taken[0][0]] * sum(map(len, taken))
        for its, some in zip(self._which, taken, strict=True):
            columns[its] = some
        return columns

    def fill(self, outs: Sequence[Vector], most: int) -> None:
        """Copy the next rows of each column, see :meth:`fastloss.stream.part.Part.fill`."""
        jobs = (outs[its] for its in self._which)
        each(self._pool, lambda part, some: part.fill(some, most), self._parts, jobs)

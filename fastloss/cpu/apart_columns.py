"""Columns that lie apart: what ``linear.py`` asks of X, for the pair that ``apart.py`` gives.

Nothing is brought to the cache but the columns' next tiles: others are not at equal distances.
"""

from typing import Any

from fastloss.cpu.products import LAST, add_rows, dots, summed
from fastloss.typing import Vector


def predict(A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector) -> None:
    """Write ``X[low:high] @ w[:-1] + w[-1]``."""
    p = w.size - 1
    out[:] = w[p]
    add_rows(A, 0, p, low, high, w, out, None, high - low + LAST)


def gather(A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector) -> None:
    """Add ``X[low:high].T @ slopes`` to ``out[:-1]`` and their sum to ``out[-1]``."""
    p = out.size - 1
    dots(A, 0, p, low, high, slopes, out, None, high - low + LAST)
    out[p] += summed(slopes)

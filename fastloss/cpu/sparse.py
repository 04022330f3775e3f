"""The rows of a sparse matrix: what ``linear.py`` asks of X, for one in CSR.

``A`` is the triple of the matrix's entries, their columns and where each row starts. A tile of rows
is read twice, as that of a dense matrix is: from the cache the second time, for the gradient.
``sparse_columns.py`` does so for CSC.
"""

from typing import Any

import numpy as np

from fastloss.cpu import short_rows, sparse_columns
from fastloss.cpu.jit import inner
from fastloss.cpu.layout import writeable
from fastloss.place import require_real, type_name
from fastloss.typing import Array, Vector

Rows = tuple[Vector, Vector, Vector]


def is_sparse(X: Any) -> bool:
    """Whether X is a sparse matrix or array of SciPy's."""
    return type(X).__module__.startswith("scipy.sparse") and hasattr(X, "tocsr")


def compressed(X: Any) -> Any:
    """Give a sparse matrix in CSR or CSC, its entries float32 or float64; check where they lie.

    One in CSC has its entries in the order of the rows.

    Raises
    ------
    TypeError
        If its entries are no real numbers.
    ValueError
        If columns or rows of entries lie outside of its shape: compiled code would read there.
    """
    if X.ndim != 2:
        return X
    if X.format == "coo":  # which SciPy would convert unchecked
        _check_places(X, (X.row, X.shape[0]), (X.col, X.shape[1]))
    if X.format != "csc":
        X = X.tocsr()
    require_real("X", X.data, X)
    if X.data.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)
    runs, length = X.shape if X.format == "csr" else X.shape[::-1]
    starts, places = X.indptr, X.indices
    entries = min(places.size, X.data.size)
    if (
        starts.shape != (runs + 1,)
        or starts[0] != 0
        or starts[-1] > entries
        or (np.diff(starts) < 0).any()
    ):
        raise _outside(X)
    _check_places(X, (places[:entries], length))
    # SciPy's own mark says what was true when it was made.
    if X.format == "csc" and not sparse_columns.in_order(places, starts):
        X = X.copy()
        X.has_sorted_indices = False
        X.sort_indices()
    return X


def _check_places(X: Any, *axes: tuple[Vector, int]) -> None:
    for places, length in axes:
        if places.size and not 0 <= places.min() <= places.max() < length:
            raise _outside(X)


def _outside(X: Any) -> ValueError:
    return ValueError(f"X must have its entries within its shape {X.shape}: {type_name(X)}")


def rows_of(X: Any) -> Rows:
    """Give the entries, their places and where runs of them start, as kernels take them."""
    data, places, starts = (
        writeable(np.require(a, a.dtype.newbyteorder("="), ["C", "A"]))
        for a in (X.data, X.indices, X.indptr)
    )
    return data, places, starts


def predict(A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector) -> None:
    """Write ``X[low:high] @ w[:-1] + w[-1]``."""
    if _have_few_entries(A, low, high):
        short_rows.predict(A, low, high, w, out)
    else:
        _predict_by_rows(A, low, high, w, out)


def gather(A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector) -> None:
    """Add ``X[low:high].T @ slopes`` to ``out[:-1]`` and their sum to ``out[-1]``."""
    if _have_few_entries(A, low, high):
        short_rows.gather(A, low, high, slopes, out)
    else:
        _gather_by_rows(A, low, high, slopes, out)


@inner
def _have_few_entries(A: Any, low: int, high: int) -> bool:
    starts = A[2]
    few: bool = starts[high] - starts[low] <= short_rows.FEW * (high - low)
    return few


@inner
def _predict_by_rows(A: Any, low: int, high: int, w: Vector, out: Vector) -> None:
    """Have two sums, as one would wait for itself in long rows, and four for their end in short.

    Indices have no sign: one with it would be tested for counting from the end.
    """
    data, places, starts = A
    intercept = w[w.size - 1]
    for i in range(low, high):
        first, last = np.uint64(starts[i]), np.uint64(starts[i + 1])
        pairs = first + (last - first) // np.uint64(2) * np.uint64(2)
        a, b = 0.0, 0.0
        for k in range(first, pairs, np.uint64(2)):
            a += data[k] * w[np.uint64(places[k])]
            b += data[k + np.uint64(1)] * w[np.uint64(places[k + np.uint64(1)])]
        if pairs < last:
            a += data[pairs] * w[np.uint64(places[pairs])]
        out[i - low] = (a + b) + intercept


@inner
def _gather_by_rows(A: Any, low: int, high: int, slopes: Vector, out: Vector) -> None:
    data, places, starts = A
    total = 0.0
    for i in range(low, high):
        slope = slopes[i - low]
        total += slope
        for k in range(np.uint64(starts[i]), np.uint64(starts[i + 1])):
            out[np.uint64(places[k])] += slope * data[k]
    out[out.size - 1] += total


def centred(gram: Array, sums: Vector, total: float, means: Vector | None, size: int) -> Array:
    """Take ``means`` off X's columns in ``X.T @ D @ X``, and put a column of ones beside them.

    ``sums`` are ``X.T @ d`` and ``total`` is the sum of d, the diagonal of D.
    """
    p = gram.shape[0]
    if means is not None:
        m = means[:p]
        gram = gram - np.outer(m, sums) - np.outer(sums, m) + total * np.outer(m, m)
        sums = sums - total * m
    if size == p:
        return gram
    whole = np.empty((size, size))
    whole[:p, :p] = gram
    whole[:p, p] = whole[p, :p] = sums
    whole[p, p] = total
    return whole

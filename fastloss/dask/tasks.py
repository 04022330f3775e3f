"""The tasks of an evaluation: one for each chunk of rows or several small ones, and their sums."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastloss.cpu.design import Design
from fastloss.dask import versions
from fastloss.dask.packed import Packed
from fastloss.dask.threads import fair_share
from fastloss.dask.work import Result, added
from fastloss.place import as_real
from fastloss.stream.piece import Piece
from fastloss.typing import Array


class Call:
    """What is to be computed of each chunk: sent to the workers once an evaluation.

    Parameters
    ----------
    work : callable
        See :mod:`fastloss.dask.work`.
    formula : Formula or None
        Its first argument beside the rows.
    *arguments
        The others.
    """

    def __init__(self, work: Any, formula: Any, *arguments: Any) -> None:
        self.versions = versions.installed()
        self.work, self.arguments = work, arguments
        self.formula = Packed(formula)

    def require(self) -> None:
        """Raise UnfitWorkerError unless this process can do it."""
        versions.require(self.versions)
        self.formula.get()

    def of(self, piece: Piece) -> Result:
        """Do it."""
        result: Result = self.work(piece, self.formula.get(), *self.arguments)
        return result


class Failure(NamedTuple):
    """What went wrong in a chunk. A value, so that no scheduler tries again or drops its number."""

    chunk: int
    error: Exception


class Chunk(NamedTuple):
    """Where a chunk lies among all."""

    number: int
    low: int
    """The number of its first row."""
    high: int


class Named(NamedTuple):
    """What chunks are to be."""

    names: tuple[str, str, str]
    """What errors call X, y and weights."""
    columns: int
    """Of X."""


def computed(
    call: Call,
    chunks: Sequence[Chunk],
    named: Named,
    X: list[Any],
    y: list[Any],
    weight: list[Any] | None = None,
) -> Result | Failure:
    """Give the sum of what comes out of some consecutive chunks."""
    call.require()
    results = []
    weights = [None] * len(X) if weight is None else weight
    for chunk, *arrays in zip(chunks, X, y, weights, strict=True):
        try:
            with fair_share(), np.errstate(over="ignore", invalid="ignore"):
                results.append(call.of(_piece(chunk, named, *arrays)))
        except Exception as error:
            return Failure(chunk.number, error)
    return added(results)


def combined(results: Sequence[Result | Failure]) -> Result | Failure:
    """Add results up, or give the first failure among them."""
    whole = []
    for result in results:
        if isinstance(result, Failure):
            return result
        whole.append(result)
    with np.errstate(over="ignore", invalid="ignore"):
        return added(whole)


def _piece(chunk: Chunk, named: Named, X: Any, y: Any, weight: Any) -> Piece:
    rows = chunk.high - chunk.low
    shapes = (rows, named.columns), (rows,), (rows,)
    given = X, y, weight
    # Dask knows what chunks were said to be; kernels would read what they are not.
    X, y, weight = (
        None if array is None else checked(name, array, shape)
        for name, array, shape in zip(named.names, given, shapes, strict=True)
    )
    # Columns of a larger chunk are sent as rows: their bits must not depend on whether they were.
    if not X.flags.forc and X.strides[1] != X.itemsize:
        X = np.ascontiguousarray(X)
    return Piece.of(chunk.low, Design.of(X), X, y, weight)


def checked(name: str, array: Any, shape: tuple[int, ...]) -> Array:
    """Give what has come as a chunk, if it is what was to come.

    Raises
    ------
    TypeError
        If it does not hold real numbers of at most 64 bits.
    ValueError
        If it has another shape, or is no array of NumPy's.
    """
    if not isinstance(array, np.ndarray) or array.shape != shape:
        got = f"{type(array).__name__} of shape {getattr(array, 'shape', None)}"
        raise ValueError(f"a chunk of {name} must be a NumPy array of shape {shape}, got {got}")
    return as_real(name, array)

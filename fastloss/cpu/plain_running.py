"""The functions of ``running.py`` in plain NumPy, for ``NUMBA_DISABLE_JIT=1`` and its debuggers."""

import numpy as np

from fastloss.typing import Array, Vector

PLACES = 32
GROUP = 4 * PLACES

Running = tuple[Vector, Vector]


def start() -> Running:
    """Give sums of 0 and their errors."""
    return np.zeros(PLACES), np.zeros(PLACES)


def add_group(running: Running, terms: Vector, first: int) -> Running:
    """Add ``terms[first : first + GROUP]`` onto the running sums."""
    a, b, c, d = _quarters(terms, first)
    return _onto(running, (a + b) + (c + d))


def add_weighted(
    running: Running, beside: Running | None, terms: Vector, weights: Vector, first: int
) -> tuple[Running, Running | None]:
    """Add the products of such elements, and the weights to ``beside`` if not None."""
    a, b, c, d = _quarters(terms, first) * _quarters(weights, first)
    beside = None if beside is None else add_group(beside, weights, first)
    return _onto(running, (a + b) + (c + d)), beside


def _quarters(vector: Vector, first: int) -> Array:
    return vector[first : first + GROUP].astype(np.float64).reshape(4, PLACES)


def _onto(running: Running, term: Vector) -> Running:
    sums, errors = running
    after, error = _two_sum(sums, term)
    return after, errors + error


def combine(running: Running) -> tuple[float, float]:
    """Reduce running sums and their errors to one of each, by halves."""
    sums, errors = running
    while sums.size > 1:
        low, high = np.split(errors, 2)
        sums, error = _two_sum(*np.split(sums, 2))
        errors = low + (high + error)
    return sums[0], errors[0]


def _two_sum(before: Vector, term: Vector) -> tuple[Vector, Vector]:
    after = before + term
    seen = after - before
    return after, (before - (after - seen)) + (term - seen)

"""numexpr: one expression for each result, over all threads; NumPy takes the mean."""

import numba
import numexpr
import numpy as np

from peers.problem import BETA, Peer

VALUES = "where(abs(x - y) < beta, half * (x - y) ** 2 / beta, abs(x - y) - half * beta)"
SLOPES = "where(abs(x - y) < beta, (x - y) / beta, where(x > y, one, -one)) / n"

numexpr.set_num_threads(numba.get_num_threads())


def _names(x, y):
    # Constants of the arrays' precision: Python's own would make it float64.
    numbers = {"beta": BETA, "half": 0.5, "one": 1.0, "n": x.size}
    return {"x": x, "y": y, **{name: x.dtype.type(value) for name, value in numbers.items()}}


def _none(x, y):
    names, out = _names(x, y), np.ones_like(x)
    return lambda: numexpr.evaluate(VALUES, names, out=out)


def _mean(x, y):
    # Its own sum adds float32 one after the other: of 30,000,000 it is 9 % off.
    values = _none(x, y)
    return lambda: values().mean()


def _grad(x, y):
    names, out = _names(x, y), np.ones_like(x)
    return lambda: numexpr.evaluate(SLOPES, names, out=out)


def _value_and_grad(x, y):
    value, grad = _mean(x, y), _grad(x, y)
    return lambda: (value(), grad())


PEER = Peer(
    "numexpr",
    {"mean": _mean, "none": _none, "grad": _grad, "value_and_grad": _value_and_grad},
    version=numexpr.__version__,
)

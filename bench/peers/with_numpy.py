"""NumPy: the expressions that people write."""

import numpy as np

from peers.problem import BETA, Peer


def _values(r, a):
    return np.where(a < BETA, 0.5 * r**2 / BETA, a - 0.5 * BETA)


def _slope(r, a):
    return np.where(a < BETA, r / BETA, np.sign(r))


def _slopes(r, a):
    return _slope(r, a) / r.size


def _numpy_mean(x, y):
    def call():
        r = x - y
        return _values(r, np.abs(r)).mean()

    return call


def _numpy_none(x, y):
    def call():
        r = x - y
        return _values(r, np.abs(r))

    return call


def _numpy_grad(x, y):
    def call():
        r = x - y
        return _slopes(r, np.abs(r))

    return call


def _numpy_value_and_grad(x, y):
    def call():
        r = x - y
        a = np.abs(r)
        return _values(r, a).mean(), _slopes(r, a)

    return call


def _weighted_mean(x, y, w):
    def call():
        r = x - y
        return np.average(_values(r, np.abs(r)), weights=w)

    return call


def _weighted_none(x, y, w):
    def call():
        r = x - y
        return w * _values(r, np.abs(r))

    return call


def _weighted_grad(x, y, w):
    def call():
        r = x - y
        return w / w.sum() * _slope(r, np.abs(r))

    return call


def _weighted_value_and_grad(x, y, w):
    def call():
        r = x - y
        a, total = np.abs(r), w.sum()
        return (w * _values(r, a)).sum() / total, w / total * _slope(r, a)

    return call


# The same with weights, of which the mean is divided by the sum.
WEIGHTED = {
    "mean": _weighted_mean,
    "none": _weighted_none,
    "grad": _weighted_grad,
    "value_and_grad": _weighted_value_and_grad,
}


def _numpy_linear(X, y, w):
    w = w.astype(X.dtype)  # mixed precisions would copy X at each product

    def call():
        r = X @ w - y
        a = np.abs(r)
        return _values(r, a).mean(), X.T @ _slopes(r, a)

    return call


PEER = Peer(
    "numpy",
    {
        "mean": _numpy_mean,
        "none": _numpy_none,
        "grad": _numpy_grad,
        "value_and_grad": _numpy_value_and_grad,
    },
    _numpy_linear,
    np.__version__,
)

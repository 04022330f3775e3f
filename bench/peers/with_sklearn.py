"""scikit-learn: the Cython losses of its gradient boosting, and what HuberRegressor minimises.

Both are private, but the fastest it has.
"""

import numba
import numpy as np
import sklearn
from sklearn._loss._loss import CyHuberLoss
from sklearn.linear_model._huber import _huber_loss_and_gradient

from peers.problem import BETA, Peer

LOSS = CyHuberLoss(delta=BETA)
# On two threads, its calls on fewer elements wait for the second one: a scheduler's tick, often.
ENOUGH = 65_536


def _threads(x):
    return numba.get_num_threads() if x.size >= ENOUGH else 1


def _none(x, y):
    out, threads = np.ones_like(x), _threads(x)

    def call():
        LOSS.loss(y, x, None, out, threads)
        return out

    return call


def _mean(x, y):
    values = _none(x, y)
    return lambda: values().mean()


def _grad(x, y):
    out, threads = np.ones_like(x), _threads(x)

    def call():
        LOSS.gradient(y, x, None, out, threads)
        return np.divide(out, x.size, out=out)

    return call


def _value_and_grad(x, y):
    values, out, threads = np.ones_like(x), np.ones_like(x), _threads(x)

    def call():
        LOSS.loss_gradient(y, x, None, values, out, threads)
        return values.mean(), np.divide(out, x.size, out=out)

    return call


def _linear(X, y, w):
    """Its loss counts squares where ours counts halves of them, and one more for each row."""
    n, p = X.shape
    narrow = np.append(w, 1.0).astype(X.dtype)  # the last one is the scale
    weights = np.ones(n, X.dtype)

    def call():
        value, gradient = _huber_loss_and_gradient(narrow, X, y, BETA, 0.0, weights)
        return (value / n - 1) / 2, gradient[:p] / (2 * n)

    return call


PEER = Peer(
    "scikit-learn",
    {"mean": _mean, "none": _none, "grad": _grad, "value_and_grad": _value_and_grad},
    _linear,
    sklearn.__version__,
)

"""SciPy: a ufunc of the residual on one thread; it has no gradient."""

import numpy as np
import scipy
from scipy.special import huber

from peers.problem import BETA, Peer


def _none(x, y):
    out, beta = np.ones_like(x), x.dtype.type(BETA)

    def call():
        np.subtract(x, y, out=out)
        return huber(beta, out, out=out)

    return call


def _mean(x, y):
    values = _none(x, y)
    return lambda: values().mean()


PEER = Peer("scipy", {"mean": _mean, "none": _none}, version=scipy.__version__)

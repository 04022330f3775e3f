"""fastloss: with an output array wherever there is one to give."""

import numpy as np

import fastloss as fl
from peers.problem import BETA, Peer


def _mean(x, y):
    loss = fl.SmoothL1Loss(beta=BETA)
    return lambda: loss(x, y)


def _none(x, y):
    loss, out = fl.SmoothL1Loss(reduction="none", beta=BETA), np.ones_like(x)
    return lambda: loss(x, y, out=out)


def _grad(x, y):
    loss, out = fl.SmoothL1Loss(beta=BETA), np.ones_like(x)
    return lambda: loss.grad(x, y, out=out)


def _value_and_grad(x, y):
    loss, out = fl.SmoothL1Loss(beta=BETA), np.ones_like(x)
    return lambda: loss.value_and_grad(x, y, out=out)


def _linear(X, y, w):
    objective = fl.LinearObjective(X, y, fl.SmoothL1Loss(beta=BETA))
    return lambda: objective(w)


PEER = Peer(
    "fastloss",
    {
        "mean": _mean,
        "none": _none,
        "grad": _grad,
        "value_and_grad": _value_and_grad,
    },
    _linear,
    fl.__version__,
)

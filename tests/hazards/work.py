"""What is computed amid the hazards: calls large enough for threads, and a small one."""

import hashlib
from functools import cache

import numpy as np

import fastloss as fl

ELEMENTS = 200_003
ROWS, COLUMNS = 60_001, 5


@cache
def problem():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, ELEMENTS))
    return x, y, rng.standard_normal((ROWS, COLUMNS)), rng.standard_normal(ROWS)


def answers(_: object = None) -> str:
    """Digest of all bits."""
    x, y, X, target = problem()
    loss = fl.SmoothL1Loss()
    value, gradient = loss.value_and_grad(x, y)
    objective = fl.LinearObjective(X, target, loss)
    found = [loss(x, y), loss(x[:100], y[:100]), value, gradient, *objective(np.ones(COLUMNS))]
    digest = hashlib.sha256()
    for one in found:
        digest.update(np.asarray(one).tobytes())
    return digest.hexdigest()

"""Ways down from where a loss of one's own has no slope and yet no minimum.

Newton's method ends at maxima and saddle points, too: between two groups of rows, for example, that
a loss like Cauchy's keeps apart.
"""

import numpy as np

from fastloss.curvature import own
from fastloss.fitting.search import Search
from fastloss.loss import Loss
from fastloss.optimize import LinearObjective
from fastloss.typing import Vector

# Curvature downwards that is more than rounding of the largest one.
DOWN = 1e-8
# Steps that are tried: from four times the scale of the residuals on, each half the last.
FARTHEST, HALVINGS = 4.0, 24
# So many of them are left: each lies lower than the one before.
SADDLES = 16


def leave(search: Search, loss: Loss) -> None:
    """Go on downhill from maxima and saddle points."""
    objective = search.squares.with_loss(loss)
    for _ in range(SADDLES):
        if not search.converged or search.steps.over:
            return
        lower = _lower(search, objective)
        if lower is None:
            return
        search.w = lower
        search.descend(loss)


def _lower(search: Search, objective: LinearObjective) -> Vector | None:
    """Give a lower point along the direction in which the loss curves down the most, if any."""
    assert search.known is not None
    frame, (_, point) = search.frame, search.known
    gram = point.gram
    if gram is None:
        gram = objective.gram(point.w, own, frame.means)
    if not np.isfinite(gram).all():
        return None
    curvatures, directions = np.linalg.eigh(gram / np.outer(frame.units, frame.units))
    if curvatures[0] >= -DOWN * np.abs(curvatures).max():
        return None
    step = FARTHEST * (search.scale() or 1.0) * frame.step(directions[:, 0] / frame.units)
    for _ in range(HALVINGS):
        search.steps.nfev += 1
        w: Vector = point.w + step
        if objective.value(w) < point.value:
            return w
        step = step / 2
    return None

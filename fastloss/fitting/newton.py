"""Newton's method for a robust linear model, with a step that cannot fail.

The loss's own curvature converges in a few steps, but it is singular when few rows lie within the
threshold, and far from the minimum its step may lead uphill. Then the curvature ``grad(r) / r`` is
taken, the weights of iteratively reweighted least squares: the quadratic with it lies above a
convex symmetric loss and touches it at ``r``, so its minimum lies lower (Huber, "Robust
Statistics", 1981, section 7.8). Neither depends on the units of X's columns.
"""

from typing import Any

import numpy as np

from fastloss.curvature import majorising, own
from fastloss.fitting.frame import Frame, largest
from fastloss.fitting.magnitude import check_curvature
from fastloss.fitting.point import Point, at, first
from fastloss.fitting.steps import Steps
from fastloss.optimize import LinearObjective
from fastloss.typing import Vector

# What a step must gain of what the slope promises (Armijo); of shorter steps, each half the last.
SUFFICIENT = 1e-4
HALVINGS = 30
# A step that leaves more than this part of the gradient (the curvature is singular) is no step.
UNSOLVED = 0.5
# A step that promises to gain less than this part of the value is likely to be the last one: its
# end is looked at without the curvature.
LAST = 1e-8
# A promised gain below this part of the value is rounding.
ROUNDING = 1e-15
# A step that gains less than this part of the value, and does not even halve the gradient, has
# reached what rounding leaves of a model whose terms nearly cancel.
STUCK = 1e-13
# Until the gradient is this part of that at 0, rounding may only hide what steps gain: of a value
# that far outliers make so large. So many steps of that kind are taken.
NEAR = 1e-3
HIDDEN_STEPS, HIDDEN_HALVINGS = 20, 8
# Along a step whose gain the value's rounding hides, the slope may have turned to this part of what
# it was (Hager and Zhang's approximate Wolfe condition, SIAM J. Optim. 16, 2005).
TURNED = 0.01
# After so many steps in which the loss's own curvature did not do, the other one's are doubled for
# as long as that leads lower: 20,000 rows of which 60 percent are 1,000 times as far away take 98
# steps so, more than 200 without. From the first one on, fits of fewer outliers take a fifth more
# passes.
PATIENCE = 8
DEPENDENT = ": X's columns are too nearly dependent"


def minimise(
    objective: LinearObjective, w: Vector, frame: Frame, tol: float, steps: Steps
) -> tuple[Point, bool]:
    """Go downhill until no entry of the gradient, in the frame, exceeds ``tol`` of that at 0.

    Returns
    -------
    point : Point
        The last one.
    converged : bool
    """
    here, at_zero = first(objective, w, frame.means)
    tolerance = tol * frame.largest(at_zero)
    steps.nfev += 1
    slow = hidden = 0
    while not steps.over and frame.largest(here.gradient) > tolerance:
        found = None
        step, left, rounding = _step(objective, here, frame, own)
        if left <= UNSOLVED:
            if 0 <= -float(here.gradient @ step) <= rounding:
                return here, True
            found = _lower(objective, here, frame, step, steps)
        if found is None or found.halvings:
            # The curvature has changed on the way: the other one may lead further.
            step, left, rounding = _step(objective, here, frame, majorising)
            other = _lower(objective, here, frame, step, steps)
            if other is not None and not other.halvings and slow >= PATIENCE:
                other = _farther(objective, here, frame, other, steps)
            slow += 1
            if other is not None and (found is None or other.value < found.value):
                found = other
        if found is None:  # nothing lower to be found: at rounding that is the minimum
            promised = -float(here.gradient @ step)
            least = 0 <= promised <= max(rounding, ROUNDING * abs(here.value))
            converged = (least or hidden > 0) and left <= UNSOLVED
            steps.reason = "" if converged else ": none leads lower from there"
            return here, converged
        stuck = frame.largest(found.gradient) > frame.largest(here.gradient) / 2
        if stuck and here.value - found.value <= STUCK * abs(here.value):
            hidden += 1
            near = frame.largest(found.gradient) <= NEAR * frame.largest(at_zero)
            if near or hidden > HIDDEN_STEPS:
                steps.reason = "" if left <= UNSOLVED else DEPENDENT
                return found, left <= UNSOLVED
        here = found
        steps.done(here.w, here.value)
    return here, frame.largest(here.gradient) <= tolerance


def _lower(
    objective: LinearObjective, here: Point, frame: Frame, step: Vector, steps: Steps
) -> Point | None:
    """Find a sufficiently lower point along a step, halving it as often as need be."""
    promised = -float(here.gradient @ step)
    if not promised > 0:
        return None
    for halvings in range(HALVINGS):
        hidden = promised <= STUCK * abs(here.value)
        if hidden and halvings > HIDDEN_HALVINGS:
            return None
        w = here.w + step
        if promised > LAST * abs(here.value):
            there = at(objective, w, here, frame.means, halvings)
        else:
            there = Point(w, *objective(w), None, halvings)
        steps.nfev += 1
        if hidden:  # what is gained, but not what has become of the slope
            lower = there.value - here.value <= ROUNDING * abs(here.value)
            lower = lower and float(there.gradient @ step) <= TURNED * promised
        else:
            lower = there.value <= here.value - SUFFICIENT * promised
        if lower:
            return there
        step, promised = step / 2, promised / 2
    return None


def _farther(
    objective: LinearObjective, here: Point, frame: Frame, there: Point, steps: Steps
) -> Point:
    """Double a step for as long as that leads lower."""
    step = there.w - here.w
    while True:
        step = 2 * step
        farther = at(objective, here.w + step, there, frame.means)
        steps.nfev += 1
        if not farther.value < there.value:
            return there
        there = farther


def _step(
    objective: LinearObjective, here: Point, frame: Frame, curvature: Any
) -> tuple[Vector, float, float]:
    """Give a step, the part of the gradient's largest entry that it leaves, and what is rounding.

    A step that promises no more gain than the last changes predictions by less than their rounding
    does, on average over the rows.
    """
    slope = frame.slope(here.gradient)
    gram = here.gram if curvature is own else None
    if gram is None:
        with np.errstate(over="ignore", invalid="ignore"):
            gram = objective.gram(here.w, curvature, frame.means)
    check_curvature(gram)
    step = -frame.solve(gram, slope)
    left = largest((slope + gram @ step) / frame.units) / largest(slope / frame.units)
    noise = frame.noise(here.w, gram)
    return frame.step(step), left, noise * noise

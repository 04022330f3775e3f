"""One fit of a robust linear model: what it knows, and what came out."""

from typing import TYPE_CHECKING

import numpy as np

from fastloss.fitting import newton
from fastloss.fitting.frame import Frame
from fastloss.fitting.magnitude import check_finite, check_normal
from fastloss.fitting.point import Point
from fastloss.fitting.steps import Steps
from fastloss.loss import Loss
from fastloss.optimize import LinearObjective
from fastloss.scale import NORMAL_MEDIAN, mad
from fastloss.typing import Array, Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

# So many roundings of the largest entry of y are what sums over the columns leave of a residual.
MET = 64
# So many of most rows' entries are what they leave of most residuals.
MOSTLY_MET = 8
ROWS_OF_SCALE = 1024


class Search:
    """One fit: the data, how to go downhill, and how far it has come."""

    def __init__(self, squares: LinearObjective, method: str, tol: float, steps: Steps) -> None:
        self.squares = squares
        self.newton = method == "auto" and squares.size <= squares.model.newton_coefficients
        self.chosen = method != "auto"
        self.method = method if self.chosen else "L-BFGS-B"
        self.tol = tol
        self.steps = steps
        self.converged = False
        self.message = ""
        self.w = np.zeros(squares.size)
        self.known: tuple[Loss, Point] | None = None
        self.gram: Array | None = None  # X'X in the frame
        if self.newton:
            with np.errstate(over="ignore", invalid="ignore"):
                self.frame, point = Frame.of(squares)
                squared = self.frame.means**2  # these stay where only their difference counts
            check_finite(squares, point.value, point.gradient, point.gram, squared)
            check_normal(squares, point, self.frame.means)
            self.gram = point.gram
            # Least squares: where R's rlm starts, and within reach of any other minimum.
            self.w = self.stepped(point)
            steps.nfev += 1
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                value, gradient = squares(self.w)
                curvature = squares.hessp(self.w, np.ones(squares.size))
            check_finite(squares, value, gradient, curvature)

    def descend(self, loss: Loss) -> None:
        """Go on by Newton's method."""
        objective = self.squares.with_loss(loss)
        point, self.converged = newton.minimise(objective, self.w, self.frame, self.tol, self.steps)
        self.w, self.known = point.w, (loss, point)
        if not self.converged and not self.steps.over and not self.squares.l2:
            # Where every row is met, what is left of the gradient is rounding over the threshold.
            self.converged = self.squares.spread(self.w).largest <= MET * self.least()

    def least(self) -> float:
        """Give the residual below which all is rounding."""
        return float(np.finfo(float).eps) * self.squares.model.largest_target()

    def mostly_least(self) -> float:
        """Give the residual below which all is rounding in most rows, whatever outliers are."""
        typical = NORMAL_MEDIAN * self.rough_scale(np.zeros_like(self.w))
        return MOSTLY_MET * float(np.finfo(float).eps) * typical

    def rough_scale(self, w: Vector) -> float:
        """Give the scale of the residuals of some rows, where these are at hand."""
        sample = self.squares.model.sample(ROWS_OF_SCALE)
        if sample is None or (sample[2] is not None and not sample[2].any()):
            return self.squares.spread(w).scale
        X, y, weight = sample
        rows = LinearObjective(X, y, fit_intercept=self.squares.fit_intercept)
        return mad(rows.residuals(w), weight, overwrite=True)

    def stepped(self, point: Point) -> Vector:
        """Take one whole step."""
        assert point.gram is not None
        step = self.frame.solve(point.gram, self.frame.slope(point.gradient))
        return point.w - self.frame.step(step)

    def scale(self) -> float:
        """Give the scale of the residuals."""
        return self.squares.spread(self.w).scale

    def result(self, loss: Loss) -> "OptimizeResult":
        """Give what was found for this loss."""
        from scipy.optimize import OptimizeResult

        if self.known is not None and self.known[0] is loss and self.known[1].w is self.w:
            value, gradient = self.known[1].value, self.known[1].gradient
        else:
            value, gradient = self.squares.with_loss(loss)(self.w)
        p = self.squares.shape[1]
        finite = bool(np.isfinite(self.w).all() and np.isfinite(value))
        success = bool(self.converged) and finite and not self.steps.stopped
        if not finite:
            self.message = "the coefficients or the loss overflow: rescale X or y"
        if self.steps.stopped or not self.message:
            self.message = (
                "the callback stopped the fit"
                if self.steps.stopped
                else "converged"
                if success
                else f"not converged after {self.steps.nit} steps{self.steps.reason}"
            )
        return OptimizeResult(
            x=self.w,
            fun=value,
            jac=gradient,
            success=success,
            message=self.message,
            stopped=self.steps.stopped,
            nit=self.steps.nit,
            nfev=self.steps.nfev,
            coef=self.w[:p].copy(),
            intercept=float(self.w[p]) if self.squares.fit_intercept else 0.0,
            scale=self.scale(),
            loss=loss,
        )

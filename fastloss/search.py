"""The ways to the minimum of a robust linear model: which one suits a loss, and what came out."""

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss import absolute, newton
from fastloss.curvature import majorising
from fastloss.definition import is_auto
from fastloss.formulas import L1, Huber, SmoothL1
from fastloss.loss import Loss, at_scale
from fastloss.magnitude import check_finite, check_normal
from fastloss.newton import Frame, Point, Steps
from fastloss.optimize import LinearObjective
from fastloss.scale import mad
from fastloss.turning import Turn
from fastloss.typing import Array, Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

# A loss whose threshold is below the residuals' scale is approached through thresholds that shrink
# by this factor, each of which may take so many steps.
SHRINKING = 0.1
STEPS_A_THRESHOLD = 30
# A fit of more than so many times that many rows for each column starts from these rows' minimum,
# where the gradient is so small a part of that at 0.
ROWS_OF_START = 64
ROWS_OF_SCALE = 1024
LARGE = 8
START = 1e-4
# Absolute error, whose threshold is 0, is approached as long as this many rows lie within the
# threshold for each coefficient: with fewer the curvature becomes singular.
ROWS_WITHIN = 4
# So many roundings of the largest entry of y are what sums over the columns leave of a residual.
MET = 64
# What `minimize` is told besides the gradient, for each method that uses one.
SCIPY_METHODS: dict[str, str | None] = {
    "CG": None,
    "BFGS": None,
    "L-BFGS-B": None,
    "TNC": None,
    "SLSQP": None,
    "Newton-CG": "hessp",
    "trust-ncg": "hessp",
    "trust-krylov": "hessp",
    "trust-constr": "hessp",
    "trust-exact": "hess",
    "dogleg": "hess",
}

# TNC has no limit of steps, only one of evaluations.
_LIMIT = {"TNC": "maxfun"}


class Search:
    """One fit: the data, how to go downhill, and how far it has come."""

    def __init__(self, squares: LinearObjective, method: str, tol: float, steps: Steps) -> None:
        self.squares = squares
        self.newton = method == "auto" and squares.size <= squares.model.newton_coefficients
        self.method = "L-BFGS-B" if method == "auto" else method
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
            self.w = self._stepped(point)
            steps.nfev += 1
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                value, gradient = squares(self.w)
                curvature = squares.hessp(self.w, np.ones(squares.size))
            check_finite(squares, value, gradient, curvature)

    def run(self, loss: Loss) -> "OptimizeResult":
        """Minimise the loss, in the way that suits it."""
        if not self.w.size:
            self.converged = True
            loss = at_scale(loss, self._scale()) if is_auto(loss) else loss
        elif is_auto(loss):
            loss = self._alternate(loss)
        elif not self.newton:
            if SCIPY_METHODS[self.method] is not None and _threshold(loss) == 0:
                raise ValueError(
                    f"method must not be {self.method!r} for {loss!r}, which has no curvature: "
                    "'auto' finds its minimum"
                )
            self._minimise_by_scipy(self.squares.with_loss(loss))
        else:
            threshold = _threshold(loss)
            if threshold is None:
                self._descend(loss)
            elif threshold > 0:
                self._approach(loss, threshold)
            else:
                self._minimise_absolute(loss)
        return self._result(loss)

    def turn(self) -> Turn | None:
        """Give the coordinates in which to search instead, None if these serve."""
        return None if self.gram is None else Turn.of(self.squares, self.frame, self.gram)

    def _descend(self, loss: Loss) -> None:
        """Go on by Newton's method."""
        objective = self.squares.with_loss(loss)
        point, self.converged = newton.minimise(objective, self.w, self.frame, self.tol, self.steps)
        self.w, self.known = point.w, (loss, point)
        if not self.converged and not self.steps.over and not self.squares.l2:
            # Where every row is met, what is left of the gradient is rounding over the threshold.
            self.converged = self.squares.spread(self.w).largest <= MET * self._least()

    def _least(self) -> float:
        """Give the residual below which all is rounding."""
        return float(np.finfo(float).eps) * self.squares.model.largest_target()

    def _stepped(self, point: Point) -> Vector:
        """Take one whole step."""
        assert point.gram is not None
        step = self.frame.solve(point.gram, self.frame.slope(point.gradient))
        return point.w - self.frame.step(step)

    def _approach(self, loss: Loss, threshold: float) -> None:
        """Minimise smooth L1 or Huber, from large thresholds, whose minimum is easy to find.

        Far below the residuals' scale the minimum is next to that of absolute error.
        """
        limit = self.steps.limit
        larger = SHRINKING * self._rough_scale()
        easier = Loss(SmoothL1(larger), loss.reduction)
        self._start_from_rows(easier if larger > threshold else loss)
        larger = SHRINKING * self._rough_scale()
        while larger > threshold and not self.steps.over:
            self.steps.limit = min(limit, self.steps.nit + STEPS_A_THRESHOLD)
            self._descend(Loss(SmoothL1(larger), loss.reduction))
            self.steps.limit = limit
            if not self.converged:
                break
            larger *= SHRINKING
        if larger > threshold and not self.steps.over:
            vertex = absolute.minimum(self.squares, self.w, self.frame)
            self.w = self.w if vertex is None else vertex
        self._descend(loss)

    def _start_from_rows(self, loss: Loss) -> None:
        """Start at the minimum over some rows, where least squares would be far from that of all.

        With a tenth of outliers, all on one side, that saves three passes over X of ten.
        """
        squares, p = self.squares, self.squares.shape[1]
        count = max(ROWS_OF_SCALE, ROWS_OF_START * p)
        if squares.shape[0] < LARGE * count:
            return
        sample = squares.model.sample(count)
        if sample is None or (sample[2] is not None and not sample[2].any()):
            return
        if sample[1].size < count // LARGE:  # little memory keeps few rows
            return
        X, y, weight = sample
        objective = LinearObjective(
            X,
            y,
            Loss(loss.formula),
            weight=weight,
            l2=squares.l2_of_mean,
            fit_intercept=squares.fit_intercept,
        )
        steps = Steps(STEPS_A_THRESHOLD, lambda w, value: None)
        point, found = newton.minimise(objective, self.w, self.frame, START, steps)
        self.w = point.w if found else self.w

    def _minimise_absolute(self, loss: Loss) -> None:
        """Minimise absolute error exactly, or within half a small threshold if X is large."""
        vertex = absolute.minimum(self.squares, self.w, self.frame)
        if vertex is not None:
            self.w, self.converged = vertex, True
            self.steps.done(self.w, self.squares.with_loss(loss)(self.w)[0])
            return
        threshold, limit = self._scale(), self.steps.limit
        found = False
        while not self.steps.over:
            if self.squares.within(self.w, threshold) < ROWS_WITHIN * self.w.size:
                break
            self.steps.limit = min(limit, self.steps.nit + STEPS_A_THRESHOLD)
            before = self.w
            self._descend(Loss(SmoothL1(threshold), loss.reduction))
            self.steps.limit = limit
            if not self.converged:
                self.w = before if found else self.w
                break
            found = True
            self.message = f"converged, as smooth L1 with beta = {threshold:.3g}"
            threshold *= SHRINKING
        self.converged = found

    def _minimise_by_scipy(self, objective: LinearObjective) -> None:
        from scipy.optimize import minimize

        second = SCIPY_METHODS[self.method]
        before = self.steps.nit
        try:
            result = minimize(
                objective,
                self.w,
                jac=True,
                method=self.method,
                tol=self.tol,
                options={_LIMIT.get(self.method, "maxiter"): self.steps.limit - self.steps.nit},
                callback=self._scipy_callback(objective),
                **({} if second is None else {second: getattr(objective, second)}),
            )
        except StopIteration:  # methods that do not know how a callback stops them
            return
        self.w = np.asarray(result.x)
        self.steps.nit = max(self.steps.nit, before + int(result.nit))
        self.steps.nfev += int(result.nfev)
        self.converged = bool(result.success)
        self.message = str(result.message)

    def _scipy_callback(self, objective: LinearObjective) -> Any:
        def step(w: Vector, value: float) -> None:
            self.w = w.copy()
            self.steps.done(w, value)
            if self.steps.stopped:
                raise StopIteration

        if self.method in ("TNC", "SLSQP"):  # these know only the older kind of callback
            return lambda xk: step(xk, objective(xk)[0])

        def callback(intermediate_result: "OptimizeResult") -> None:
            step(intermediate_result.x, float(intermediate_result.fun))

        return callback

    def _alternate(self, loss: Loss) -> Loss:
        """Estimate scale and coefficients in turns until the residuals stay where they are."""
        least = self._least()
        while True:
            spread, before = self.squares.spread(self.w), self.w
            found = at_scale(loss, max(spread.scale, least, np.finfo(float).tiny))
            if spread.scale <= least:  # most rows are met exactly
                self.converged = True
                return found
            if self.steps.over:
                return found
            objective = self.squares.with_loss(found)
            if self.newton:
                quadratic = objective.quadratic(self.w, majorising, self.frame.means)
                self.steps.nfev += 1
                self.w = self._stepped(Point(self.w, *quadratic))
                self.steps.done(self.w, quadratic[0])
            else:
                self._minimise_by_scipy(objective)
            noise = 2 * self.frame.noise(self.w) * self.squares.count**0.5 if self.newton else 0.0
            if self._change(self.w - before) <= self.tol * spread.norm + noise:
                self.converged = True
                return found

    def _change(self, step: Vector) -> float:
        """Give the norm of what a step changes the residuals by."""
        squares = self.squares
        if self.gram is not None:
            step = self.frame.coordinates(step)
            product = self.gram @ step
        else:
            product = squares.hessp(self.w, step)
        p = squares.shape[1]
        curved = float(step @ product) - squares.l2 * float(step[:p] @ step[:p])
        return sqrt(max(0.0, curved * squares.divisor / 2))

    def _scale(self) -> float:
        return self.squares.spread(self.w).scale

    def _rough_scale(self) -> float:
        """Give the scale of the residuals of some rows, where these are at hand."""
        sample = self.squares.model.sample(ROWS_OF_SCALE)
        if sample is None:
            return self._scale()
        X, y, weight = sample
        if weight is not None and not weight.any():
            return self._scale()
        rows = LinearObjective(X, y, fit_intercept=self.squares.fit_intercept)
        return mad(rows.residuals(self.w), weight, overwrite=True)

    def _result(self, loss: Loss) -> "OptimizeResult":
        from scipy.optimize import OptimizeResult

        if self.known is not None and self.known[0] is loss and self.known[1].w is self.w:
            value, gradient = self.known[1].value, self.known[1].gradient
        else:
            value, gradient = self.squares.with_loss(loss)(self.w)
        p = self.squares.shape[1]
        success = bool(self.converged) and not self.steps.stopped
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
            scale=self._scale(),
            loss=loss,
        )


def _threshold(loss: Loss) -> float | None:
    """Give the residual at which a loss becomes linear; None if that is not known."""
    formula: Any = loss.formula
    # The very classes: one derived from them may be any other loss.
    if type(formula) in (SmoothL1, Huber):
        return float(formula[0])
    return 0.0 if type(formula) is L1 else None

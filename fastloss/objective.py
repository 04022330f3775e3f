"""A penalised sum of losses over a linear model's rows, as fits ask for it: unchecked.

:class:`fastloss.LinearObjective` is one, with checked arguments and SciPy's methods.
"""

from typing import Self

import numpy as np

from fastloss.loss import Loss, check_reduced
from fastloss.model import Asked, Curvature, Curved, Model, Nearest
from fastloss.reduction import Reduction
from fastloss.scale import Spread
from fastloss.typing import Array, Vector


class Objective:
    """The loss of a linear model's rows, its derivatives and its residuals.

    Parameters
    ----------
    model : Model
        The rows.
    loss : Loss
        Reduction 'mean' or 'sum'.
    l2 : float
        Strength of the penalty.
    fit_intercept : bool
        Whether coefficients end with an intercept, which is not penalised.
    """

    def __init__(self, model: Model, loss: Loss, l2: float, fit_intercept: bool) -> None:
        self.model = model
        self.l2 = l2
        self.fit_intercept = fit_intercept
        # In other coordinates than those of the penalised coefficients, its Hessian.
        self._ridge: Array | None = None
        self._count = model.count()
        self._set_loss(loss)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self.model.shape

    def _set_loss(self, loss: Loss) -> None:
        check_reduced(loss)
        self.loss = loss
        self._divisor = 1.0 if loss.reduction == Reduction.SUM else self._count

    def with_loss(self, loss: Loss) -> Self:
        """Give an objective on the same data, which is neither copied nor checked again."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._set_loss(loss)
        return other

    def turned(self, means: Vector, turn: Array) -> Self | None:
        """Give an objective of ``(X - means) @ turn``, None if X cannot be had so."""
        model = self.model.turned(means, turn)
        if model is None:
            return None
        model.watch = self.model.watch
        other = self.with_loss(self.loss)
        other.model = model
        other._ridge = self.l2 * turn.T @ turn if self.l2 else None
        return other

    def penalise_as(self, other: "Objective") -> None:
        """Take the penalty of an objective of more rows; of this one, the reduction is the mean."""
        part = other._divisor / other._count
        self.l2 = part * other.l2
        self._ridge = None if other._ridge is None else part * other._ridge

    @property
    def divisor(self) -> float:
        """What the sum of the losses is divided by."""
        return self._divisor

    @property
    def count(self) -> float:
        """The number of rows, or the sum of their weights."""
        return self._count

    @property
    def size(self) -> int:
        """The length of ``w``."""
        return self.shape[1] + self.fit_intercept

    def quadratic(
        self,
        w: Vector,
        curvature: Curvature,
        means: Vector | None = None,
        known: tuple[Vector, Array] | None = None,
    ) -> tuple[float, Vector, Array]:
        """Give value, gradient and what :meth:`gram` gives, in one pass where that is to be had.

        From what :meth:`gram` gave at other coefficients, if that is known, by what differs.
        """
        there, before = (None, None) if known is None else known
        found = self._curved(w, curvature, means, there, differing=before is not None)
        if found is None:
            return *self._value_and_grad(w), self.gram(w, curvature, means)
        value, gradient = self._with_penalty(w, found.total, found.gradient)
        gram = self._with_ridge(found.gram) if before is None else before + found.gram
        return value, gradient, gram

    def quadratic_and_gradient(
        self, w: Vector, curvature: Curvature, means: Vector, other: Vector
    ) -> tuple[float, Vector, Array, Vector]:
        """Give what :meth:`quadratic` gives and the gradient at ``other``, in one pass."""
        found = self._curved(w, curvature, means, other)
        assert found is not None
        assert found.other is not None
        value, gradient = self._with_penalty(w, found.total, found.gradient)
        at_other = self._with_penalty(other, 0.0, found.other)[1]
        return value, gradient, self._with_ridge(found.gram), at_other

    @property
    def one_pass(self) -> bool:
        """Whether curvature comes with the gradient, in one pass over X."""
        return self.model.one_pass

    def gram(self, w: Vector, curvature: Curvature, means: Vector | None = None) -> Array:
        """Give ``X.T @ D @ X`` plus the penalty, for another curvature than the loss's own.

        Parameters
        ----------
        w : ndarray of float64, shape (p,) or (p + 1,)
        curvature : callable
            ``curvature(residual, grad, hess, where)`` gives the diagonal of D from the residuals of
            some rows and the loss's derivatives there, without weights; ``where`` is that of the
            arrays' library.
        means : ndarray of float64, optional
            Subtracted from X's columns where they are multiplied out.

        Returns
        -------
        ndarray of float64, shape (p, p) or (p + 1, p + 1)
        """
        found = self._curved(w, curvature, means)
        if found is not None:
            return self._with_ridge(found.gram)
        w = self._with_intercept(w)
        total = self.model.gram(self.loss.formula, w, curvature, means, self.size)
        return self._with_ridge(total / self._divisor)

    def _curved(
        self,
        w: Vector,
        curvature: Curvature,
        means: Vector | None,
        other: Vector | None = None,
        differing: bool = False,
    ) -> Curved | None:
        p = self.shape[1]
        means = np.zeros(p) if means is None else means[:p]
        other = None if other is None else self._with_intercept(other)
        asked = Asked(
            self.loss.formula,
            self._with_intercept(w),
            1.0 / self._divisor,
            curvature,
            means,
            other,
            differing,
        )
        found = self.model.curved(asked)
        if found is None:
            return None
        gradient, gram = found.gradient[: self.size], found.gram[: self.size, : self.size]
        beside = None if found.other is None else found.other[: self.size]
        return Curved(found.total, gradient, gram, beside)

    def _with_ridge(self, gram: Array) -> Array:
        p = self.shape[1]
        if self._ridge is None:
            gram[np.diag_indices(p)] += self.l2
        else:
            gram[:p, :p] += self._ridge
        return gram

    def nearest(self, w: Vector, count: int) -> Nearest | None:
        """Give the rows of smallest residuals, see :class:`fastloss.model.Model`."""
        found = self.model.nearest(self._with_intercept(w), count)
        return None if found is None else found._replace(slope=found.slope[: self.size])

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Whether residuals have changed their signs, see :class:`fastloss.model.Model`."""
        return self.model.changed(bound, *map(self._with_intercept, (before, after)))

    def spread(self, w: Vector) -> Spread:
        """Measure the residuals at ``w``."""
        return self.model.spread(self._with_intercept(w))

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals at ``w`` whose absolute value is below the threshold."""
        return self.model.within(self._with_intercept(w), threshold)

    def _value_and_grad(self, w: Vector) -> tuple[float, Vector]:
        return self._with_penalty(w, *self._evaluate(w))

    def _with_penalty(self, w: Vector, total: float, gradient: Vector) -> tuple[float, Vector]:
        value = total / self._divisor
        if self.l2:  # 0 times the norm would be NaN where that overflows
            slope = self.penalty_slope(w)
            value += 0.5 * float(w @ slope)
            gradient += slope
        return value, gradient

    def penalty_slope(self, w: Vector) -> Vector:
        """Give the gradient of the penalty, which is its Hessian times ``w``."""
        p = self.shape[1]
        slope = np.zeros_like(w)
        slope[:p] = self.l2 * w[:p] if self._ridge is None else self._ridge @ w[:p]
        return slope

    def _evaluate(self, w: Vector, direction: Vector | None = None) -> tuple[float, Vector]:
        total, gradient = self.model.evaluate(
            self.loss.formula,
            self._with_intercept(w),
            1.0 / self._divisor,
            None if direction is None else self._with_intercept(direction),
        )
        return total, gradient[: self.size]

    def _with_intercept(self, w: Vector) -> Vector:
        return w if self.fit_intercept else np.append(w, 0.0)

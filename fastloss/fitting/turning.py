"""Coordinates in which nearly dependent columns are apart, for fits that X'DX alone cannot solve.

And in which columns have no offset that is far larger than they vary.

Products of columns have twice the digits of the columns: where X's condition is above some 1e6,
X'DX does not know any more in what they differ, though X does. The eigenvectors of X'X, columns
scaled to 1, tell the directions apart; X itself is then multiplied by them, block by block, and
the products of these columns are exact again (as in Cholesky QR, done twice).
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastloss.fitting.frame import OFFSET, Frame
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

# Eigenvalues of X'X below this part of the largest have lost too many digits.
WEAK = 1e-9
# A direction in which X has less than this part of what rounding of X'X would leave is one in which
# it has nothing: columns depend on each other exactly.
NOTHING = 1e-12
# Or less than so many times what rounding of its columns leaves, which have offsets.
NOISE = 16.0


class Turn(NamedTuple):
    """Coordinates of X's columns, without the means."""

    means: Vector
    matrix: Array
    """Of shape (p, directions)."""

    @classmethod
    def of(cls, squares: LinearObjective, frame: Frame, gram: Array) -> "Turn | None":
        """Give those that a fit needs, None if it needs none or X cannot be had in others.

        Parameters
        ----------
        squares : LinearObjective
            Of squared errors.
        frame : Frame
        gram : ndarray
            Its X'X in the frame, with the penalty.
        """
        p = squares.shape[1]
        diagonal = np.diag(gram)[:p].copy()
        varies = ~frame.constant(gram)[:p] & (diagonal > 0)
        size = np.sqrt(np.where(varies, diagonal, 1.0))
        scaled = np.where(np.outer(varies, varies), gram[:p, :p], 0.0) / np.outer(size, size)
        # What varies by a small part of its offset is lost in a gradient, which has both.
        variance = diagonal / (gram[p, p] if squares.fit_intercept else np.inf)
        far = bool((varies & (variance < (OFFSET * frame.means[:p]) ** 2)).any())
        if not far and _well_conditioned(scaled[np.ix_(varies, varies)]):
            return None
        values, vectors = np.linalg.eigh(scaled)
        weak = values <= WEAK * values[-1]
        if not far and not weak.any():
            return None
        floor = p * np.finfo(float).eps * values[-1]
        matrix = vectors / size[:, None] / np.sqrt(np.maximum(values, floor))
        matrix[~varies] = 0.0
        turn = cls(frame.means[:p], matrix)
        turned = turn.applied(squares)
        if turned is None:
            return None
        there = _own_part(turned.hess(np.zeros(turned.size))[:p, :p])
        rounding = np.finfo(float).eps * (np.abs(frame.means[:p]) @ np.abs(matrix))
        known = there > np.maximum(NOTHING * there.max(), (NOISE * rounding) ** 2)
        return cls(turn.means, matrix[:, known]) if far or (known & weak).any() else None

    def applied(self, objective: LinearObjective) -> LinearObjective | None:
        """Give an objective of these coordinates' coefficients."""
        return objective.turned(self.means, self.matrix)

    def back(self, z: Vector) -> Vector:
        """Give the coefficients of X's own columns."""
        directions = self.matrix.shape[1]
        coef = self.matrix @ z[:directions]
        return np.concatenate((coef, z[directions:] - self.means @ coef))

    def restored(self, squares: LinearObjective, result: "OptimizeResult") -> "OptimizeResult":
        """Give a result in X's own coordinates."""
        x, p = self.back(result.x), squares.shape[1]
        value, gradient = squares.with_loss(result.loss)(x)
        result.update(x=x, fun=value, jac=gradient, coef=x[:p].copy())
        result.intercept = float(x[p]) if squares.fit_intercept else 0.0
        return result


def _own_part(gram: Array) -> Vector:
    """Give what each direction has, squared, beside what it shares with those that have more.

    Where X has nothing along an eigenvector of X'X, the eigenvector's own rounding is some of the
    others: 2e-6 of 1 where columns are equal and others vary by a thousandth of their offset.
    """
    from scipy.linalg import lapack

    factor, pivots, rank, _ = lapack.dpstrf(gram, tol=np.finfo(float).tiny)
    own = np.zeros(len(gram))
    own[pivots[:rank] - 1] = np.diag(factor)[:rank] ** 2
    return own


def _well_conditioned(gram: Array) -> bool:
    """Whether a symmetric matrix is far from singular: eigenvectors would take 30 times as long."""
    from scipy.linalg import lapack

    if not gram.size:
        return True
    factor, failed = lapack.dpotrf(gram)
    if failed:
        return False
    rcond, _ = lapack.dpocon(factor, np.abs(gram).sum(axis=0).max())
    return bool(rcond > WEAK)

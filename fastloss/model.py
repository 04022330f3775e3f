"""The data of a linear model: what an objective asks of X, y and weights, wherever they live."""

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastloss.arrays import require_divisor
from fastloss.formulas import Formula
from fastloss.progress import Watch
from fastloss.typing import Array, Vector

if TYPE_CHECKING:
    from fastloss.scale import Spread

# Coefficients up to which X'DX is formed and solved: 1,000 squared float64 are 8 MB.
COEFFICIENTS = 1000

# Gives the diagonal of D in X'DX from the residuals of some rows and the loss's derivatives there;
# the last argument is `where` of the arrays' library.
Curvature = Callable[[Any, Any, Any, Any], Any]


class Asked(NamedTuple):
    """What a pass over X is to give."""

    formula: Formula
    w: Vector
    scale: float
    """What the gradient and ``X.T @ D @ X`` are multiplied by."""
    curvature: Curvature
    means: Vector
    """What is taken off X's columns in ``X.T @ D @ X``."""
    other: Vector | None
    """Coefficients at which a gradient is wanted too, or from which D is to differ."""
    differing: bool
    """Whether D is wanted less the loss's own at the other coefficients: few rows may differ."""

    @property
    def beside(self) -> bool:
        """Whether a gradient at the other coefficients is wanted."""
        return self.other is not None and not self.differing


class Nearest(NamedTuple):
    """The rows that a model comes nearest to, and what the others do meanwhile."""

    X: Array
    y: Vector
    weight: Vector | None
    bound: float
    """What their residuals do not exceed, and those of all other rows do."""
    slope: Vector
    """That of the other rows' absolute error."""


class Curved(NamedTuple):
    """What a pass over X gives beside a value."""

    total: float
    """The sum of the losses."""
    gradient: Vector
    gram: Array
    """``X.T @ D @ X``."""
    other: Vector | None
    """The gradient at other coefficients, where that was wanted."""


class Model(Protocol):
    """Rows of a linear model, checked.

    Coefficients are float64 arrays of NumPy, of shape (p + 1,), the intercept last. What has an
    entry for each row stays where the data lives, as the data's kind of array.
    """

    X: Any
    y: Any
    weight: Any
    watch: Watch | None
    """What is told how far a pass has come, where rows are read block by block."""

    @property
    def newton_coefficients(self) -> int:
        """Coefficients up to which a fit goes by Newton's method if nothing else is said."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and ``scale`` times its gradient.

        With a direction, give the Hessian times it instead of the gradient.
        """

    @property
    def one_pass(self) -> bool:
        """Whether :meth:`curved` gives something for the loss's own curvature."""

    def curved(self, asked: Asked) -> Curved | None:
        """Evaluate with ``X.T @ D @ X``, and what is wanted at other coefficients.

        In one pass over X, with a column of ones beside it; None where that is not to be had.
        """

    def head(self, count: int) -> Array | None:
        """Give X's first rows, at most ``count``, in float64; None if not at hand."""

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None] | None:
        """Give ``count`` rows of X in float64, of y and of the weights; None if not at hand.

        All of them, if there are not so many.
        """

    def nearest(self, w: Vector, count: int) -> Nearest | None:
        """Give the ``count`` rows of smallest residuals that have weight; None if not at hand.

        All of them, if there are not so many.
        """

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Whether a residual beyond the bound at ``before`` has another sign at ``after``."""

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, with a column of ones beside X if ``size`` is p + 1.

        ``means`` are subtracted from X's columns.
        """

    def turned(self, means: Vector, turn: Array) -> "Model | None":
        """Give ``(X - means) @ turn`` beside the same y and weights; None if not at hand."""

    def residuals(self, w: Vector) -> Any:
        """Give ``X @ w - y``."""

    def spread(self, w: Vector) -> "Spread":
        """Measure the residuals."""

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals whose absolute value is below the threshold."""

    def largest_target(self) -> float:
        """Give the largest absolute value of y in the rows that have weight."""

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite, ``'X'`` or ``'y'``, with its first such row."""

    def where(self, row: int) -> str:
        """Say where a row lies, as ``'in chunk 3 of 32'``; nothing if all lie in one place."""

    def on_host(self) -> tuple[Array, Vector | None]:
        """Give X and the weights as NumPy arrays."""

    def to_host(self, array: Any) -> Vector:
        """Give an array of the data's kind as one of NumPy."""


def check_matrix(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless X has two dimensions and a row."""
    if len(shape) != 2:
        raise ValueError(f"X must have two dimensions, got the shape {shape}")
    if not shape[0]:
        raise ValueError(f"X must have at least one row, got the shape {shape}")


def check_vector(name: str, shape: tuple[int, ...], n: int) -> None:
    """Raise ValueError unless a vector has an entry for each row."""
    if shape != (n,):
        raise ValueError(f"{name} must have the shape ({n},), one for each row of X, got {shape}")


def check_each_weight(
    weight: Vector, low: int = 0, where: Callable[[int], str] = lambda row: ""
) -> None:
    """Raise ValueError if a weight is negative or NaN, naming the first such row.

    They are those from row ``low`` on; ``where`` says in which file a row lies.
    """
    first = first_bad_weight(weight)
    if first is not None:
        raise bad_weight(weight[first], low + first, where(low + first))


def first_bad_weight(weight: Vector) -> int | None:
    """Give which weight is the first that is negative or NaN."""
    return None if weight.min() >= 0 else int(np.flatnonzero(~(weight >= 0))[0])


def bad_weight(value: float, row: int, where: str = "") -> ValueError:
    """Give the error for a weight that is negative or NaN."""
    place = ", ".join(filter(None, (f"row {row}", where)))
    return ValueError(f"weight must not be negative or NaN, got {value} in {place}")


def check_total_weight(total: float) -> None:
    """Raise ValueError unless the sum of weights is in range."""
    if not (total > 0 and isfinite(total)):
        raise ValueError(f"weight must have a positive finite sum, got {total}")
    require_divisor(total, np.dtype(np.float64))

"""Some rows of a linear model, as kernels take them."""

from typing import NamedTuple

from fastloss.cpu import linear
from fastloss.cpu.apart import Apart
from fastloss.cpu.design import Design
from fastloss.cpu.layout import vector
from fastloss.cpu.model import first_bad_rows
from fastloss.typing import Array, Vector


class Piece(NamedTuple):
    """Consecutive rows in memory."""

    low: int
    """The number of the first row."""
    design: Design
    y: Vector
    weight: Vector | None
    X: Array | Apart

    @classmethod
    def of(
        cls, low: int, design: Design, X: Array | Apart, y: Array, weight: Array | None
    ) -> "Piece":
        """Take vectors of any layout."""
        return cls(low, design, vector(y), None if weight is None else vector(weight), X)

    def residuals(self, w: Vector) -> Vector:
        """Give ``X @ w - y``."""
        return linear.residuals(self.design, self.y, w)

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals whose absolute value is below the threshold."""
        return int((abs(self.residuals(w)) < threshold).sum())

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row, among all rows."""
        return {name: self.low + row for name, row in first_bad_rows(self.X, self.y).items()}

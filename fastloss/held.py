"""What the models of rows have in common whose arrays are held in memory, the host's or a GPU's."""

from typing import Any

from fastloss.model import COEFFICIENTS
from fastloss.progress import Watch
from fastloss.scale import Spread, largest
from fastloss.typing import Vector


class HeldRows:
    """Part of a :class:`fastloss.model.Model`: residuals fit beside the rows."""

    y: Any
    weight: Any
    watch: Watch | None = None
    newton_coefficients = COEFFICIENTS

    def residuals(self, w: Vector) -> Any:
        """Give ``X @ w - y``."""
        raise NotImplementedError

    def spread(self, w: Vector) -> Spread:
        """Measure the residuals."""
        return Spread.of(self.residuals(w), self.weight)

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals whose absolute value is below the threshold."""
        return int((abs(self.residuals(w)) < threshold).sum())

    def largest_target(self) -> float:
        """Give the largest absolute value of y in the rows that have weight."""
        return largest(self.y, self.weight)

    def where(self, row: int) -> str:
        """Say nothing: all rows lie in one place."""
        return ""

"""How residuals that pass by are spread."""

from math import sqrt

from fastloss.losses import MSELoss
from fastloss.scale import Spread, largest
from fastloss.stream.middle import Middle
from fastloss.typing import Vector


class Measure:
    """What is kept of residuals for a :class:`fastloss.scale.Spread`.

    Parameters
    ----------
    middle : Middle
        What keeps those around the median.
    """

    def __init__(self, middle: Middle) -> None:
        self._middle = middle
        self._squares = 0.0
        self._largest = 0.0

    def add(self, residuals: Vector, weight: Vector | None) -> None:
        """Take the residuals of some rows."""
        self._middle.add(residuals, weight)
        self._squares += float(MSELoss(reduction="sum")(residuals, 0.0, weight))
        self._largest = max(self._largest, largest(residuals, weight))

    def merge(self, other: "Measure") -> None:
        """Take what another one has taken, with the same bounds around the median."""
        self._middle.merge(other._middle)
        self._squares += other._squares
        self._largest = max(self._largest, other._largest)

    def spread(self) -> Spread | None:
        """Give the spread, or None if the median was not kept."""
        scale = self._middle.scale()
        return None if scale is None else Spread(scale, sqrt(self._squares), self._largest)

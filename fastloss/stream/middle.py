"""The median of residuals that pass by, in one pass and little memory."""

import numpy as np

from fastloss.scale import NORMAL_MEDIAN, mad
from fastloss.typing import Vector

# How far from the middle of a sample, in standard deviations of its rank, that of all can lie.
DEVIATIONS = 6.0
# Sums of weights are known to this part of them.
ROUNDING = 1e-9


class Middle:
    """Keeps the sizes of residuals around the median that a sample has, and counts the others.

    Parameters
    ----------
    sample : ndarray of float64
        Residuals of some rows.
    weight : ndarray, optional
        Their weights.
    """

    def __init__(self, sample: Vector, weight: Vector | None) -> None:
        sizes = np.abs(sample)
        order = sizes.argsort()
        share = np.full(sizes.size, 1 / sizes.size)
        if weight is not None and weight.any():
            share = weight[order] / weight.sum()
        rank = np.cumsum(share)
        spread = DEVIATIONS * 0.5 * float(np.sqrt((share * share).sum()))
        sizes = sizes[order]
        low = int(np.searchsorted(rank, 0.5 - spread))
        high = int(np.searchsorted(rank, 0.5 + spread))
        # Beyond the sample's ends nothing is known.
        self._low = float(sizes[low - 1]) if low else -1.0
        self._high = float(sizes[high]) if high < sizes.size else np.inf
        self._below = self._above = 0.0
        self._sizes: list[Vector] = []
        self._weights: list[Vector] = []

    def add(self, residuals: Vector, weight: Vector | None) -> None:
        """Take the residuals of some rows."""
        sizes = np.abs(residuals)
        below, above = sizes <= self._low, sizes >= self._high
        kept = ~(below | above)
        self._sizes.append(sizes[kept])
        if weight is None:
            self._below += np.count_nonzero(below)
            self._above += np.count_nonzero(above)
        else:
            self._below += float(weight[below].sum(dtype=np.float64))
            self._above += float(weight[above].sum(dtype=np.float64))
            self._weights.append(weight[kept].astype(np.float64))

    def merge(self, other: "Middle") -> None:
        """Take what another one has taken, whose bounds come from the same sample."""
        self._below += other._below
        self._above += other._above
        self._sizes += other._sizes
        self._weights += other._weights

    def scale(self) -> float | None:
        """Give what :func:`fastloss.scale.mad` gives for all, or None if it was not kept."""
        sizes = np.concatenate(self._sizes)
        if not self._weights:
            below, count = int(self._below), int(self._below + self._above) + sizes.size
            first, second = (count - 1) // 2 - below, count // 2 - below
            if first < 0 or second >= sizes.size:
                return None
            middle = np.partition(sizes, (first, second))
            return float(middle[first] + middle[second]) / 2 / NORMAL_MEDIAN
        weight = np.concatenate(self._weights)
        # Next to the ends of what was kept, what was only counted may come into it.
        margin = ROUNDING * (self._below + self._above)
        if abs(self._above - self._below) >= float(weight.sum()) - margin:
            return None
        # One of size 0 and an infinite one stand for those that were only counted.
        sizes = np.append(sizes, (0.0, np.inf))
        return mad(sizes, np.append(weight, (self._below, self._above)))

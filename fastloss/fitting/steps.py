"""How far a fit has come, and what watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastloss.typing import Vector


@dataclass
class Steps:
    """How many steps and evaluations a fit has used, and what watches it."""

    limit: int
    callback: Callable[[Vector, float], Any]
    nit: int = 0
    nfev: int = 0
    stopped: bool = False
    reason: str = ""
    """Why there were no more steps, where none was refused."""
    back: Callable[[Vector], Vector] = np.copy
    """Gives the caller's coefficients of those that steps are taken in."""
    last: tuple[Vector, float] | None = None
    """Where the last step led, and the value there."""

    @property
    def over(self) -> bool:
        """Whether no more steps are allowed."""
        return self.stopped or self.nit >= self.limit

    def done(self, w: Vector, value: float) -> None:
        """Count a step and show it to the callback, which may stop the fit."""
        self.nit += 1
        self.last = self.back(w), value
        try:
            self.callback(*self.last)
        except StopIteration:
            self.stopped = True

"""Formulas of a user's own."""

import math
from typing import NamedTuple


class PseudoHuber(NamedTuple):
    """SciPy's ``soft_l1``, halved, where ``delta`` is 1."""

    delta: float = 1.0

    def value(self, r):
        return self.delta**2 * (math.sqrt(1 + (r / self.delta) ** 2) - 1)

    def grad(self, r):
        return r / math.sqrt(1 + (r / self.delta) ** 2)

    def hess(self, r):
        return (1 + (r / self.delta) ** 2) ** -1.5


class Tilted(NamedTuple):
    """Not symmetric: input and target cannot change places."""

    def value(self, r):
        return math.exp(r) - r

    def grad(self, r):
        return math.exp(r) - 1

    def hess(self, r):
        return math.exp(r)


class Cauchy(NamedTuple):
    """A loss whose curvature is negative far out."""

    c: float = 1.0

    def value(self, r):
        return 0.5 * self.c**2 * math.log1p((r / self.c) ** 2)

    def grad(self, r):
        return r / (1 + (r / self.c) ** 2)

    def hess(self, r):
        return (1 - (r / self.c) ** 2) / (1 + (r / self.c) ** 2) ** 2

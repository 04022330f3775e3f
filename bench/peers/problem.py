"""What every competitor computes, on which numbers, and whether they agree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Smooth L1 and Huber coincide here, so those who have only one of them compute the same.
BETA = 1.0
KINDS = ("mean", "none", "grad", "value_and_grad")
# Arrays that have to be moved, each once: two inputs and, but for the mean, one output.
STREAMS = {"mean": 2, "none": 3, "grad": 3, "value_and_grad": 3}

Call = Callable[[], Any]


@dataclass(frozen=True)
class Peer:
    """An implementation of the losses of some kinds, and perhaps of the linear objective.

    It is prepared on given arrays and gives a call without arguments, so that what is timed is the
    computation alone: output arrays exist before where it can write to them.
    """

    name: str
    elementwise: dict[str, Callable[[np.ndarray, np.ndarray], Call]]
    linear: Callable[[np.ndarray, np.ndarray, np.ndarray], Call] | None = None
    version: str = ""
    kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "kinds", tuple(self.elementwise))


def elementwise_data(n: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give input and target whose residuals lie on both sides of the threshold."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(n, dtype), rng.standard_normal(n, dtype)


def linear_data(n: int, p: int, dtype: Any, order: str) -> tuple[np.ndarray, ...]:
    """Give X, y and coefficients at which residuals lie on both sides of the threshold."""
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((n, p), dtype), order=order)
    truth = rng.standard_normal(p) / np.sqrt(p)
    y = (X @ truth.astype(dtype) + rng.standard_normal(n, dtype)).astype(dtype)
    return X, y, np.zeros(p)


def agree(what: str, ours: Any, theirs: Any, dtype: Any) -> None:
    """Raise AssertionError unless two results are equal to rounding in this precision.

    Elements may differ by a few roundings of their own. A sum of n terms (a mean, a product with
    X) carries its peer's own error, which grows with n, and is compared at a thousand roundings.
    """
    eps = float(np.finfo(dtype).eps)
    if what in ("value_and_grad", "linear"):
        agree("mean", ours[0], theirs[0], dtype)
        agree("grad" if what == "value_and_grad" else "mean", ours[1], theirs[1], dtype)
        return
    ours, theirs = np.ravel(ours), np.ravel(theirs)
    assert ours.size == theirs.size, f"{what}: {ours.size} and {theirs.size} elements"
    if what == "mean":
        limit = 1000 * eps * float(np.abs(ours).max())
        error = float(np.abs(ours - theirs).max())
        assert error <= limit, f"{what}: differs by {error:.2g}, more than {limit:.2g}"
        return
    piece = 1 << 18  # temporaries of this size stay in the cache
    for low in range(0, ours.size, piece):
        a, b = ours[low : low + piece], theirs[low : low + piece]
        wrong = ~(np.abs(a - b) <= 8 * eps * np.abs(a))  # also where one of them is NaN
        i = int(wrong.argmax())
        assert not wrong[i], f"{what}: element {low + i} is {a[i]!r} and {b[i]!r}"

"""What a formula raises ends the call, on whichever thread it is raised."""

from typing import NamedTuple

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu.finished import marks
from fastloss.cpu.formula import bind
from fastloss.formulas import FORMULAS

SIZE = 300_000


class Bounded(NamedTuple):
    """A formula that refuses large residuals."""

    bound: float = 3.0

    def value(self, r):
        if abs(r) > self.bound:
            raise ValueError("a residual is out of bounds")
        return r * r

    def grad(self, r):
        if abs(r) > self.bound:
            raise ValueError("a residual is out of bounds")
        return 2 * r

    def hess(self, r):
        if abs(r) > self.bound:
            raise ValueError("a residual is out of bounds")
        return 2.0


LOSS = fl.Loss(Bounded(), "sum")
OUT_OF_BOUNDS = pytest.raises(ValueError, match="^a residual is out of bounds$")


@pytest.mark.parametrize(
    ("method", "reduction", "weighted"),
    [
        ("__call__", "none", False),
        ("__call__", "mean", True),
        ("value_and_grad", "sum", False),
        pytest.param("grad_and_hess", "none", True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("size", [10, SIZE])
def test_an_element_anywhere_ends_a_call(method, reduction, weighted, size):
    loss = fl.Loss(Bounded(), reduction)
    weight = np.ones(size) if weighted else None
    for where in np.linspace(0, size - 1, 7).astype(int):
        x = np.zeros(size)
        x[where] = 4
        with OUT_OF_BOUNDS:
            getattr(loss, method)(x, np.zeros(size), weight)


@pytest.mark.parametrize("where", [0, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("method", ["__call__", pytest.param("hess", marks=pytest.mark.slow)])
def test_a_row_anywhere_ends_an_evaluation(where, method):
    X, y = np.ones((SIZE, 2)), np.zeros(SIZE)
    y[where] = 4
    objective = fl.LinearObjective(X, y, LOSS)
    with OUT_OF_BOUNDS:
        getattr(objective, method)(np.zeros(2))


def test_outputs_past_the_cache_and_pieces_end_a_call_too(monkeypatch):
    monkeypatch.setattr("fastloss.cpu.memory.last_level_cache", lambda: 0)
    x = np.zeros(SIZE)
    x[-1] = 4
    with OUT_OF_BOUNDS:
        LOSS.grad(x, np.zeros(SIZE))
    with OUT_OF_BOUNDS:
        LOSS.grad(x, 0.0)


def test_the_next_call_is_as_any_other():
    x = np.full(SIZE, 4.0)
    with OUT_OF_BOUNDS:
        LOSS(x, np.zeros(SIZE))
    assert LOSS(x, np.full(SIZE, 2.0)) == 4 * SIZE


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_formulas_of_the_package_leave_no_marks(formula, dtype):
    assert marks(bind(formula(), np.dtype(dtype)), 3) is None


def test_blocks_of_other_formulas_leave_a_mark_each():
    assert marks(bind(Bounded(), np.dtype(float)), 3).tolist() == [False] * 3

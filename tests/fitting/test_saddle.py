"""Fits of losses that are not convex end neither at maxima nor at saddle points."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import minimize

import fastloss as fl
from tests.formulas import Cauchy

LOSS = fl.Loss(Cauchy())


def test_between_two_groups_of_rows_it_goes_to_one_of_them():
    y = np.array([-3.0, 3.0, -3.0, 3.0])
    result = fl.fit(np.ones((4, 1)), y, LOSS, fit_intercept=False)
    assert result.success
    assert abs(result.x) == pytest.approx([np.sqrt(8)])  # where the slopes of both groups cancel
    assert result.fun < LOSS(np.zeros(4), y)


class Power(NamedTuple):
    """Convex, but of infinite curvature at 0."""

    def value(self, r):
        return abs(r) ** 1.5

    def grad(self, r):
        return 1.5 * math.copysign(math.sqrt(abs(r)), r)

    def hess(self, r):
        return 0.75 / math.sqrt(abs(r)) if r else math.inf


def test_infinite_curvature_is_no_reason_to_leave_a_minimum():
    X = np.arange(8.0)[:, None]
    result = fl.fit(X, np.zeros(8), fl.Loss(Power()))
    assert result.success
    assert result.fun == 0
    assert result.nfev <= 4


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_where_it_ends_the_loss_curves_up_in_all_directions(l2):
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, p = rng.integers(8, 40), rng.integers(1, 4)
        X, y = rng.standard_normal((n, p)) * 100.0 ** rng.integers(-1, 2, p), rng.standard_cauchy(n)
        result = fl.fit(X, 3 * y, LOSS, l2=l2)
        objective = fl.LinearObjective(X, 3 * y, LOSS, l2=l2, fit_intercept=True)
        units = np.r_[np.sqrt((X**2).mean(axis=0)), 1.0]
        curvature = objective.hess(result.x) / np.outer(units, units)
        assert result.success
        assert np.linalg.eigvalsh(curvature)[0] > -1e-7
        ends = minimize(objective, result.x, jac=True, method="BFGS")
        assert ends.fun >= result.fun - 1e-9
        found += result.fun < objective.value(np.zeros(p + 1))
    assert found > 50

import math
from typing import NamedTuple

import numpy as np
import pytest

import fastloss as fl
from tests.formulas import Cauchy, Tilted


def test_a_loss_that_is_not_convex_is_fitted():
    X = np.arange(20.0)[:, None]
    y = 2 * X[:, 0] + 1
    y[::3] += 100
    result = fl.fit(X, y, fl.Loss(Cauchy()))
    assert result.success
    np.testing.assert_allclose(result.jac, 0, atol=1e-6)


@pytest.mark.parametrize("size", [1e12, 1e15, 1e18, 1e20, 9.96921e36])
@pytest.mark.parametrize(
    "loss", [fl.SmoothL1Loss(), fl.HuberLoss(delta=0.1), fl.SmoothL1Loss(beta=3.0)], ids=repr
)
def test_what_steps_gain_may_be_hidden_by_the_rounding_of_far_outliers(loss, size):
    rng = np.random.default_rng(11)
    X = np.column_stack((rng.standard_normal((60, 2)), np.ones(60)))
    y = X @ [1.0, 2.0, 0.5] + rng.standard_t(3, size=60)
    y[:6] = size
    result = fl.fit(X[:, :2], y, loss)
    assert result.success
    slopes = np.clip((X @ result.x - y) / loss.formula[0], -1, 1)
    np.testing.assert_allclose(X.T @ slopes / 60, 0, atol=1e-9)


class Walled(NamedTuple):
    """Infinite beyond 10, without a slope there."""

    def value(self, r):
        return 0.5 * r * r if abs(r) < 10 else math.inf

    def grad(self, r):
        return r if abs(r) < 10 else 0.0

    def hess(self, r):
        return 1.0 if abs(r) < 10 else 0.0


@pytest.mark.parametrize("method", ["auto", "BFGS"])
@pytest.mark.parametrize("formula", [Tilted(), Walled()])
def test_a_loss_that_overflows_is_no_success(method, formula):
    with pytest.warns(fl.ConvergenceWarning, match="the loss overflow: rescale X or y"):
        result = fl.fit(
            np.zeros((5, 1)), np.full(5, -1e3), fl.Loss(formula), method=method, fit_intercept=False
        )
    assert result.fun == np.inf
    assert not result.success


def test_coefficients_whose_squares_overflow_are_found():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 2))
    y = X @ [1.0, 2.0] + 0.5 + rng.standard_t(3, size=60)
    expected = fl.fit(X, y, fit_intercept=False)
    loss = fl.SmoothL1Loss(beta=1e150)
    result = fl.fit(1e-20 * X, 1e150 * y, loss, fit_intercept=False)
    assert result.success
    np.testing.assert_allclose(result.coef / 1e170, expected.coef, rtol=1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_few_rows_of_which_some_are_far_off_do_not_stop_it(seed):
    """Where every row is beyond the threshold there is no curvature at all."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 2))
    y = 1 + 2 * X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(20)
    y[:2] += 50
    for loss in (fl.SmoothL1Loss(), fl.SmoothL1Loss(beta="auto"), fl.HuberLoss(delta=0.01)):
        result = fl.fit(X, y, loss)
        assert result.success
        np.testing.assert_allclose(result.x, [2, -1, 1], atol=0.5)


@pytest.mark.parametrize("one_sided", [pytest.param(False, marks=pytest.mark.slow), True])
def test_more_outliers_than_other_rows_end_at_a_minimum(one_sided):
    rng = np.random.default_rng(0)
    X, coef = rng.standard_normal((20_000, 20)), rng.standard_normal(20)
    y = X @ coef + 0.1 * rng.standard_normal(20_000)
    far = 1e6 * rng.standard_normal(12_000)
    y[:12_000] += np.abs(far) if one_sided else far + 5e6 * X[:12_000, 0]
    result = fl.fit(X, y, fl.HuberLoss())
    assert result.success, result.message
    r = y - X @ result.coef - result.intercept
    slopes = np.clip(r, -1, 1)
    assert np.abs(X.T @ slopes).max() < 1e-4 * np.abs(X.T @ np.clip(y, -1, 1)).max()


def test_a_curvature_that_overflows_is_refused_in_our_words():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(200)
    with pytest.raises(ValueError, match="X is too large for the loss"):
        fl.fit(X * 1e150, y, fl.SmoothL1Loss(beta=1e-12))


class Contradictory(NamedTuple):
    """A formula whose gradient is not that of its value."""

    def value(self, r):
        return r * r

    def grad(self, r):
        return 2.0 * r - 1.0

    def hess(self, r):
        return 2.0 + 0.0 * r


def test_a_gradient_that_leads_nowhere_lower_is_told():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(300)
    with pytest.warns(fl.ConvergenceWarning, match="none leads lower from there"):
        result = fl.fit(X, y, fl.Loss(Contradictory()))
    assert not result.success

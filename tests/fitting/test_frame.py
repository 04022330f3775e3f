import numpy as np
import pytest

import fastloss as fl
from fastloss.fitting.frame import Frame


def test_columns_of_any_unit_give_the_same_model(outliers):
    X, y, _ = outliers
    units = np.array([1e-8, 1e-4, 1.0, 1e3, 1e6, 1e9])
    plain = fl.fit(X, y)
    scaled = fl.fit(X * units, y)
    assert scaled.success
    np.testing.assert_allclose(scaled.coef * units, plain.coef, rtol=1e-6)


@pytest.mark.parametrize("span", [1.0, 100.0, 3600.0, 1e6])
@pytest.mark.parametrize("loss", [fl.MSELoss(), fl.SmoothL1Loss(), fl.SmoothL1Loss(beta="auto")])
def test_a_column_far_from_zero_loses_nothing(loss, span):
    """Seconds since 1970, which differ by little from a multiple of the intercept's column."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.random(500)) * span
    y = 5 * t / span + 0.1 * rng.standard_normal(500)
    near = fl.fit(t[:, None], y, loss)
    far = fl.fit((1.7e9 + t)[:, None], y, loss)
    assert near.success
    assert far.success
    # 1.7e9 + t is itself rounded to 2.4e-7.
    assert far.fun == pytest.approx(near.fun, rel=max(1e-6, 1e-4 / span))
    assert far.coef[0] == pytest.approx(near.coef[0], rel=1e-4)


def test_columns_whose_first_rows_are_nothing_like_the_others_are_measured():
    """What is taken off columns before they are squared is seen in the first 1,024 rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 2))
    kept = np.r_[np.zeros(1200), np.ones(18_800)]  # the first rows are looked at, but do not count
    deviations = X[1200:].std(axis=0)
    X[1200:] += 1e9
    squares = fl.LinearObjective(X, X[:, 0], fl.MSELoss(), weight=kept, fit_intercept=True)
    frame, point = Frame.of(squares)
    np.testing.assert_allclose(frame.means[:2], X[1200:].mean(axis=0), rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.diag(point.gram)[:2], 2 * deviations**2, rtol=1e-4)

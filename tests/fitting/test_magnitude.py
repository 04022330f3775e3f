import numpy as np
import pytest

import fastloss as fl


@pytest.mark.parametrize("scale", [1e-155, 1e-170, 1e-300])
def test_numbers_whose_squares_underflow_are_refused(outliers, scale):
    X, y, _ = outliers
    with pytest.raises(ValueError, match="^X is too small.*rescale"):
        fl.fit(scale * X, y)
    with pytest.raises(ValueError, match="^y is too small.*rescale"):
        fl.fit(X, scale * y)
    weight = np.full(len(y), 1e-300)
    with pytest.raises(ValueError, match="^y, or weight, is too small.*rescale"):
        fl.fit(X, y, fl.SmoothL1Loss(reduction="sum"), weight=weight)
    one = X.copy()
    one[:, 1] *= scale
    for fit_intercept in (False, True):
        with pytest.raises(ValueError, match="^X is too small.*rescale"):
            fl.fit(one, y, fit_intercept=fit_intercept)


def test_columns_and_targets_of_zeros_are_not_too_small(outliers):
    X, y, _ = outliers
    one = np.column_stack([X, np.zeros(len(y))])
    result = fl.fit(one, y)
    assert result.coef[-1] == 0
    np.testing.assert_allclose(result.coef[:-1], fl.fit(X, y).coef, rtol=1e-6)
    assert fl.fit(X, 0 * y).fun == 0


def test_numbers_whose_squares_overflow_are_refused():
    X, y = np.full((5, 1), 1e200), np.arange(5.0)
    with pytest.raises(ValueError, match="too large.*rescale"):
        fl.fit(X, y)


@pytest.mark.parametrize(
    ("where", "bad", "words"),
    [
        ("y", np.nan, "y must be finite, but its row 17 is not"),
        ("X", np.inf, "X must be finite, but its row 17 is not"),
        ("X", np.nan, "X must be finite, but its row 17 is not"),
    ],
)
def test_rows_that_are_not_finite_are_named(outliers, where, bad, words):
    X, y, _ = (a.copy() for a in outliers)
    (X[:, 2] if where == "X" else y)[[17, 1500]] = bad
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
        fl.fit(X, y)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_rows_without_weight_do_not_say_whether_numbers_are_large_enough(fit_intercept):
    """Dummies of a class that a cross-validation has left out."""
    X = np.repeat(np.eye(3), 4, axis=0)
    y = np.arange(12.0)
    weight = np.repeat([0.0, 1.0, 1.0], 4)
    result = fl.fit(X, y, weight=weight, fit_intercept=fit_intercept)
    assert result.coef[0] == 0
    there = weight > 0
    expected = fl.fit(X[there][:, 1:], y[there], fit_intercept=fit_intercept)
    assert result.fun == pytest.approx(expected.fun, rel=1e-12)
    assert fl.fit(X, y * (weight == 0), weight=weight).fun == 0
    far = np.where(weight > 0, y, 1e100)
    auto = fl.SmoothL1Loss(beta="auto")
    near = fl.fit(X, y, auto, weight=weight)
    assert fl.fit(X, far, auto, weight=weight).fun == pytest.approx(near.fun, rel=1e-6)

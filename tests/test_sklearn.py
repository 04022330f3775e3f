"""The estimator behaves as scikit-learn's own do, and fits as fastloss.fit does."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastloss as fl
from fastloss.sklearn import SmoothL1Regressor


@parametrize_with_checks(
    [SmoothL1Regressor(), SmoothL1Regressor(beta=0.5), SmoothL1Regressor(beta=0.0)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 4))
    y = X @ [1.0, -2.0, 3.0, 0.5] + 4 + 0.1 * rng.standard_normal(500)
    y[::10] += 30
    return X, y


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be_are_named_as_the_argument_is(data, bad):
    X, y = data
    weight = np.ones(500)
    weight[7] = bad
    with pytest.raises(ValueError, match="sample_weight"):
        SmoothL1Regressor().fit(X, y, weight)


@pytest.mark.parametrize("beta", ["auto", 0.2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_it_fits_as_fit_does(data, beta, fit_intercept):
    X, y = data
    weight = np.linspace(0.5, 1.5, 500)
    model = SmoothL1Regressor(beta=beta, alpha=0.01, fit_intercept=fit_intercept)
    model.fit(X, y, weight)
    loss = fl.SmoothL1Loss(beta=beta)
    result = fl.fit(X, y, loss, weight=weight, l2=0.01, fit_intercept=fit_intercept)
    np.testing.assert_array_equal(model.coef_, result.coef)
    assert model.intercept_ == result.intercept
    assert model.scale_ == result.scale
    assert model.beta_ == result.loss.formula[0]
    assert model.n_iter_ == result.nit
    np.testing.assert_allclose(model.predict(X), X @ result.coef + result.intercept, rtol=1e-15)


def test_outliers_do_not_ruin_it_and_are_found(data):
    X, y = data
    model = SmoothL1Regressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, [1, -2, 3, 0.5], atol=0.03)
    outliers = np.flatnonzero(model.outliers_)
    assert set(range(0, 500, 10)) <= set(outliers)
    # Of normal residuals 18 % lie beyond 1.345 deviations.
    assert len(outliers) - 50 < 0.3 * 450
    assert model.score(X[1::10], y[1::10]) > 0.99
    theirs = HuberRegressor(alpha=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=0.02)


def test_it_goes_into_pipelines_searches_and_pickles(data):
    X, y = data
    model = make_pipeline(StandardScaler(), SmoothL1Regressor(beta=0.5))
    assert cross_val_score(model, X, y, cv=3).shape == (3,)
    again = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert clone(model[1]).get_params() == model[1].get_params()


def test_float32_is_not_refused(data):
    X, y = data
    model = SmoothL1Regressor().fit(X.astype(np.float32), y)
    np.testing.assert_allclose(model.coef_, SmoothL1Regressor().fit(X, y).coef_, atol=1e-5)


def test_failure_to_converge_warns(data):
    with pytest.warns(ConvergenceWarning, match=r"raise max_iter \(1\) or tol"):
        SmoothL1Regressor(beta=0.001, max_iter=1).fit(*data)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"beta": -1.0}, ValueError, "beta must be >= 0, got -1"),
        ({"beta": "huge"}, TypeError, "beta must be"),
        ({"alpha": -1.0}, ValueError, "alpha must be at least 0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"tol": -1.0}, ValueError, "tol must be"),
    ],
)
def test_bad_parameters_are_refused_when_it_fits(data, parameters, error, words):
    with pytest.raises(error, match=words):
        SmoothL1Regressor(**parameters).fit(*data)


def test_without_scikit_learn_the_import_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import fastloss.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "fastloss[sklearn]"' in run.stderr.splitlines()[-1]

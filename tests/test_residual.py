"""A model of one's own under a robust loss."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

import fastloss as fl

t = np.linspace(0.1, 3, 40)


def predict(w):
    return w[0] * np.exp(-w[1] * t)


def vjp(w, u):
    e = np.exp(-w[1] * t)
    return np.array([u @ e, -w[0] * (u @ (t * e))])


@pytest.fixture
def target():
    y = predict([3.0, 0.7])
    y[::8] += 10
    return y


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_those_of_the_loss(target, reduction, weighted):
    loss = fl.SmoothL1Loss(reduction=reduction, beta=0.3)
    weight = np.linspace(1, 2, t.size) if weighted else None
    objective = fl.optimize.ResidualObjective(predict, vjp, target, loss, weight=weight)
    w = np.array([2.0, 0.5])
    value, gradient = objective(w)
    assert value == loss(predict(w), target, weight)
    expected = approx_fprime(w, lambda w: objective(w)[0], 1e-7)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP", "trust-constr"])
def test_solvers_of_scipy_find_the_curve_beneath_outliers(target, method):
    objective = fl.optimize.ResidualObjective(predict, vjp, target, fl.SmoothL1Loss(beta=0.01))
    # A method of least squares ends elsewhere.
    squares = fl.optimize.ResidualObjective(predict, vjp, target, fl.MSELoss())
    start = minimize(squares, [1.0, 1.0], jac=True).x
    assert abs(start - [3, 0.7]).max() > 0.1
    result = minimize(objective, start, jac=True, method=method, tol=1e-10)
    np.testing.assert_allclose(result.x, [3, 0.7], atol=0.01)


def test_each_gradient_is_a_new_array(target):
    buffer = np.zeros(2)
    objective = fl.optimize.ResidualObjective(
        predict, lambda w, u: np.copyto(buffer, vjp(w, u)) or buffer, target, fl.MSELoss()
    )
    w = np.array([2, 1])
    first, second = objective(w)[1], objective(w)[1]
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, buffer)
    assert first.dtype == np.float64


def test_a_value_that_is_nan_has_no_finite_gradient(target):
    objective = fl.optimize.ResidualObjective(
        lambda w: np.full(t.shape, np.nan), lambda w, u: np.zeros(2), target, fl.MSELoss()
    )
    value, gradient = objective([1.0, 1.0])
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    assert not minimize(objective, [1.0, 1.0], jac=True, method="L-BFGS-B").success


def test_a_target_may_have_axes():
    target = np.arange(6.0).reshape(2, 3)
    objective = fl.optimize.ResidualObjective(
        lambda w: w.reshape(2, 3) * 1.0, lambda w, u: u.ravel(), target, fl.MSELoss()
    )
    value, gradient = objective(np.zeros(6))
    assert value == np.mean(target**2)
    np.testing.assert_allclose(gradient, -target.ravel() / 3)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"predict": 1}, TypeError, "predict must be callable, got 1"),
        ({"vjp": None}, TypeError, "vjp must be callable, got None"),
        ({"loss": "huber"}, TypeError, "loss must be a fastloss.Loss"),
        ({"loss": fl.L1Loss(reduction="none")}, ValueError, "'mean' or 'sum', got 'none'"),
        ({"target": ["a"]}, TypeError, "target must hold real numbers"),
        ({"predict": lambda w: w}, ValueError, r"target's shape \(40,\), got \(2,\)"),
        ({"vjp": lambda w, u: u}, ValueError, r"shape \(2,\) of w, got \(40,\)"),
        ({"weight": [1.0, 2.0]}, ValueError, "weight must broadcast"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, error, words):
    arguments = {"predict": predict, "vjp": vjp, "target": t, "loss": fl.MSELoss(), **changes}
    with pytest.raises(error, match=words):
        fl.optimize.ResidualObjective(**arguments)([1.0, 1.0])


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([-1.0, 1.0], "weight must not be negative"),
        ([0.0, 0.0], "weight must have a positive finite sum"),
        ([1.0, 1.0, 1.0], "weight must broadcast"),
    ],
)
def test_weights_are_checked_once(weight, words):
    with pytest.raises(ValueError, match=words):
        fl.optimize.ResidualObjective(
            lambda w: w, lambda w, u: u, np.zeros(2), fl.SmoothL1Loss(), weight=weight
        )


def test_weights_may_be_whole_numbers():
    x = np.arange(3.0)

    def value(weight):
        objective = fl.optimize.ResidualObjective(
            lambda w: w[0] * x, lambda w, u: np.array([u @ x]), x, fl.MSELoss(), weight=weight
        )
        return objective([2.0])[0]

    assert value(np.array([1, 2, 1])) == value([1.0, 2.0, 1.0]) == 1.5
    with pytest.raises(ValueError, match="weight must not be negative"):
        value([1, -1, 1])
    with pytest.raises(ValueError, match="weight must have a positive finite sum, got inf"):
        value([1e308, 1e308, 1e308])

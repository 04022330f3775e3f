import copy
import pickle

import numba
import numpy as np
import pytest
from scipy.optimize import minimize

import fastloss as fl
from fastloss.fitting.by_scipy import METHODS


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5))
    y = X @ np.arange(1.0, 6.0) + 2.0 + 0.1 * rng.standard_normal(400)
    y[::10] += 50 * rng.standard_normal(40)
    return X, y


# trust-krylov multiplies memory that it has not set by 0.
@pytest.mark.filterwarnings("ignore:.*encountered in multiply:RuntimeWarning:scipy")
@pytest.mark.parametrize("method", METHODS)
def test_every_gradient_method_of_scipy_finds_the_minimum(data, method):
    X, y = data
    objective = fl.LinearObjective(X, y, fl.SmoothL1Loss(beta=0.5), l2=1e-4, fit_intercept=True)
    best = fl.fit(X, y, fl.SmoothL1Loss(beta=0.5), l2=1e-4)
    needs = METHODS[method]
    start = best.x + 0.05 if method == "dogleg" else np.zeros(6)  # needs a positive Hessian
    result = minimize(
        objective,
        start,
        jac=True,
        method=method,
        tol=1e-10,
        options={"maxfun" if method == "TNC" else "maxiter": 1000},
        **({needs: getattr(objective, needs)} if needs else {}),
    )
    assert result.fun == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(result.x, best.x, atol=2e-3)


def test_each_gradient_is_a_new_float64_array(data):
    X, y = data
    objective = fl.LinearObjective(X.astype(np.float32), y.astype(np.float32))
    first = objective(np.zeros(5))[1]
    kept = first.copy()
    second = objective(np.ones(5))[1]
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    for gradient in (first, objective.hessp(np.zeros(5), np.ones(5))):
        assert gradient.dtype == np.float64
        assert gradient.flags.c_contiguous
        assert gradient.flags.writeable


def test_a_missing_value_does_not_look_like_success(data):
    X, y = data
    X = X.copy()
    X[3, 2] = np.nan
    with np.errstate(invalid="ignore"):
        result = minimize(fl.LinearObjective(X, y), np.zeros(5), jac=True, method="L-BFGS-B")
    assert not result.success or np.isnan(result.fun)
    assert np.isnan(result.jac).all()


GOOD = {"X": np.ones((4, 2)), "y": np.ones(4)}


@pytest.mark.parametrize("make", [fl.LinearObjective, fl.fit], ids=["LinearObjective", "fit"])
@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"X": np.ones(4)}, ValueError, r"X must have two dimensions, got the shape \(4,\)"),
        ({"X": np.ones((4, 2, 1))}, ValueError, "X must have two dimensions"),
        ({"X": np.ones((0, 2))}, ValueError, "X must have at least one row"),
        ({"X": np.ones((4, 2), complex)}, TypeError, "X must hold real numbers"),
        ({"X": [["a", "b"]] * 4}, TypeError, "X must hold real numbers"),
        ({"X": None}, TypeError, "X must hold real numbers"),
        ({"y": np.ones(3)}, ValueError, r"y must have the shape \(4,\).*got \(3,\)"),
        ({"y": np.ones((4, 1))}, ValueError, r"y must have the shape \(4,\).*got \(4, 1\)"),
        ({"y": np.ones(4, object)}, TypeError, "y must hold real numbers"),
        ({"weight": np.ones(3)}, ValueError, r"weight must have the shape \(4,\)"),
        ({"weight": 2.0}, ValueError, r"weight must have the shape \(4,\)"),
        (
            {"weight": [1, 1, 1, -1]},
            ValueError,
            "weight .* negative or NaN, got -1.0 in row 3",
        ),
        (
            {"weight": [1, 1, 1, np.nan]},
            ValueError,
            "weight .* negative or NaN, got nan in row 3",
        ),
        ({"weight": np.zeros(4)}, ValueError, "weight must have a positive finite sum, got 0.0"),
        ({"weight": [1, 1, 1, np.inf]}, ValueError, "weight must have a positive finite sum"),
        ({"weight": [1e308] * 4}, ValueError, "weight must have a positive finite sum, got inf"),
        ({"weight": [5e-324] * 4}, ValueError, "whose inverse float64 can hold, got 2e-323: resc"),
        ({"weight": ["a"] * 4}, TypeError, "weight must hold real numbers"),
        ({"l2": -1}, ValueError, "l2 must be at least 0 and finite, got -1"),
        ({"l2": np.nan}, ValueError, "l2 must be at least 0 and finite, got nan"),
        ({"l2": np.inf}, ValueError, "l2 must be at least 0 and finite, got inf"),
        ({"l2": "1"}, TypeError, "l2 must hold real numbers"),
        ({"l2": [1.0]}, TypeError, "l2 must be a number"),
        ({"loss": fl.SmoothL1Loss(reduction="none")}, ValueError, "'mean' or 'sum', got 'none'"),
        ({"fit_intercept": "no"}, TypeError, "fit_intercept must be a bool, got 'no'"),
        ({"loss": "huber"}, TypeError, "loss must be a fastloss.Loss, got 'huber'"),
        ({"loss": fl.SmoothL1Loss}, TypeError, "loss must be a fastloss.Loss"),
    ],
    ids=str,
)
def test_bad_input_is_named_when_given(make, changed, error, words):
    with pytest.raises(error, match=words):
        make(**(GOOD | changed))


@pytest.mark.parametrize("method", ["__call__", "hess", "value", "grad", "hessp"])
@pytest.mark.parametrize(
    ("w", "error"),
    [(np.ones(3), ValueError), (np.ones((2, 1)), ValueError), (["a", "b"], TypeError)],
)
def test_coefficients_of_the_wrong_shape_are_refused(method, w, error):
    objective = fl.LinearObjective(**GOOD)
    with pytest.raises(error, match="w must"):
        getattr(objective, method)(*([w, np.ones(2)] if method == "hessp" else [w]))


def test_direction_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"v must have the shape \(2,\)"):
        fl.LinearObjective(**GOOD).hessp(np.ones(2), np.ones(3))


def test_auto_threshold_needs_fit():
    objective = fl.LinearObjective(**GOOD, loss=fl.SmoothL1Loss(beta="auto"))
    with pytest.raises(ValueError, match="fastloss.fit finds it"):
        objective(np.zeros(2))


def test_pickles_and_copies(data):
    X, y = data
    objective = fl.LinearObjective(X, y, weight=np.ones(len(y)), l2=0.5, fit_intercept=True)
    w = np.arange(6.0)
    for other in (pickle.loads(pickle.dumps(objective)), copy.deepcopy(objective)):
        assert other(w)[0] == objective(w)[0]


def test_another_loss_on_the_same_data_is_checked_too(data):
    objective = fl.LinearObjective(*data)
    assert objective.with_loss(fl.MSELoss()).value(np.zeros(5)) > objective.value(np.zeros(5))
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'none'"):
        objective.with_loss(fl.MSELoss(reduction="none"))
    with pytest.raises(TypeError, match="loss must be a fastloss.Loss"):
        objective.with_loss("huber")


def test_no_penalty_on_coefficients_whose_norm_overflows():
    objective = fl.LinearObjective(np.full((3, 1), 1e-160), np.zeros(3), fl.L1Loss())
    assert objective([1e160])[0] == pytest.approx(1.0)


@pytest.mark.parametrize("p", [0, 1, 7, 8, 40])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_grad_hess_is_what_the_methods_give(p, order, dtype, fit_intercept, weighted):
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((300, p)).astype(dtype), order=order)
    y, weight = rng.standard_normal(300), rng.random(300) if weighted else None
    objective = fl.LinearObjective(
        X, y, fl.HuberLoss(), weight=weight, l2=0.3, fit_intercept=fit_intercept
    )
    w = rng.standard_normal(objective.size)
    value, gradient, hessian = objective.value_grad_hess(w)
    assert value == pytest.approx(objective(w)[0], rel=1e-15)
    np.testing.assert_allclose(gradient, objective(w)[1], rtol=1e-12, atol=1e-14)
    columns = [objective.hessp(w, e) for e in np.eye(objective.size)]
    np.testing.assert_allclose(hessian, np.reshape(columns, hessian.shape), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(hessian, objective.hess(w))


def test_value_grad_hess_takes_two_passes_over_many_columns():
    rng = np.random.default_rng(0)
    objective = fl.LinearObjective(rng.standard_normal((300, 300)), rng.standard_normal(300))
    w = rng.standard_normal(300)
    value, gradient, hessian = objective.value_grad_hess(w)
    assert (value, *gradient) == (objective(w)[0], *objective(w)[1])
    np.testing.assert_array_equal(hessian, objective.hess(w))


def test_value_grad_hess_has_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    objective = fl.LinearObjective(rng.standard_normal((20_000, 9)), rng.standard_normal(20_000))
    w = rng.standard_normal(9)
    several = objective.value_grad_hess(w)
    numba.set_num_threads(1)
    try:
        alone = objective.value_grad_hess(w)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for a, b in zip(several, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_infinite_memory_limit_of_half_precision_is_refused():
    with pytest.raises(ValueError, match="memory_limit must be at least"):
        fl.LinearObjective(np.ones((3, 1)), np.ones(3), memory_limit=np.float16(np.inf))

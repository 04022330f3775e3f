import math
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, linprog

import fastloss as fl
from fastloss import absolute, newton
from fastloss.cpu.model import HostModel, spread_out
from fastloss.newton import Frame
from fastloss.scale import mad
from fastloss.search import ROWS_OF_SCALE
from fastloss.turning import WEAK, Turn, _well_conditioned

STACKLOSS = Path(__file__).parents[1] / "docs" / "data" / "stackloss.csv"


@pytest.fixture(scope="module")
def stackloss():
    data = np.loadtxt(STACKLOSS, delimiter=",", skiprows=1)
    return data[:, :3], data[:, 3]


@pytest.fixture(scope="module")
def outliers():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 6))
    coef = rng.standard_normal(6)
    y = X @ coef + 3.0 + rng.standard_normal(2000)
    y[::7] += 100 * rng.standard_normal(y[::7].size)
    return X, y, coef


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(beta="auto"), fl.HuberLoss(delta="auto")])
def test_auto_threshold_gives_what_rlm_of_mass_publishes(stackloss, loss):
    result = fl.fit(*stackloss, loss)
    assert result.success
    np.testing.assert_allclose(result.coef, [0.8294, 0.9261, -0.1278], atol=6e-4)
    assert result.intercept == pytest.approx(-41.0265, abs=6e-4)
    assert result.scale == pytest.approx(2.441, abs=1e-3)
    assert result.loss.formula[0] == pytest.approx(1.345 * result.scale, rel=1e-6)
    assert type(result.loss) is type(loss)


def test_auto_threshold_is_a_fixed_point(outliers):
    X, y, coef = outliers
    result = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"))
    again = fl.fit(X, y, fl.SmoothL1Loss(beta=1.345 * result.scale))
    np.testing.assert_allclose(again.x, result.x, rtol=1e-6)
    np.testing.assert_allclose(result.coef, coef, atol=0.1)
    assert result.intercept == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    "loss",
    [fl.SmoothL1Loss(), fl.SmoothL1Loss(beta=0.01), fl.HuberLoss(delta=0.5, reduction="sum")],
    ids=repr,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_direction_leads_lower(outliers, loss, weighted):
    X, y, _ = outliers
    weight = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
    result = fl.fit(X, y, loss, weight=weight)
    assert result.success
    objective = fl.LinearObjective(X, y, loss, weight=weight, fit_intercept=True)
    assert objective(result.x)[0] == result.fun
    for direction in np.random.default_rng(2).standard_normal((50, 7)):
        assert objective.value(result.x + 1e-4 * direction) >= result.fun


def test_squared_error_is_least_squares(outliers):
    X, y, _ = outliers
    expected = np.linalg.lstsq(np.column_stack((X, np.ones(len(y)))), y)[0]
    np.testing.assert_allclose(fl.fit(X, y, fl.MSELoss()).x, expected, rtol=1e-10)


def test_penalty_shrinks_all_but_the_intercept():
    X, y = np.arange(10.0)[:, None], 5 + 2 * np.arange(10.0)
    result = fl.fit(X, y, fl.MSELoss(), l2=1e9)
    np.testing.assert_allclose(result.coef, 0, atol=1e-6)
    assert result.intercept == pytest.approx(y.mean())


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-exact", "Newton-CG", "SLSQP", "TNC"])
def test_methods_of_scipy_agree_with_newton(outliers, method):
    X, y, _ = outliers
    expected = fl.fit(X, y)
    result = fl.fit(X, y, method=method, tol=1e-10)
    assert result.fun == pytest.approx(expected.fun, rel=1e-7)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-3)


def test_absolute_error_reaches_the_exact_minimum(stackloss):
    """Against linear programming, which solves the problem exactly."""
    X, y = stackloss
    n, p = X.shape
    A = np.column_stack((X, np.ones(n), np.eye(n), -np.eye(n)))
    cost = np.r_[np.zeros(p + 1), np.ones(2 * n)]
    bounds = [(None, None)] * (p + 1) + [(0, None)] * (2 * n)
    exact = linprog(cost, A_eq=A, b_eq=y, bounds=bounds)
    for loss in (fl.L1Loss(reduction="sum"), fl.SmoothL1Loss(beta=0, reduction="sum")):
        result = fl.fit(X, y, loss)
        assert result.success
        assert result.fun == pytest.approx(exact.fun, rel=1e-12)


def test_absolute_error_of_many_rows_says_how_near_it_came():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30_000, 8))
    y = X @ np.arange(8.0) + rng.standard_t(2, 30_000)
    result = fl.fit(X, y, fl.L1Loss())
    assert result.success
    threshold = float(result.message.rpartition("= ")[2])
    assert threshold < 0.1 * result.scale
    objective = fl.LinearObjective(X, y, fl.L1Loss(), fit_intercept=True)
    for direction in rng.standard_normal((50, 9)):
        assert objective.value(result.x + 0.01 * direction) > result.fun


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


@pytest.mark.parametrize("unit", [1e-15, 1e-9, 1e9, 1e15])
@pytest.mark.parametrize("weight", [1e-12, 1.0, 1e25])
def test_absolute_error_does_not_depend_on_units(unit, weight):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 3))
    y = X @ [1.0, 2, 3] + rng.standard_cauchy(300)
    expected = fl.fit(X, y, fl.L1Loss())
    result = fl.fit(X, y * unit, fl.L1Loss(), weight=np.full(300, weight))
    assert result.success
    assert result.fun / unit == pytest.approx(expected.fun, rel=1e-9)


class Cauchy(NamedTuple):
    """A loss whose curvature is negative far out."""

    c: float = 1.0

    def value(self, r):
        return 0.5 * self.c**2 * math.log1p((r / self.c) ** 2)

    def grad(self, r):
        return r / (1 + (r / self.c) ** 2)

    def hess(self, r):
        return (1 - (r / self.c) ** 2) / (1 + (r / self.c) ** 2) ** 2


class Pinball(fl.formulas.L1):
    """Derived from a formula of fastloss, and quite another loss."""

    def value(self, r):
        return abs(r) * (0.9 if r < 0 else 0.1)

    def grad(self, r):
        return -0.9 if r < 0 else 0.1


def test_a_loss_that_is_not_convex_is_fitted():
    X = np.arange(20.0)[:, None]
    y = 2 * X[:, 0] + 1
    y[::3] += 100
    result = fl.fit(X, y, fl.Loss(Cauchy()))
    assert result.success
    np.testing.assert_allclose(result.jac, 0, atol=1e-6)


def test_a_class_derived_from_l1_is_not_taken_for_it():
    rng = np.random.default_rng(0)
    X = rng.random((400, 1))
    y = X[:, 0] + rng.standard_normal(400)
    result = fl.fit(X, y, fl.Loss(Pinball()))
    assert result.fun == pytest.approx(0.1682952, abs=1e-7)  # by a linear program


@pytest.mark.parametrize("method", ["Newton-CG", "trust-exact", "dogleg"])
def test_second_order_methods_refuse_a_loss_without_curvature(outliers, method):
    X, y, _ = outliers
    with pytest.raises(ValueError, match="no curvature"):
        fl.fit(X, y, fl.L1Loss(), method=method)


def test_threshold_far_below_the_noise_does_not_stop_newton(outliers):
    X, y, _ = outliers
    result = fl.fit(X, y, fl.SmoothL1Loss(beta=1e-3))
    assert result.success
    assert result.nit < 60


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(), fl.SmoothL1Loss(beta="auto"), fl.L1Loss()])
@pytest.mark.parametrize(
    "X",
    [
        np.column_stack((np.arange(30.0), 2 * np.arange(30.0))),
        np.column_stack((np.arange(30.0), np.full(30, 7.0))),
        np.column_stack((np.arange(30.0), np.full(30, 0.1))),
        np.column_stack((np.arange(30.0), np.zeros(30))),
        np.random.default_rng(0).standard_normal((30, 40)),
        np.empty((30, 0)),
    ],
    ids=[
        "twice a column",
        "constant column",
        "constant 0.1",
        "zero column",
        "more columns than rows",
        "none",
    ],
)
def test_a_model_that_is_not_unique_is_still_fitted(loss, X):
    y = 3 * np.arange(30.0) + np.random.default_rng(1).standard_normal(30)
    result = fl.fit(X, y, loss)
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.fun)
    if X.shape[1] <= 2:
        assert result.success


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


@pytest.mark.parametrize("one_sided", [False, True])
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


@pytest.mark.parametrize("scale", [1e-155, 1e-170, 1e-300])
def test_numbers_whose_squares_underflow_are_refused(outliers, scale):
    X, y, _ = outliers
    with pytest.raises(ValueError, match="^X is too small.*rescale"):
        fl.fit(scale * X, y)
    with pytest.raises(ValueError, match="^y is too small.*rescale"):
        fl.fit(X, scale * y)
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


@pytest.mark.parametrize("offset", [1e7, 1e9, 1e11, 1e12])
def test_columns_that_hardly_vary_are_told_apart_to_their_digits(offset):
    """Eleven digits of 1e11 are offset: what the other five say is found."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 3)) + offset
    coef = np.array([1.0, -2.0, 0.5])
    y = (X - offset) @ coef + 0.1 * rng.standard_normal(2000)
    result, centred = fl.fit(X, y), fl.fit(X - offset, y)
    assert result.success
    atol = 100 * np.finfo(float).eps * offset
    np.testing.assert_allclose(result.coef, centred.coef, atol=atol)
    assert result.fun == pytest.approx(centred.fun, rel=max(1e-9, atol))


def test_numbers_whose_squares_overflow_are_refused():
    X, y = np.full((5, 1), 1e200), np.arange(5.0)
    with pytest.raises(ValueError, match="too large.*rescale"):
        fl.fit(X, y)


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(), fl.HuberLoss(delta="auto"), fl.L1Loss()])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_model_without_coefficients_has_only_a_loss(loss, rows):
    y = np.arange(1.0, rows + 1)
    result = fl.fit(np.empty((rows, 0)), y, loss, fit_intercept=False)
    assert result.x.shape == (0,)
    assert result.success
    assert result.fun == result.loss(np.zeros(rows), y)


def test_a_perfect_fit_of_most_rows_ends():
    X = np.arange(20.0)[:, None]
    y = 1 + 2 * X[:, 0]
    y[3] = 1000
    result = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"))
    assert result.success
    np.testing.assert_allclose(result.x, [2, 1], atol=1e-6)
    exact = fl.fit(X, 1 + 2 * X[:, 0], fl.HuberLoss(delta="auto"))
    assert exact.success
    np.testing.assert_allclose(exact.x, [2, 1], atol=1e-9)


def test_result_has_the_fields_of_scipy_and_more(outliers):
    X, y, _ = outliers
    result = fl.fit(X, y)
    assert result.success is True
    assert result.nit >= 1
    assert result.nfev >= result.nit
    np.testing.assert_array_equal(result.x, np.r_[result.coef, result.intercept])
    assert result.scale == pytest.approx(mad(X @ result.coef + result.intercept - y))
    assert result.loss == fl.SmoothL1Loss()
    assert fl.fit(X, y, fit_intercept=False).intercept == 0.0
    assert fl.fit(X, y, fit_intercept=False).x.shape == (6,)


@pytest.mark.parametrize("method", ["auto", "L-BFGS-B", "TNC"])
def test_callback_sees_each_step_and_may_stop(outliers, method):
    X, y, _ = outliers
    seen = []
    fl.fit(X, y, fl.SmoothL1Loss(beta=0.1), method=method, callback=seen.append)
    assert seen
    assert all(step.x.shape == (7,) and np.isfinite(step.fun) for step in seen)

    def stop(step):
        raise StopIteration

    for loss in (fl.SmoothL1Loss(beta=0.1), fl.SmoothL1Loss(beta="auto")):
        result = fl.fit(X, y, loss, method=method, callback=stop)
        assert result.nit == 1
        assert not result.success
        assert result.message == "the callback stopped the fit"


def test_too_few_steps_are_told(outliers):
    X, y, _ = outliers
    for loss in (fl.SmoothL1Loss(beta=0.01), fl.SmoothL1Loss(beta="auto")):
        with pytest.warns(fl.ConvergenceWarning, match="not converged after 1 steps") as caught:
            result = fl.fit(X, y, loss, max_iter=1)
        assert caught[0].filename == __file__
        assert not result.success
        assert "not converged" in result.message
        assert result.nit == 1


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


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "Nelder-Mead"}, ValueError, "method must be one of auto, CG.*'Nelder-Mead'"),
        ({"method": None}, ValueError, "method must be one of"),
        ({"tol": -1}, ValueError, "tol must be a number of at least 0, got -1"),
        ({"tol": np.nan}, ValueError, "tol must be"),
        ({"tol": "a"}, TypeError, "tol must hold real numbers"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer, got 1.5"),
        ({"callback": 3}, TypeError, "callback must be callable or None, got 3"),
    ],
)
def test_bad_options_are_named(outliers, options, error, words):
    X, y, _ = outliers
    with pytest.raises(error, match=words):
        fl.fit(X, y, **options)


def test_scale_is_the_median_absolute_residual():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 6, 101):
        r = rng.standard_normal(size)
        assert mad(r) == pytest.approx(1.482602218505602 * np.median(np.abs(r)), rel=1e-12)
        assert mad(r, np.full(size, 0.5)) == pytest.approx(mad(r), rel=1e-12)
        assert mad(np.repeat(r, 3), None) == pytest.approx(mad(r, np.full(size, 3.0)), rel=1e-12)
    r = np.array([1.0, 2.0, 50.0, 3.0])
    assert mad(r, np.array([1.0, 1.0, 0.0, 1.0])) == mad(r[[0, 1, 3]])


def test_weights_count_rows(outliers):
    X, y, _ = (a[:300] for a in outliers)
    counts = np.random.default_rng(1).integers(0, 4, 300)
    for loss in (fl.SmoothL1Loss(), fl.SmoothL1Loss(beta="auto")):
        weighted = fl.fit(X, y, loss, weight=counts)
        repeated = fl.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), loss)
        np.testing.assert_allclose(weighted.x, repeated.x, rtol=1e-6)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("beta", [1e-8, 1e-3, 1.0])
def test_more_columns_than_rows_are_met_exactly(seed, beta):
    X = np.random.default_rng(seed).standard_normal((5, 20))
    result = fl.fit(X, np.arange(5.0), fl.SmoothL1Loss(beta=beta))
    assert result.success, result.message
    np.testing.assert_allclose(X @ result.coef + result.intercept, np.arange(5.0), atol=1e-12)


def test_a_curvature_that_overflows_is_refused_in_our_words():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(200)
    with pytest.raises(ValueError, match="X is too large for the loss"):
        fl.fit(X * 1e150, y, fl.SmoothL1Loss(beta=1e-12))


def test_a_fit_reads_the_matrix_eight_times_at_most(monkeypatch):
    """Half a million rows of 40 columns, a tenth of them outliers, in a small copy."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 40))
    y = X @ rng.standard_normal(40) + 1 + rng.standard_normal(40_000)
    y[::10] += rng.uniform(20, 100, 4_000)
    passes = []
    for name in ("evaluate", "curved", "gram", "residuals"):
        original = getattr(HostModel, name)

        def counted(self, *arguments, original=original, name=name):
            found = original(self, *arguments)
            if found is not None and self.shape == X.shape:  # not some of its rows
                passes.append(name)
            return found

        monkeypatch.setattr(HostModel, name, counted)
    result = fl.fit(X, y, fl.HuberLoss(delta=1.345))
    assert result.success
    assert len(passes) <= 8, passes


def test_a_fit_takes_little_memory_beside_the_matrix():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 40))
    y = X @ rng.standard_normal(40) + rng.standard_normal(200_000)
    fl.fit(X, y, fl.HuberLoss())
    tracemalloc.start()
    try:
        fl.fit(X, y, fl.HuberLoss())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 0.05 * X.nbytes


def nearly_dependent(far):
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 1000))
    y = v + 0.01 * rng.standard_normal(1000)
    return np.column_stack((far * u, far * u + v)), np.column_stack((u, v)), y


@pytest.mark.parametrize("far", [1e5, 1e6, 1e7, 1e8])
@pytest.mark.parametrize(
    "loss", [fl.MSELoss(), fl.HuberLoss(delta=0.005), fl.SmoothL1Loss(beta="auto")], ids=repr
)
def test_nearly_dependent_columns_are_told_apart(loss, far):
    X, apart, y = nearly_dependent(far)
    seen = []
    result = fl.fit(X, y, loss, callback=lambda state: seen.append(state.x))
    expected = fl.fit(apart, y, loss)
    assert result.success
    assert result.fun == pytest.approx(expected.fun, rel=1e-6)
    residuals = X @ result.coef + result.intercept - y
    assert result.scale == pytest.approx(np.median(abs(residuals)) / 0.67449, rel=1e-5)
    assert all(x.shape == (3,) for x in seen)


def test_a_polynomial_in_years_is_fitted():
    rng = np.random.default_rng(0)
    years = rng.uniform(1950, 2020, 500)
    t = (years - 1985) / 35
    y = np.polynomial.chebyshev.chebval(t, [1, 2, -1, 0.5, 0.3]) + 0.1 * rng.standard_normal(500)
    powers = np.vander(years, 5)[:, :-1]
    centred = np.polynomial.chebyshev.chebvander(t, 4)[:, 1:]
    for loss in (fl.MSELoss(), fl.SmoothL1Loss(beta=0.05)):
        assert fl.fit(powers, y, loss).fun == pytest.approx(fl.fit(centred, y, loss).fun, rel=1e-6)


def test_exactly_dependent_columns_share_a_coefficient():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((2000, 2))
    y = Z @ [1.0, 2.0] + rng.standard_normal(2000)
    result = fl.fit(np.column_stack((Z, Z[:, 0])), y)
    assert result.success
    assert result.coef[0] == pytest.approx(result.coef[2])
    assert result.fun == pytest.approx(fl.fit(Z, y).fun)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e11])
def test_absolute_error_does_not_care_how_far_an_outlier_is(far):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3))
    y = X.sum(axis=1) + rng.standard_normal(600)
    outliers = np.zeros(600)
    outliers[::10] = 1
    near = fl.fit(X, y + 1e3 * outliers, fl.L1Loss())
    result = fl.fit(X, y + far * outliers, fl.L1Loss())
    np.testing.assert_allclose(result.x, near.x, atol=1e-5)


def test_rows_without_weight_do_not_count_for_absolute_error():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    y = X.sum(axis=1) + rng.standard_normal(300)
    weight = np.repeat([1.0, 0.0], 300)
    result = fl.fit(np.r_[X, X * 1e12], np.r_[y, y * 1e13], fl.L1Loss(), weight=weight)
    np.testing.assert_allclose(result.x, fl.fit(X, y, fl.L1Loss()).x, atol=1e-9)


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


def test_an_array_is_no_name_of_a_method():
    with pytest.raises(ValueError, match="method must be one of auto"):
        fl.fit(np.ones((3, 1)), np.ones(3), method=np.zeros(2))


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


def test_rows_whose_weights_are_all_zero_are_no_start():
    """A fit of many rows starts from some of them, which may be those without a weight."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20_000, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(20_000)
    weight = np.ones(y.size)
    weight[spread_out(y.size, ROWS_OF_SCALE)] = 0
    counted = weight > 0
    result = fl.fit(X, y, weight=weight)
    expected = fl.fit(X[counted], y[counted])
    assert result.success
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-8)


@pytest.mark.slow
def test_little_memory_keeps_too_few_rows_to_start_from(tmp_path, monkeypatch):
    searched = []
    minimise = newton.minimise

    def watched(objective, *given):
        searched.append(objective.shape[0])
        return minimise(objective, *given)

    monkeypatch.setattr(newton, "minimise", watched)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40_000, 64), np.float32)
    y = (X @ np.arange(64.0) + rng.standard_normal(len(X))).astype(np.float32)
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float32, "r", shape=X.shape)
    result = fl.fit(mapped, y, memory_limit=1_000_000)
    assert result.success
    assert set(searched) == {len(X)}
    expected = fl.fit(X, y)
    assert min(searched) < len(X)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("max_iter", "success"), [(1, False), (2, True), (200, True)])
def test_absolute_error_over_many_rows_is_as_near_as_its_steps_lead(max_iter, success, monkeypatch):
    monkeypatch.setattr(absolute, "ELEMENTS", 0)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30_000, 4))
    y = X @ np.arange(1.0, 5) + rng.standard_normal(len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        result = fl.fit(X, y, fl.L1Loss(), max_iter=max_iter)
    assert result.success is success
    assert result.nit <= max_iter
    assert ("as smooth L1 with beta" in result.message) is success


def test_absolute_error_without_linear_programming_is_as_good(outliers, monkeypatch):
    X, y, _ = outliers
    exact = fl.fit(X, y, fl.L1Loss())
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: OptimizeResult(status=4))
    result = fl.fit(X, y, fl.L1Loss())
    assert exact.fun <= result.fun <= 1.01 * exact.fun
    assert "as smooth L1 with beta" in result.message


def test_a_gram_that_is_nearly_but_not_quite_singular_keeps_its_columns(monkeypatch):
    """By one estimate its condition is too large, by its eigenvalues it is not: X is not read."""

    def turned(*_):
        raise AssertionError("X was turned")

    monkeypatch.setattr(fl.LinearObjective, "turned", turned)
    p = 5
    basis = np.linalg.qr(np.random.default_rng(p).standard_normal((p, p)))[0]
    gram = (basis * np.r_[1.5 * WEAK, np.ones(p - 1)]) @ basis.T
    scale = np.sqrt(np.diag(gram))
    gram /= np.outer(scale, scale)
    squares = fl.LinearObjective(np.linalg.cholesky(gram).T, np.ones(p), fl.MSELoss())
    assert not _well_conditioned(gram)
    assert Turn.of(squares, Frame.of(squares)[0], gram) is None


def test_a_bar_needs_rich(outliers, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    X, y, _ = outliers
    with pytest.raises(ImportError, match="progress=True needs rich"):
        fl.fit(X, y, progress=True)

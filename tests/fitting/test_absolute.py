import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import OptimizeResult, linprog

import fastloss as fl
from fastloss.fitting import absolute
from fastloss.fitting.frame import Frame


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


@pytest.mark.parametrize("size", [1e9, 1e15, 1e20, 1e36])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_does_not_depend_on_how_far_outliers_are(size, weighted):
    """The minimum is where it is as long as each row stays on its side."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 2))
    y = X @ [1.0, 2.0] + 0.5 + rng.standard_t(3, size=60)
    weight = rng.random(60) + 0.5 if weighted else None
    y[:6] = 1e3
    expected = fl.fit(X, y, fl.L1Loss(), weight=weight)
    y[:6] = size * np.linspace(1, 2, 6)
    result = fl.fit(X, y, fl.L1Loss(), weight=weight)
    assert result.success
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9)


def test_a_column_whose_coefficient_would_overflow_is_left_out():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 2)) * [1e-200, 1.0]
    result = fl.fit(X, 1e130 * rng.standard_normal(60), fl.L1Loss())
    assert result.success
    assert result.coef[0] == 0


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


def test_absolute_error_without_linear_programming_is_as_good(outliers, monkeypatch):
    X, y, _ = outliers
    exact = fl.fit(X, y, fl.L1Loss())
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: OptimizeResult(status=4))
    result = fl.fit(X, y, fl.L1Loss())
    assert exact.fun <= result.fun <= 1.01 * exact.fun
    assert "as smooth L1 with beta" in result.message


@pytest.fixture
def _too_large(monkeypatch):
    """No program of all rows."""
    monkeypatch.setattr(absolute, "ELEMENTS", 0)


def exact_value(X, y, weight=None, intercept=True):
    """Give the least sum of absolute errors, by a program of all rows."""
    n = y.size
    A = np.column_stack((X, np.ones(n))) if intercept else np.asarray(X)
    w = np.ones(n) if weight is None else weight
    found = linprog(-y, A_eq=A.T, b_eq=np.zeros(A.shape[1]), bounds=np.column_stack((-w, w)))
    assert found.status == 0
    return -found.fun


AS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "csr": scipy.sparse.csr_array,
    "csc": scipy.sparse.csc_matrix,
    "float32": np.float32,
}


@pytest.mark.usefixtures("_too_large")
@pytest.mark.parametrize(
    "kind", [k if k == "rows" else pytest.param(k, marks=pytest.mark.slow) for k in AS]
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("intercept", [False, True], ids=["through 0", "intercept"])
def test_the_rows_near_a_smooth_minimum_lead_to_the_exact_one(kind, weighted, intercept):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((2000, 8)).astype(np.float32).astype(float)
    y = X @ np.arange(8.0) + rng.standard_t(2, 2000)
    y[::10] += 30
    weight = rng.integers(0, 3, 2000).astype(float) if weighted else None
    loss = fl.L1Loss(reduction="sum")
    result = fl.fit(AS[kind](X), y, loss, weight=weight, fit_intercept=intercept)
    assert (result.success, result.message) == (True, "converged")
    assert result.fun == pytest.approx(exact_value(X, y, weight, intercept), rel=1e-12)


@pytest.mark.usefixtures("_too_large")
def test_so_they_do_where_the_first_of_them_are_too_few(monkeypatch):
    monkeypatch.setattr(absolute, "NEAR_ROWS", 2)
    monkeypatch.setattr("fastloss.optimize.LinearObjective.within", lambda *_: 0)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((2000, 8))
    y = X.sum(axis=1) + rng.standard_t(2, 2000)
    counts = []
    solve = absolute._vertex
    monkeypatch.setattr(absolute, "_vertex", lambda *a: (counts.append(a[1].size), solve(*a))[1])
    result = fl.fit(X, y, fl.L1Loss(reduction="sum"))
    assert result.message == "converged"
    assert len(counts) > 1
    assert counts[1] == 2 * counts[0]
    assert result.fun == pytest.approx(exact_value(X, y), rel=1e-12)


@pytest.mark.parametrize("away", [0.003, 0.03, 0.3])
def test_a_lower_point_is_not_taken_for_the_minimum(away, monkeypatch):
    monkeypatch.setattr(absolute, "NEAR_ROWS", 4)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((2000, 8))
    y = X.sum(axis=1) + rng.standard_t(2, 2000)
    objective = fl.LinearObjective(X, y, fl.L1Loss(reduction="sum"))
    frame, _ = Frame.of(objective.with_loss(fl.MSELoss(reduction="sum")))
    w, exact = absolute.minimum_near(objective, np.ones(8) + away, frame, 0.0)
    assert exact
    assert objective.value(w) == pytest.approx(exact_value(X, y, intercept=False), rel=1e-12)


@pytest.mark.usefixtures("_too_large")
def test_a_program_of_too_many_elements_is_left(monkeypatch):
    monkeypatch.setattr(absolute, "NEAR_ELEMENTS", 100)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((1500, 5))
    y = X.sum(axis=1) + rng.standard_t(2, 1500)
    result = fl.fit(X, y, fl.L1Loss(reduction="sum"))
    assert "as smooth L1 with beta" in result.message
    assert exact_value(X, y) < result.fun <= 1.01 * exact_value(X, y)


@pytest.mark.usefixtures("_too_large")
def test_rows_that_are_met_exactly_do_not_stop_it():
    rng = np.random.default_rng(5)
    X = rng.integers(-3, 4, (1500, 4)).astype(float)
    y = X @ [1.0, -2.0, 0.0, 3.0] + np.round(rng.standard_t(2, 1500))
    result = fl.fit(X, y, fl.L1Loss(reduction="sum"))
    assert result.success
    assert result.fun == pytest.approx(exact_value(X, y), rel=1e-9)


@pytest.mark.usefixtures("_too_large")
@pytest.mark.parametrize("size", [1e9, 1e15, 1e20])
def test_far_outliers_do_not_hide_that_it_is_exact(size):
    rng = np.random.default_rng(11)
    X = rng.standard_normal((600, 2))
    y = X @ [1.0, 2.0] + 0.5 + rng.standard_t(3, size=600)
    y[:60] = 1e3
    expected = fl.fit(X, y, fl.L1Loss())
    y[:60] = size * np.linspace(1, 2, 60)
    result = fl.fit(X, y, fl.L1Loss())
    assert (expected.message, result.message) == ("converged", "converged")
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9)


def test_the_nearest_rows_are_those_of_the_smallest_residuals():
    X = np.arange(10.0)[:, None]
    y = np.array([5, 1, 4, 0, 3, 9, 2, 8, 7, 6.0])
    objective = fl.LinearObjective(X, y, weight=np.r_[np.zeros(2), np.ones(8)])
    rows = objective.nearest(np.zeros(1), 3)
    np.testing.assert_array_equal(rows.y, [0, 3, 2])
    np.testing.assert_array_equal(rows.X[:, 0], [3, 4, 6])
    assert rows.bound == 3
    others = [2, 5, 7, 8, 9]
    assert rows.slope == -X[others, 0].sum()
    assert objective.nearest(np.zeros(1), 99).y.size == 8


def test_of_more_equal_residuals_than_can_be_kept_none_is():
    """Rows that are near and those that are not are told apart by their size alone."""
    y = np.r_[np.zeros(50), 1.0, 2.0, np.full(50, 3.0), 5.0]
    X = np.ones((y.size, 1))
    assert fl.LinearObjective(X, y).nearest(np.zeros(1), 4).y.size == 0
    objective = fl.LinearObjective(X[50:], y[50:])
    rows = objective.nearest(np.zeros(1), 4)
    np.testing.assert_array_equal(rows.y, [1, 2])
    assert rows.bound == 2
    assert rows.slope == -51


def test_rows_come_from_all_blocks(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100_000, 3)), np.round(rng.standard_normal(100_000), 3)
    weight = rng.integers(0, 2, y.size)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = fl.LinearObjective(X, y, weight=weight).nearest(np.ones(3), 100)
    found = fl.LinearObjective(mapped, y, weight=weight, memory_limit=1_500_000)
    found = found.nearest(np.ones(3), 100)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

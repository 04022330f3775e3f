"""The loss of a linear model, against NumPy in two passes and against itself on one thread."""

import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import linear
from tests import reference
from tests.registry import DTYPES, ONE_OF_EACH, cases


def problem(n, p, dtype=np.float64, order="C", seed=0):
    rng = np.random.default_rng(seed)
    X = np.asarray(rng.standard_normal((n, p)), dtype, order=order)
    y = (X @ rng.standard_normal(p) + rng.standard_normal(n)).astype(dtype)
    return X, y, rng.uniform(0, 2, n)


def by_numpy(formula, X, y, w, weight, intercept, l2):
    """Value, gradient and Hessian of the mean, in float64."""
    X = np.column_stack((X, np.ones(len(X)))) if intercept else X
    X = X.astype(np.float64)
    penalty = np.full(X.shape[1], l2)
    if intercept:
        penalty[-1] = 0
    weight = np.ones(len(X)) if weight is None else weight
    value, grad, hess = (v * weight / weight.sum() for v in reference.quick(formula, X @ w - y))
    return (
        reference.exact_sum(value) + 0.5 * penalty @ w**2,
        X.T @ grad + penalty * w,
        (X.T * hess) @ X + np.diag(penalty),
    )


# Around the width of a vector, of a panel of columns, and of what stays in registers.
@pytest.mark.parametrize("p", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 45, 129, 200])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_two_passes_of_numpy_for_any_number_of_columns(p, order, dtype):
    formula = fl.formulas.SmoothL1(0.7)
    for n in (1, 2, 3, 5, 50, 1030):
        X, y, _ = problem(n, p, dtype, order)
        w = np.random.default_rng(1).standard_normal(p)
        value, gradient, hessian = by_numpy(formula, X, y, w, None, False, 0.0)
        objective = fl.LinearObjective(X, y, fl.Loss(formula))
        assert objective(w)[0] == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(objective(w)[1], gradient, atol=1e-13)
        v = np.random.default_rng(2).standard_normal(p)
        np.testing.assert_allclose(objective.hessp(w, v), hessian @ v, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "weighted", "order"),
    cases(
        ONE_OF_EACH,
        [False, True],
        ["C", "F"],
        slow=lambda formula, weighted, order: (
            weighted and order == "F" and formula is not ONE_OF_EACH[0]
        ),
    ),
    ids=str,
)
@pytest.mark.parametrize("intercept", [False, True], ids=["", "intercept"])
def test_every_loss_with_weights_penalty_and_intercept(formula, weighted, intercept, order):
    X, y, weight = problem(3000, 11, order=order)
    weight = weight if weighted else None
    w, v = np.random.default_rng(1).standard_normal((2, 11 + intercept))
    value, gradient, hessian = by_numpy(formula, X, y, w, weight, intercept, 0.3)
    for reduction, factor in (("mean", 1.0), ("sum", 3000.0 if weight is None else weight.sum())):
        objective = fl.LinearObjective(
            X,
            y,
            fl.Loss(formula, reduction),
            weight=weight,
            l2=0.3 * factor,
            fit_intercept=intercept,
        )
        found = objective(w)
        assert found[0] / factor == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(found[1] / factor, gradient, atol=1e-12)
        np.testing.assert_allclose(objective.hessp(w, v) / factor, hessian @ v, atol=1e-11)
        np.testing.assert_allclose(objective.hess(w) / factor, hessian, atol=1e-11)
        np.testing.assert_array_equal(objective.grad(w), found[1])
        assert objective.value(w) == found[0]


def test_gradient_is_the_slope_of_the_value():
    X, y, weight = problem(500, 6)
    objective = fl.LinearObjective(X, y, weight=weight, l2=0.1, fit_intercept=True)
    w = np.random.default_rng(1).standard_normal(7)
    for i in range(7):
        h = np.zeros(7)
        h[i] = 1e-6
        slope = (objective.value(w + h) - objective.value(w - h)) / 2e-6
        assert objective.grad(w)[i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("order", "dtype"),
    cases(["C", "F"], DTYPES, slow=lambda order, dtype: (order == "C") == (dtype == np.float64)),
    ids=str,
)
@pytest.mark.parametrize("shape", [(40_000, 5), (5_000, 40), (300, 700)], ids=str)
def test_number_of_threads_changes_no_bit(order, dtype, shape):
    X, y, weight = problem(*shape, dtype, order)
    w, v = np.random.default_rng(1).standard_normal((2, shape[1] + 1))
    objective = fl.LinearObjective(X, y, weight=weight, fit_intercept=True)
    numba.set_num_threads(1)
    value, gradient = objective(w)
    product = objective.hessp(w, v)
    for count in range(2, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(count)
        for _ in range(3):
            again, same = objective(w)
            assert again == value
            np.testing.assert_array_equal(same, gradient)
            np.testing.assert_array_equal(objective.hessp(w, v), product)


@pytest.mark.parametrize("order", ["C", "F"])
def test_curvature_is_kept_for_the_next_vector_and_for_no_other_point(order, monkeypatch):
    X, y, weight = problem(3000, 6, order=order)
    objective = fl.LinearObjective(X, y, weight=weight)
    w, other, v, u = np.random.default_rng(1).standard_normal((4, 6))

    def fresh(w, v, loss=objective.loss):
        return fl.LinearObjective(X, y, loss, weight=weight).hessp(w, v)

    evaluated = []
    monkeypatch.setattr(
        linear,
        "evaluate",
        lambda *given, f=linear.evaluate: evaluated.append(given[-1]) or f(*given),
    )
    for point, vector, known in ((w, v, False), (w, u, True), (other, v, False), (w, v, False)):
        np.testing.assert_array_equal(objective.hessp(point, vector), fresh(point, vector))
        assert evaluated[-2] is known
    narrow = fl.SmoothL1Loss(beta=0.1)
    np.testing.assert_array_equal(objective.with_loss(narrow).hessp(w, v), fresh(w, v, narrow))


def test_float32_columns_are_computed_in_float64():
    X, y, _ = problem(20_000, 8, np.float32)
    w = np.random.default_rng(1).standard_normal(8)
    narrow = fl.LinearObjective(X, y)(w)
    wide = fl.LinearObjective(X.astype(np.float64), y.astype(np.float64))(w)
    assert narrow[0] == pytest.approx(wide[0], rel=1e-14)
    np.testing.assert_allclose(narrow[1], wide[1], rtol=1e-12)
    assert narrow[1].dtype == np.float64


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, ::2],
        lambda X: X[::-1],
        lambda X: X.astype(">f8"),
        lambda X: (10 * X).astype(np.int32),
        lambda X: X.astype(np.float16),
        lambda X: np.broadcast_to(X[0], X.shape),
        lambda X: X.tolist(),
        lambda X: (10 * X).astype(np.int8).T.copy().T,
    ],
    ids=["strided", "reversed", "swapped", "int", "float16", "broadcast", "list", "int F"],
)
def test_other_matrices_are_converted(change):
    X, y, _ = problem(200, 6)
    other = change(X)
    dense = np.array(other, np.float64)
    w = np.random.default_rng(1).standard_normal(dense.shape[1])
    value, gradient = fl.LinearObjective(other, y)(w)
    expected = fl.LinearObjective(dense, y)(w)
    assert value == pytest.approx(expected[0], rel=1e-14)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)


def test_matrices_are_read_where_they_lie():
    for order in "CF":
        X, y, _ = problem(100, 5, order=order)
        X.flags.writeable = False
        assert np.shares_memory(linear.Design.of(X).matrix, X)
        fl.LinearObjective(X, y)(np.zeros(5))


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "cut",
    [
        lambda n, p: np.empty((n, p + 3), np.float32)[:, 2:-1],
        lambda n, p: np.empty((3 * n, p), np.float32)[::3],
        lambda n, p: np.empty((n + 9, p), np.float64, order="F")[4:-5],
        lambda n, p: np.empty((n, 2 * p), np.float64, order="F")[:, ::2],
    ],
    ids=["some columns", "every third row", "rows of Fortran order", "every second column"],
)
@pytest.mark.parametrize("p", [3, 40])
def test_parts_of_a_matrix_are_read_where_they_lie_to_the_same_bits(cut, p, read_only):
    whole, y, _ = problem(300, p)
    X = cut(300, p)
    X[...] = whole
    X.flags.writeable = not read_only
    assert np.shares_memory(linear.Design.of(X).matrix, X)
    order = "F" if X.strides[0] < X.strides[1] else "C"
    w = np.random.default_rng(1).standard_normal(p)
    part, copied = (fl.LinearObjective(A, y) for A in (X, X.copy(order)))
    assert part(w)[0] == copied(w)[0]
    for found, expected in (
        (part(w)[1], copied(w)[1]),
        (part.hessp(w, w), copied.hessp(w, w)),
        (part.hess(w), copied.hess(w)),
        (part.residuals(w), copied.residuals(w)),
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows_in_value_and_gradient(bad):
    X, y, _ = problem(100, 9)
    X[50, 3] = bad
    value, gradient = fl.LinearObjective(X, y)(np.full(9, 0.5))
    assert not np.isfinite(value)
    assert not np.isfinite(gradient[3])
    value, gradient = fl.LinearObjective(np.nan_to_num(X), y)(np.full(9, np.nan))
    assert np.isnan(value)
    assert np.isnan(gradient).all()

import numpy as np
import pytest

import fastloss as fl
from fastloss.fitting.frame import Frame
from fastloss.fitting.turning import WEAK, Turn, _well_conditioned


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


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("seed", [0, 2])
def test_equal_columns_beside_columns_that_hardly_vary(seed, intercept):
    """Rounding of the directions in which X has nothing is some of the others'."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.integers(-3, 4, size=30)
    X = np.round((rng.standard_normal((400, 30)) * scales + 100) * 3)
    y = X @ rng.standard_normal(30) + rng.standard_normal(400)
    y[::10] += 1000
    distinct = np.unique(X, axis=1)
    for loss in (fl.HuberLoss(delta=2.0), fl.MSELoss()):
        result = fl.fit(X, y, loss, fit_intercept=intercept)
        expected = fl.fit(distinct, y, loss, fit_intercept=intercept)
        assert result.success
        assert result.fun == pytest.approx(expected.fun, rel=1e-9)
        assert loss(X @ result.coef + result.intercept, y) == pytest.approx(result.fun, rel=1e-9)
        assert abs(result.coef).max() < 100


def test_exactly_dependent_columns_share_a_coefficient():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((2000, 2))
    y = Z @ [1.0, 2.0] + rng.standard_normal(2000)
    result = fl.fit(np.column_stack((Z, Z[:, 0])), y)
    assert result.success
    assert result.coef[0] == pytest.approx(result.coef[2])
    assert result.fun == pytest.approx(fl.fit(Z, y).fun)


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


@pytest.mark.parametrize("offset", [1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_a_penalty_and_columns_without_an_intercept_for_their_offset(offset, fit_intercept, l2):
    """Against least squares of X itself, whose products have twice the digits."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((30, 8)) + offset
        y = (X - offset) @ rng.standard_normal(8) + rng.standard_normal(30)
        loss = fl.HuberLoss(delta=100.0)
        result = fl.fit(X, y, loss, l2=l2, fit_intercept=fit_intercept)
        ones = np.ones((30, int(fit_intercept)))
        rows = np.column_stack((X, ones)) / 30**0.5
        penalty = np.diag([l2**0.5] * 8 + [0.0] * ones.shape[1])
        right = np.r_[y / 30**0.5, np.zeros(len(penalty))]
        expected = np.linalg.lstsq(np.r_[rows, penalty], right, rcond=1e-16)[0]
        objective = fl.LinearObjective(X, y, loss, l2=l2, fit_intercept=fit_intercept)
        assert result.success
        assert result.fun == objective.value(result.x)
        assert result.fun <= objective.value(expected) * (1 + 1e-7)


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize(("n", "p"), [(2, 3), (5, 8), (30, 40)])
def test_more_columns_than_rows_far_from_zero_are_met(offset, n, p):
    """What rounding of the offset leaves is no direction of X."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, p)) + offset
        y = X @ rng.standard_normal(p)
        result = fl.fit(X, y, fl.MSELoss())
        assert result.success
        far = 1e-9 * np.abs(y).max()
        np.testing.assert_allclose(X @ result.coef + result.intercept, y, rtol=0, atol=far)


def test_columns_too_nearly_dependent_for_where_they_lie_are_told(monkeypatch):
    """On a cluster X is not had in other coordinates."""
    monkeypatch.setattr(fl.LinearObjective, "turned", lambda *_: None)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 8)) + 1e7
    y = (X - 1e7) @ rng.standard_normal(8) + rng.standard_normal(30)
    for loss in (fl.MSELoss(), fl.HuberLoss(delta=100.0)):
        with pytest.warns(fl.ConvergenceWarning, match="too nearly dependent"):
            assert not fl.fit(X, y, loss, l2=1e-3, fit_intercept=False).success


def test_a_penalty_stays_with_rows_to_start_from_in_other_coordinates():
    """As many rows that a fit starts from some of them."""
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 20_000))
    X = np.column_stack((1e6 * u, 1e6 * u + v))
    y = v + 0.01 * rng.standard_normal(len(v))
    y[::10] += 100
    loss = fl.HuberLoss(delta=0.01, reduction="sum")
    penalised, free = (fl.fit(X, y, loss, l2=l2) for l2 in (1e-6, 0.0))
    assert penalised.success
    objective = fl.LinearObjective(X, y, loss, l2=1e-6, fit_intercept=True)
    assert penalised.fun == objective.value(penalised.x) <= objective.value(free.x) * (1 + 1e-9)
    strong = fl.fit(X, y, loss, l2=100.0)
    assert abs(strong.coef).sum() < 0.9 * abs(free.coef).sum()

import warnings

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu.model import spread_out
from fastloss.fitting import absolute, newton
from fastloss.fitting.search import ROWS_OF_SCALE


def test_absolute_error_of_many_rows_says_how_near_it_came(monkeypatch):
    monkeypatch.setattr(absolute, "NEAR_ELEMENTS", 0)
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


class Pinball(fl.formulas.L1):
    """Derived from a formula of fastloss, and quite another loss."""

    def value(self, r):
        return abs(r) * (0.9 if r < 0 else 0.1)

    def grad(self, r):
        return -0.9 if r < 0 else 0.1


def test_absolute_error_of_many_rows_does_not_depend_on_how_far_outliers_are():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60_000, 4))
    y = X @ [1.0, 2.0, 3.0, 4.0] + rng.standard_t(2, size=60_000)
    found = []
    for size in (1e4, 1e12, 1e20):
        y[::10] = size
        result = fl.fit(X, y, fl.L1Loss())
        assert result.success
        found.append(result.x)
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-9)


def test_a_class_derived_from_l1_is_not_taken_for_it():
    rng = np.random.default_rng(0)
    X = rng.random((400, 1))
    y = X[:, 0] + rng.standard_normal(400)
    result = fl.fit(X, y, fl.Loss(Pinball()))
    assert result.fun == pytest.approx(0.1682952, abs=1e-7)  # by a linear program


def test_threshold_far_below_the_noise_does_not_stop_newton(outliers):
    X, y, _ = outliers
    result = fl.fit(X, y, fl.SmoothL1Loss(beta=1e-3))
    assert result.success
    assert result.nit < 60


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
    monkeypatch.setattr(absolute, "NEAR_ELEMENTS", 0)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30_000, 4))
    y = X @ np.arange(1.0, 5) + rng.standard_normal(len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        result = fl.fit(X, y, fl.L1Loss(), max_iter=max_iter)
    assert result.success is success
    assert result.nit <= max_iter
    assert ("as smooth L1 with beta" in result.message) is success


@pytest.mark.parametrize(("every", "far"), [(9, 1000.0), (4, 1000.0), (7, 50.0), (3, 1e6)])
def test_absolute_error_finds_the_rows_that_outliers_have_drawn_it_from(every, far):
    """After least squares none of them lies near: all are as far off as it was drawn."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_001, 5))
    y = X @ np.arange(1.0, 6) + 0.1 * rng.standard_normal(len(X))
    y[::every] += far
    result = fl.fit(X, y, fl.L1Loss())
    assert result.success
    np.testing.assert_allclose(result.x, [1, 2, 3, 4, 5, 0], atol=0.1)
    assert result.fun <= np.abs(X @ np.arange(1.0, 6) - y).mean()


@pytest.mark.parametrize("l2", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize(("n", "p"), [(500, 5), (100, 20), (30, 1)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_absolute_error_with_a_penalty_reaches_its_minimum(n, p, l2, reduction):
    """Below the linear program's, which has no penalty, and as low as a tiny threshold leads."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) + rng.standard_normal(n)
    y[::7] += 1000
    loss = fl.L1Loss(reduction=reduction)
    result = fl.fit(X, y, loss, l2=l2)
    assert result.success
    objective = fl.LinearObjective(X, y, loss, l2=l2, fit_intercept=True)
    near = fl.fit(X, y, fl.SmoothL1Loss(beta=1e-9, reduction=reduction), l2=l2)
    without = fl.fit(X, y, loss)
    assert result.fun <= objective.value(without.x) * (1 + 1e-8)
    assert result.fun == pytest.approx(objective.value(near.x), rel=1e-6)


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("kind", ["numbers", "dummies"])
def test_rows_that_are_met_exactly_end_a_fit_of_absolute_error(kind, l2):
    X = np.random.default_rng(0).standard_normal((50_000, 5))
    X = 1.0 * (X > 0) if kind == "dummies" else X
    y = X @ [1.0, 2, 3, 4, 5]
    result = fl.fit(X, y, fl.L1Loss(), l2=l2)
    assert result.success
    objective = fl.LinearObjective(X, y, fl.L1Loss(), l2=l2, fit_intercept=True)
    assert result.fun <= objective.value(np.r_[1.0, 2, 3, 4, 5, 0]) * (1 + 1e-9) + 1e-12
    assert fl.fit(X, 0 * y, fl.L1Loss(), l2=l2).success


def test_of_a_threshold_too_small_to_be_met_the_better_point_is_kept():
    """Hardly more rows than columns, and next to no penalty: the steps for a threshold run out."""
    rng = np.random.default_rng(14)
    n, p = (int(rng.integers(*span)) for span in ((10, 150), (1, 30)))
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) * 5 + rng.standard_cauchy(n)
    loss, l2 = fl.L1Loss(reduction="sum"), 10 ** rng.uniform(-4, 1)
    result = fl.fit(X, y, loss, l2=l2)
    assert result.success
    threshold = float(result.message.rpartition("= ")[2])
    before = fl.fit(X, y, fl.SmoothL1Loss(beta=threshold, reduction="sum"), l2=l2)
    objective = fl.LinearObjective(X, y, loss, l2=l2, fit_intercept=True)
    assert result.fun <= objective.value(before.x) <= before.fun + n * threshold / 2

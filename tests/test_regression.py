import sys
import tracemalloc

import numpy as np
import pytest

import fastloss as fl
from fastloss import regression
from fastloss.cpu.model import HostModel
from fastloss.scale import mad


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


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(), fl.HuberLoss(delta="auto"), fl.L1Loss()])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_model_without_coefficients_has_only_a_loss(loss, rows):
    y = np.arange(1.0, rows + 1)
    result = fl.fit(np.empty((rows, 0)), y, loss, fit_intercept=False)
    assert result.x.shape == (0,)
    assert result.success
    assert result.fun == result.loss(np.zeros(rows), y)


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
    ("options", "error", "words"),
    [
        ({"method": "Nelder-Mead"}, ValueError, "method must be one of auto, CG.*'Nelder-Mead'"),
        ({"method": None}, ValueError, "method must be one of"),
        ({"tol": -1}, ValueError, "tol must be a finite number of at least 0, got -1"),
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


def test_an_array_is_no_name_of_a_method():
    with pytest.raises(ValueError, match="method must be one of auto"):
        fl.fit(np.ones((3, 1)), np.ones(3), method=np.zeros(2))


def test_a_bar_needs_rich(outliers, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    X, y, _ = outliers
    with pytest.raises(ImportError, match="progress=True needs rich"):
        fl.fit(X, y, progress=True)


def test_an_interrupt_before_the_first_step_has_no_best_point(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(regression, "LinearObjective", interrupted)
    with pytest.raises(KeyboardInterrupt) as early:
        fl.fit(np.ones((3, 1)), np.ones(3))
    assert early.value.best is None

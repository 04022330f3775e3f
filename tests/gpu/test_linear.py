"""The linear model and its fit on device arrays, beside the CPU's."""

import numpy as np
import pytest

import fastloss as fl
from tests.registry import ONE_OF_EACH

pytestmark = pytest.mark.gpu

LOSSES = {
    "smooth": fl.SmoothL1Loss(beta=0.3),
    "auto": fl.SmoothL1Loss(beta="auto"),
    "l1": fl.L1Loss(),
    "huber": fl.HuberLoss(delta=2.0, reduction="sum"),
    "squares": fl.MSELoss(),
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30_000, 4)) + np.array([0, 0, 5, 0])
    y = X @ [1.0, 2.0, 3.0, 4.0] + 2.0 + 0.1 * rng.standard_normal(30_000)
    y[::10] += 50 * rng.standard_normal(3000)
    return X, y, rng.random(30_000)


@pytest.fixture
def matrices(arrays):
    """A library of device arrays, and one that multiplies matrices beside it."""
    if arrays.name == "numba":
        pytest.importorskip("cupy", reason="Numba's arrays are multiplied by CuPy, which is absent")
    return arrays


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that are launched."""
    from fastloss.cuda import launch

    names, run = [], launch.run

    def noted(kernel, *rest):
        names.append(kernel.py_func.__name__)
        run(kernel, *rest)

    monkeypatch.setattr(launch, "run", noted)
    return names


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_objective_is_the_one_of_the_cpu(matrices, rows, formula, dtype, weighted, order):
    X, y, weight = (a.astype(dtype) for a in rows)
    X = np.asarray(X, order=order)
    sent = matrices.lay(X), matrices.send(y)
    options = {"l2": 0.1, "fit_intercept": True}
    objective = fl.LinearObjective(
        *sent,
        fl.Loss(formula),
        weight=matrices.send(weight) if weighted else None,
        **options,
    )
    of_the_cpu = fl.LinearObjective(
        X, y, fl.Loss(formula), weight=weight if weighted else None, **options
    )
    w, v = np.array([0.5, 1.0, 2.0, -1.0, 3.0]), np.array([1.0, -1.0, 0.5, 2.0, 1.0])
    value, gradient = objective(w)
    wanted, wanted_gradient = of_the_cpu(w)
    assert type(value) is float
    assert type(gradient) is np.ndarray
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        objective.hessp(w, v), of_the_cpu.hessp(w, v), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(objective.hess(w), of_the_cpu.hess(w), rtol=1e-10, atol=1e-10)
    residuals = objective.residuals(w)
    if matrices.name != "numba":
        assert matrices.owns(residuals)
        np.testing.assert_allclose(
            matrices.host(residuals), of_the_cpu.residuals(w), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_fit_is_the_one_of_the_cpu(matrices, rows, loss, weighted):
    X, y, weight = rows
    of_the_cpu = fl.fit(X, y, loss, weight=weight if weighted else None)
    result = fl.fit(
        matrices.send(X),
        matrices.send(y),
        loss,
        weight=matrices.send(weight) if weighted else None,
    )
    assert result.success == of_the_cpu.success
    assert result.fun == pytest.approx(of_the_cpu.fun, rel=1e-7)
    np.testing.assert_allclose(result.x, of_the_cpu.x, rtol=1e-4, atol=1e-4)
    assert result.scale == pytest.approx(of_the_cpu.scale, rel=1e-4)
    assert type(result.x) is np.ndarray


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 7, 8, 31, 32, 101, 127, 128, 257, 512, 1021, 1024])
@pytest.mark.parametrize("n", [1, 65, 1024, 140_001])
def test_x_is_read_once_with_the_results_of_the_products(pooled, dtype, p, n, launched):
    n = min(n, 4_000_000 // p)
    rng = np.random.default_rng(p)
    X, y = rng.standard_normal((n, p)).astype(dtype), rng.standard_normal(n)
    objective = fl.LinearObjective(
        pooled.send(X),
        pooled.send(y),
        fl.Loss(ONE_OF_EACH[0]),
        weight=pooled.send(rng.random(n) + 0.5),
    )
    w, v = rng.standard_normal((2, p)) / p**0.5
    fits = p * X.itemsize <= 16 * 256
    assert (objective.model.rows is not None) is fits
    found = [(*objective(w), objective.hessp(w, v)) for _ in range(2)]
    assert launched.count("rows") == (4 if fits else 0)
    if fits:
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)
    objective.model.rows = None
    for ours, theirs in zip(found[0], (*objective(w), objective.hessp(w, v)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def wider(X, by):
    wide = np.full((X.shape[0], X.shape[1] + by), np.nan, X.dtype)
    wide[:, : X.shape[1]] = X
    return wide[:, : X.shape[1]]


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("lay", "once"),
    [
        (lambda X: wider(X, 4), True),
        (lambda X: wider(X, 1), True),
        (lambda X: np.repeat(X, 2, axis=0)[::2], True),
        (np.asfortranarray, False),
        (lambda X: np.repeat(X, 2, axis=1)[:, ::2], False),
    ],
    ids=["padded to 16 bytes", "padded by one", "every other row", "F", "every other column"],
)
def test_x_may_lie_anywhere(pooled, rows, lay, shift, once, dtype, launched):
    X, y, _ = (a.astype(dtype) for a in rows)
    w, v = np.array([[0.5, 1.0, 2.0, -1.0], [1.0, -1.0, 0.5, 2.0]])
    objective = fl.LinearObjective(pooled.lay(lay(X), shift), pooled.send(y))
    of_the_cpu = fl.LinearObjective(X, y)
    found = (*objective(w), objective.hessp(w, v))
    assert launched.count("rows") == (2 if once else 0)
    for ours, theirs in zip(found, (*of_the_cpu(w), of_the_cpu.hessp(w, v)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_an_evaluation_has_the_same_bits_every_time(matrices, rows):
    X, y, _ = rows
    objective = fl.LinearObjective(matrices.send(X), matrices.send(y))
    w = np.array([0.5, 1.0, 2.0, -1.0])
    assert len({objective(w)[0] for _ in range(20)}) == 1


def test_blocks_of_rows_that_are_widened_change_nothing(matrices, rows, monkeypatch):
    from fastloss import matrix

    X, y, _ = (a.astype(np.float32) for a in rows)
    X = np.asfortranarray(X)  # which the library multiplies
    w = np.array([0.5, 1.0, 2.0, -1.0])
    whole = fl.LinearObjective(matrices.lay(X), matrices.send(y))(w)
    monkeypatch.setattr(matrix, "BLOCK_BYTES", 8 * 4 * 7001)
    parts = fl.LinearObjective(matrices.lay(X), matrices.send(y))(w)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-10)


@pytest.mark.parametrize("place", ["X", "y"])
def test_a_row_that_is_not_finite_is_named(matrices, rows, place):
    X, y, _ = (a.copy() for a in rows)
    (X if place == "X" else y)[12_345] = np.nan
    with pytest.raises(ValueError, match=f"{place} must be finite, but its row 12345 is not"):
        fl.fit(matrices.send(X), matrices.send(y))


def test_device_cuda_takes_matrices_of_the_host(rows):
    pytest.importorskip("cupy", reason="matrices of the host are multiplied by CuPy")
    X, y, _ = rows
    w = np.array([0.5, 1.0, 2.0, -1.0])
    value, gradient = fl.LinearObjective(X, y, device="cuda")(w)
    wanted, wanted_gradient = fl.LinearObjective(X, y)(w)
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-10, atol=1e-10)

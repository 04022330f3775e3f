"""The linear model on another library's matrices: what runs on a GPU, here on the host."""

import math

import numpy as np
import pytest

import fastloss as fl
from fastloss import dispatch, matrix
from fastloss.cpu.model import HostModel
from fastloss.curvature import majorising, own
from fastloss.formulas import Huber, SmoothL1
from fastloss.matrix import ArrayModel
from fastloss.place import HOST, Host
from fastloss.scale import mad
from tests.registry import DTYPES, ONE_OF_EACH


def as_numpy(array):
    return array, HOST


def as_torch(array):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.tensor(np.array(array))
    return tensor, Host(tensor)


KINDS = [as_numpy, as_torch]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)) + np.array([0, 0, 5, 0])
    y = X @ [1.0, 2.0, 3.0, 4.0] + 2.0 + 0.1 * rng.standard_normal(300)
    y[::10] += 50 * rng.standard_normal(30)
    return X, y, rng.random(300)


@pytest.fixture(params=KINDS)
def small_blocks(request, monkeypatch):
    """Few rows to a block, so that there are many, and one that is not full."""
    monkeypatch.setattr(matrix, "BLOCK_BYTES", 8 * 4 * 70)
    return request.param


def models(kind, dtype, X, y, weight):
    X, y = X.astype(dtype), y.astype(dtype)
    weight = None if weight is None else weight.astype(dtype)
    (X_k, place), (y_k, _) = kind(X), kind(y)
    weight_k = None if weight is None else kind(weight)[0]
    return HostModel(HOST, X, y, weight), ArrayModel(place, X_k, y_k, weight_k)


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluates_as_the_cpu_does(rows, small_blocks, formula, dtype, weighted):
    X, y, weight = rows
    host, other = models(small_blocks, dtype, X, y, weight if weighted else None)
    w, direction = np.array([0.5, 1.0, 2.0, -1.0, 3.0]), np.array([1.0, -1.0, 0.5, 2.0, 1.0])
    assert other.count() == pytest.approx(host.count(), rel=1e-12)
    for along in (None, direction):
        value, gradient = other.evaluate(formula, w, 0.01, along)
        expected, expected_gradient = host.evaluate(formula, w, 0.01, along)
        assert value == pytest.approx(expected, rel=1e-12)
        assert type(gradient) is np.ndarray
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-9)
    for curvature in (own, majorising):
        for size, means in ((5, None), (5, np.full(5, 0.3)), (4, None)):
            np.testing.assert_allclose(
                other.gram(formula, w, curvature, means, size),
                host.gram(formula, w, curvature, means, size),
                rtol=1e-10,
                atol=1e-8,
            )
    residuals = other.to_host(other.residuals(w))
    np.testing.assert_allclose(residuals, host.residuals(w), rtol=1e-9, atol=1e-9)
    scale = mad(other.residuals(w), other.weight)
    assert scale == pytest.approx(mad(host.residuals(w), host.weight), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 5, 6, 200])
def test_the_scale_is_a_median_of_odd_and_even_numbers(kind, n):
    values = np.random.default_rng(n).standard_normal(n)
    expected = np.median(np.abs(values)) / 0.6744897501960817
    assert mad(kind(values)[0]) == pytest.approx(expected, rel=1e-14)
    for weight in (1.0, 0.1, 0.3, 1e-300):  # whose sums are rounded
        weights = kind(np.full(n, weight))[0]
        assert mad(kind(values)[0], weights) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("loss", ["smooth", "auto", "l1", "huber", "scipy"])
def test_fits_as_the_cpu_does(rows, small_blocks, monkeypatch, loss):
    X, y, weight = rows
    method = "L-BFGS-B" if loss == "scipy" else "auto"
    loss = {
        "smooth": fl.SmoothL1Loss(beta=0.3),
        "auto": fl.SmoothL1Loss(beta="auto"),
        "l1": fl.L1Loss(),
        "huber": fl.HuberLoss(delta=1e-9),
        "scipy": fl.SmoothL1Loss(),
    }[loss]
    expected = fl.fit(X, y, loss, weight=weight, method=method)
    (X_k, place), (y_k, _), (weight_k, _) = map(small_blocks, (X, y, weight))
    monkeypatch.setattr(
        dispatch, "linear", lambda X, y, weight, device, memory: ArrayModel(place, X, y, weight)
    )
    result = fl.fit(X_k, y_k, loss, weight=weight_k, method=method)
    assert result.success == expected.success
    assert result.fun == pytest.approx(expected.fun, rel=1e-8)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-5, atol=1e-5)
    assert result.scale == pytest.approx(expected.scale, rel=1e-5)
    assert type(result.x) is np.ndarray


@pytest.mark.parametrize("place", ["X", "y"])
def test_a_row_that_is_not_finite_is_named(rows, small_blocks, monkeypatch, place):
    X, y, _ = (a.copy() for a in rows)
    (X if place == "X" else y)[123] = math.nan
    (X_k, home), (y_k, _) = small_blocks(X), small_blocks(y)
    monkeypatch.setattr(
        dispatch, "linear", lambda X, y, weight, device, memory: ArrayModel(home, X, y, weight)
    )
    with pytest.raises(ValueError, match=f"{place} must be finite, but its row 123 is not"):
        fl.fit(X_k, y_k)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_weights_are_checked_with_the_words_of_the_cpu(kind):
    def errors(*arrays):
        found = []
        for make in (HostModel, ArrayModel):
            kinds = [(None, None) if a is None else kind(a) for a in arrays]
            place = HOST if make is HostModel else kinds[0][1]
            given = arrays if make is HostModel else [a for a, _ in kinds]
            with pytest.raises(ValueError, match=r"X|y|weight") as error:
                make(place, *given)
            found.append(str(error.value))
        return found

    for bad in (
        (np.ones(3), np.ones(3), None),
        (np.ones((0, 2)), np.ones(0), None),
        (np.ones((3, 2)), np.ones(2), None),
        (np.ones((3, 2)), np.ones(3), np.ones(2)),
        (np.ones((3, 2)), np.ones(3), np.array([1.0, -1.0, 1.0])),
        (np.ones((3, 2)), np.ones(3), np.zeros(3)),
    ):
        host, other = errors(*bad)
        assert host == other


def test_a_tensor_on_the_host_is_fitted_where_it_lies():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((50, 2)), rng.standard_normal(50)
    objective = fl.LinearObjective(torch.tensor(X), torch.tensor(y), fl.Loss(Huber(0.5)))
    expected = fl.LinearObjective(X, y, fl.Loss(Huber(0.5)))
    w = np.array([0.3, -0.2])
    assert objective(w)[0] == expected(w)[0]
    np.testing.assert_array_equal(objective(w)[1], expected(w)[1])
    assert fl.fit(torch.tensor(X), torch.tensor(y), fl.Loss(SmoothL1(0.1))).success

"""The loops over elements, line by line as they stand."""

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import memory
from fastloss.cpu.sizes import ALWAYS_PARALLEL_FROM, BLOCK
from fastloss.cpu.sums import TILE
from fastloss.formulas import SmoothL1
from tests import reference
from tests.registry import DTYPES, LAYOUTS, ONE_OF_EACH, pair


def check(formula, x, y, weight=None):
    """Compare all that a loss gives with NumPy."""
    dtype = x.dtype.type
    w = np.ones(x.shape) if weight is None else weight.astype(float)
    value, grad, hess = (
        v * w for v in reference.quick(type(formula)._make(map(dtype, formula)), x - y)
    )
    rtol = 4 * float(np.finfo(dtype).eps)
    for reduction, divisor in (("sum", 1.0), ("mean", w.sum())):
        loss = fl.Loss(formula, reduction)
        total, slopes = loss.value_and_grad(x, y, weight)
        assert total == loss(x, y, weight)
        assert total == pytest.approx(value.sum() / divisor, rel=rtol)
        np.testing.assert_allclose(slopes, grad / divisor, rtol=rtol)
    loss = fl.Loss(formula, "none")
    np.testing.assert_allclose(loss(x, y, weight), value, rtol=rtol)
    for found, expected in zip(loss.grad_and_hess(x, y, weight), (grad, hess), strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol)


@pytest.mark.parametrize("formula", [*ONE_OF_EACH, SmoothL1(1e-38)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_every_loss_agrees_with_numpy(formula, dtype, weighted):
    for size in (1, 5, 2 * TILE, 2 * TILE + 44):
        x, y = pair(size, dtype)
        weight = np.random.default_rng(1).uniform(0.1, 2, size).astype(dtype) if weighted else None
        check(formula, x, y, weight)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("size", [BLOCK + 7, ALWAYS_PARALLEL_FROM + 7])
def test_so_do_several_blocks(size, weighted):
    x, y = pair(size, np.float64)
    weight = np.random.default_rng(1).uniform(0.1, 2, size) if weighted else None
    check(SmoothL1(0.7), x, y, weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_and_outputs_past_the_cache(dtype, monkeypatch):
    monkeypatch.setattr(memory, "last_level_cache", lambda: 0)
    x, y = pair(BLOCK + 300, dtype)
    check(SmoothL1(0.7), x, y)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_and_arrays_that_are_no_runs(layout):
    x, y = (layout(a.reshape(7, 11)) for a in pair(77, np.float64))
    np.testing.assert_array_equal(
        fl.MSELoss(reduction="none")(x, y), (np.asarray(x) - np.asarray(y)) ** 2
    )


def test_and_every_other_element():
    x, y = pair(300, np.float64)
    check(SmoothL1(0.7), x[::2], y[1::2])


def test_and_outputs_that_overlap_inputs():
    x, y = pair(50, np.float64)
    expected = fl.MSELoss(reduction="sum").grad(x, y)
    room = np.empty(51)
    room[:-1] = x
    with pytest.raises(ValueError, match="out"):
        fl.MSELoss(reduction="sum").grad(room[:-1], y, out=room[1:])
    with pytest.raises(ValueError, match="out"):
        fl.MSELoss().value_and_grad(room[:-1], y, out=room[1:])
    assert fl.MSELoss(reduction="sum").grad(x, y, out=x) is x
    np.testing.assert_array_equal(x, expected)

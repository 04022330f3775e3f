"""Sums and means on the device: exact to a bound, and the same bits every time."""

import math

import numpy as np
import pytest

import fastloss as fl
from tests import reference
from tests.cpu.test_sums import hostile
from tests.gpu.problem import DTYPES, SUM_BOUND, problem, sizes, tile
from tests.registry import ONE_OF_EACH

pytestmark = pytest.mark.gpu

SHIFTS = pytest.mark.parametrize("shift", [0, 1], ids=["vectors", "one by one"])


@pytest.mark.parametrize("name", ["constant", "one outlier", "many scales", "ascending", "normal"])
@pytest.mark.parametrize("size", [1, 3, 1000, 100_001, 3_000_017])
@SHIFTS
def test_sum_of_positive_terms_is_exact_to_the_bound(numba_arrays, name, size, shift):
    terms = hostile(name, size)
    exact = reference.exact_sum(terms)
    x, y = numba_arrays.lay(terms, shift), numba_arrays.send(np.zeros(size))
    assert abs(fl.l1_loss(x, y, reduction="sum") - exact) <= SUM_BOUND * exact


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@SHIFTS
def test_terms_of_fewer_digits_are_summed_in_float64(numba_arrays, dtype, shift):
    terms = np.abs(np.random.default_rng(0).standard_normal(1_000_003)).astype(dtype)
    exact = reference.exact_sum(terms)
    x, y = numba_arrays.lay(terms, shift), numba_arrays.send(np.zeros_like(terms))
    assert abs(fl.l1_loss(x, y, reduction="sum") - exact) <= SUM_BOUND * exact


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_twenty_sums_have_the_same_bits(arrays, dtype, weighted):
    sent = [None if a is None else arrays.send(a) for a in problem(1_000_003, dtype, weighted)]
    for loss in (fl.HuberLoss(delta=0.7, reduction="sum"), fl.HuberLoss(delta=0.7)):
        assert len({loss(*sent) for _ in range(20)}) == 1
        gradients = {arrays.host(loss.grad(*sent)).tobytes() for _ in range(20)}
        assert len(gradients) == 1


def test_twenty_gradients_that_are_summed_back_have_the_same_bits(arrays):
    x, y = (np.random.default_rng(0).standard_normal(shape) for shape in ((30,), (3001, 30)))
    x, y = arrays.send(x), arrays.send(y)
    results = {arrays.host(fl.SmoothL1Loss().grad(x, y)).tobytes() for _ in range(20)}
    assert len(results) == 1


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_value_has_the_same_bits_alone_and_beside_the_gradient(
    numba_arrays, formula, dtype, weighted
):
    for reduction in ("sum", "mean"):
        loss = fl.Loss(formula, reduction)
        for size in sizes(dtype):
            arguments = problem(size, dtype, weighted)
            sent = [None if a is None else numba_arrays.send(a) for a in arguments]
            assert loss(*sent) == loss.value_and_grad(*sent)[0]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("slot_dtype", [np.float32, np.float64])
def test_a_total_may_stay_on_the_device(arrays, reduction, weighted, slot_dtype):
    sent = [None if a is None else arrays.send(a) for a in problem(10_001, np.float32, weighted)]
    loss = fl.SmoothL1Loss(reduction=reduction)
    number = loss(*sent)
    slots = [arrays.send(np.array(math.nan, slot_dtype)) for _ in range(2)]
    assert loss(*sent, out=slots[0]) is slots[0]
    value, grad = loss.value_and_grad(*sent, total=slots[1])
    assert value is slots[1]
    for slot in slots:
        assert arrays.host(slot) == slot_dtype(number)
    np.testing.assert_array_equal(arrays.host(grad), arrays.host(loss.grad(*sent)))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", DTYPES)
@SHIFTS
def test_one_infinite_or_missing_residual_decides_the_sum(numba_arrays, bad, dtype, shift):
    size = 10 * tile(dtype) + 3
    y = numba_arrays.send(np.zeros(size, dtype))
    for at in (0, 500, tile(dtype), size - 1):
        terms = np.ones(size, dtype)
        terms[at] = bad
        total = fl.l1_loss(numba_arrays.lay(terms, shift), y, reduction="sum")
        np.testing.assert_equal(total, float(np.abs(bad)))


def test_sums_beyond_the_range_of_float64_are_infinite_not_nan(numba_arrays):
    x = numba_arrays.send(np.full(10_000, 1.7e308))
    y = numba_arrays.send(np.zeros(10_000))
    assert fl.l1_loss(x, y, reduction="sum") == np.inf


def test_a_mean_with_weights_that_sum_to_zero_warns(arrays):
    x, zeros = arrays.send(np.ones(100)), arrays.send(np.zeros(100))
    with pytest.warns(RuntimeWarning, match="weights that sum to zero"):
        assert math.isnan(fl.L1Loss()(x, zeros, zeros))

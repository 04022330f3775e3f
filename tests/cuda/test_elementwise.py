"""The kernels against exact arithmetic: every formula, dtype, reduction and output."""

import math

import numpy as np
import pytest

import fastloss as fl
from fastloss.cuda import elementwise
from fastloss.cuda.choice import TILES_OF_A_SUM
from fastloss.cuda.jit import THREADS, VECTOR_BYTES
from fastloss.formulas import Huber, SmoothL1
from tests.cpu.test_formula import LogCosh
from tests.cuda.fake import DeviceArray, address, device, host
from tests.reference import elements, exact_sum
from tests.registry import LOSSES, ONE_OF_EACH, REDUCTIONS, pair

DTYPES = [np.float16, np.float32, np.float64]
# A sum of positive terms is off by so much of itself at most.
SUM_RTOL = 4.4e-16


def compute_dtype(dtype):
    """Give the type of the arithmetic."""
    return np.float32 if dtype == np.float16 else np.dtype(dtype).type


def tile(dtype):
    """Elements that a block of threads takes at a time."""
    return THREADS * elementwise.UNROLL * (VECTOR_BYTES // np.dtype(dtype).itemsize)


def problem(size, dtype, weighted=True):
    """Input, target, and a weight or None."""
    x, y = (a.copy() for a in pair(size, dtype))  # each aligned by itself
    weight = np.random.default_rng(1).uniform(0.5, 1.5, size).astype(dtype) if weighted else None
    return x, y, weight


def expected(formula, x, y, weight, reduction):
    """Value, gradient and curvature from exact elements, in float64."""
    T = compute_dtype(x.dtype)
    value, grad, hess = (
        v.astype(np.float64) for v in elements(formula, x.astype(T) - y.astype(T), T)
    )
    w = np.ones(x.size) if weight is None else weight.astype(np.float64)
    scale = 1 / exact_sum(w) if reduction == "mean" else 1.0
    value = w * value if reduction == "none" else exact_sum(w * value) * scale
    return value, w * grad * scale, w * hess * scale


def evaluate(loss, *arguments):
    """Value, gradient and curvature, from the four methods, which agree to the bit."""
    arguments = [device(a) for a in arguments]
    value, grad = loss(*arguments), loss.grad(*arguments)
    again, fused = loss.value_and_grad(*arguments)
    same, hess = loss.grad_and_hess(*arguments)
    np.testing.assert_array_equal(host(value), host(again))
    np.testing.assert_array_equal(host(grad), host(fused))
    np.testing.assert_array_equal(host(grad), host(same))
    return host(value), host(grad), host(hess)


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_exact_to_a_few_units_in_the_last_place(formula, dtype, weighted, reduction):
    arguments = problem(2 * tile(dtype) + 5, dtype, weighted)
    T = compute_dtype(dtype)
    rtol = {np.float16: 1e-3, np.float32: 4.8e-7, np.float64: 8.9e-16}
    found = evaluate(fl.Loss(formula, reduction), *arguments)
    want = expected(formula, *arguments, reduction)
    for result, exact in zip(found, want, strict=True):
        assert np.ndim(result) == np.ndim(exact)
        if np.ndim(result):
            assert result.dtype == dtype
            # The smallest positive numbers of float16 have few digits.
            np.testing.assert_allclose(result, exact, rtol=rtol[dtype], atol=1e-7 * (dtype != T))
        else:
            assert type(result) is float
            np.testing.assert_allclose(result, exact, rtol=rtol[T])


@pytest.mark.parametrize("formula", LOSSES, ids=repr)
def test_special_parameters_and_residuals(formula):
    threshold = formula[0] if len(formula) and math.isfinite(formula[0]) else 1.0
    r = [0.0, -0.0, math.inf, -math.inf, math.nan, threshold, -threshold]
    r += [np.nextafter(threshold, s) for s in (0, 9)]
    x = np.array(r * 5)  # more than a tile: both the vectors and the rest
    found = evaluate(fl.Loss(formula, "none"), x, 0 * np.ones_like(x))
    for result, exact in zip(found, elements(formula, x, np.float64), strict=True):
        np.testing.assert_allclose(result, exact, rtol=4.5e-16)


@pytest.mark.parametrize("special", [math.inf, -math.inf, math.nan])
def test_one_residual_that_is_not_finite_decides_a_sum(special):
    x = np.ones(300)
    x[77] = special
    for weight in (None, np.ones(300)):
        total = fl.L1Loss(reduction="sum")(*map(device, (x, 0 * np.ones(300), weight)))
        assert total == math.inf or (math.isnan(special) and math.isnan(total))


# --- sizes


SIZES = [1, 2, 3, THREADS - 1, THREADS, THREADS + 1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_element_is_taken_once_at_any_size(dtype, weighted):
    whole = tile(dtype)
    lanes = whole // THREADS // elementwise.UNROLL
    sizes = [*SIZES, lanes - 1, lanes + 1, whole - 1, whole, whole + 1, 3 * whole + 1, 1000]
    x, y, weight = problem(1000, dtype, weighted)
    every = expected(SmoothL1(0.7), x, y, weight, "none")
    rtol = 1e-3 if dtype == np.float16 else 4 * np.finfo(dtype).eps
    for size in sizes:
        arguments = [a if a is None else device(a[:size].copy()) for a in (x, y, weight)]
        loss = fl.SmoothL1Loss(beta=0.7, reduction="none")
        for found, exact in zip(host(loss.value_and_grad(*arguments)), every[:2], strict=True):
            np.testing.assert_allclose(found, exact[:size], rtol=rtol, atol=1e-7)


def sum_sizes(dtype):
    block = tile(dtype) * TILES_OF_A_SUM
    return [1, 2, tile(dtype), tile(dtype) + 1, *(n for n in (block, block + 1) if n < 1000), 1000]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0, 1], ids=["vectors", "scalars"])
def test_sums_of_positive_terms_are_exact_but_for_rounding(dtype, weighted, shift, recorder):
    for size in sum_sizes(dtype):
        x, y, weight = problem(size + shift, dtype, weighted)
        x, y, weight = (a if a is None else a[shift:] for a in (x, y, weight))
        # What float16 cannot hold is summed too, so the terms are those of float32.
        T = compute_dtype(dtype)
        terms = fl.HuberLoss(delta=0.7, reduction="none")(x.astype(T), y.astype(T)).astype(float)
        terms *= 1.0 if weight is None else weight
        arguments = [device(a) for a in (x, y, weight)]
        total = fl.HuberLoss(delta=0.7, reduction="sum")(*arguments)
        assert total == pytest.approx(exact_sum(terms), rel=SUM_RTOL, abs=0)
        mean = fl.HuberLoss(delta=0.7)(*arguments)
        divisor = size if weight is None else exact_sum(weight)
        assert mean == pytest.approx(exact_sum(terms) / divisor, rel=3 * SUM_RTOL, abs=0)
    kernels = set(recorder.arguments("run", 0)) - {elementwise.finish}
    assert kernels == {elementwise.scalars if shift else elementwise.vectors}


@pytest.mark.parametrize("position", [*range(0, 2 * THREADS, 2), 300])
def test_a_sum_keeps_what_plain_addition_loses(position):
    """In whichever thread and block the number stands that swallows the others."""
    x = np.ones(400)
    x[position] = 2.0**55
    total = fl.L1Loss(reduction="sum")(*map(device, (x, np.zeros(400))))
    assert total == pytest.approx(math.fsum(x), rel=SUM_RTOL, abs=0)


def test_float16_is_computed_in_float32():
    x, y = np.full(50, 300.0, np.float16), np.zeros(50, np.float16)
    assert fl.MSELoss()(device(x), device(y)) == 90_000.0  # 65,504 is float16's largest
    assert np.isinf(host(fl.MSELoss(reduction="none")(device(x), device(y)))).all()


# --- dtypes


@pytest.mark.parametrize(
    ("input", "target", "result"),
    [
        (np.float16, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float16, np.float64, np.float64),
        (np.int8, np.float32, np.float32),
        (np.int64, np.float32, np.float64),
        (np.int32, np.uint8, np.float64),
        (np.bool_, np.bool_, np.float64),
        (np.bool_, np.float16, np.float16),
    ],
)
def test_dtypes_promote_as_numpy_does(input, target, result):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, 40).astype(input), rng.integers(0, 2, 40).astype(target)
    found = evaluate(fl.SmoothL1Loss(reduction="none"), x, y)
    for ours, exact in zip(found, elements(SmoothL1(), x.astype(result) - y, result), strict=True):
        assert ours.dtype == result
        np.testing.assert_array_equal(ours, exact)
    mean = fl.SmoothL1Loss()(device(x), device(y), device(np.ones(40, np.int8)))
    assert mean == np.mean(found[0], dtype=float)


@pytest.mark.parametrize("dtype", DTYPES)
def test_python_numbers_take_the_dtype_of_the_array(dtype):
    x = np.arange(-20, 20).astype(dtype)
    for target in (1, 0.5, True):
        value = host(fl.L1Loss(reduction="none")(device(x), target))
        assert value.dtype == dtype
        np.testing.assert_array_equal(value, abs(x - dtype(target)))
    weighted = host(fl.L1Loss(reduction="none")(device(x), device(x + 1), 3.0))
    np.testing.assert_array_equal(weighted, np.full(40, 3, dtype))
    assert host(fl.L1Loss(reduction="none")(device(x), np.float64(0))).dtype == np.float64


# --- a mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0, 1], ids=["vectors", "scalars"])
def test_a_mean_is_finite_where_the_gradients_it_divides_are_not(dtype, shift):
    largest = np.finfo(dtype).max
    x, y = np.full(50, 0.9 * largest, dtype)[shift:], np.zeros(50, dtype)[shift:]
    exact = 0.9 * float(largest) / x.size * 2
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(host(fl.MSELoss().grad(device(x), device(y))), exact, rtol=rtol)
    assert np.isinf(host(fl.MSELoss(reduction="sum").grad(device(x), device(y)))).all()
    heavy = np.full(50, 1e30, dtype)[shift:]  # times the residual, beyond float32
    for loss in (fl.MSELoss(), fl.HuberLoss(delta=math.inf)):
        for light, same in zip(
            loss.grad_and_hess(device(x), device(y)),
            loss.grad_and_hess(device(x), device(y), device(heavy)),
            strict=True,
        ):
            np.testing.assert_allclose(host(same), host(light), rtol=rtol)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_the_mean_of_nothing_is_no_number_and_warns(shape):
    empty = device(np.empty(shape))
    for weight in (None, empty):
        with pytest.warns(RuntimeWarning, match="mean of no elements") as caught:
            assert math.isnan(fl.SmoothL1Loss()(empty, empty, weight))
        assert caught[0].filename == __file__
        slot = device(np.zeros(()))
        with pytest.warns(RuntimeWarning, match="mean of no elements"):
            fl.SmoothL1Loss()(empty, empty, weight, slot)
        assert math.isnan(slot.array)
        with pytest.warns(RuntimeWarning, match="mean of no elements"):
            value, gradient = fl.SmoothL1Loss().value_and_grad(empty, empty, weight)
        assert math.isnan(value)
        assert host(gradient).shape == shape


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_nothing_has_no_elements_and_the_sum_zero(shape, recorder):
    empty = device(np.empty(shape))
    for weight in (None, empty):
        assert host(fl.L1Loss(reduction="none")(empty, empty, weight)).shape == shape
        assert fl.L1Loss(reduction="sum")(empty, empty, weight) == 0.0
        for gradient in host(fl.L1Loss().grad_and_hess(empty, empty, weight)):
            assert gradient.shape == shape
    assert set(recorder.arguments("run", 0)) == {elementwise.finish}


def test_weights_that_sum_to_zero_have_no_mean():
    x, y, zero = device(np.ones(9)), device(np.zeros(9)), device(np.zeros(9))
    with pytest.warns(RuntimeWarning, match="weights that sum to zero") as caught:
        assert math.isnan(fl.SmoothL1Loss()(x, y, zero))
    assert caught[0].filename == __file__
    assert np.isnan(host(fl.SmoothL1Loss().grad(x, y, zero))).all()


@pytest.mark.parametrize(
    ("dtype", "weight"),
    [(np.float64, 1e-310), (np.float64, 1.7e308), (np.float32, 1e-40), (np.float32, 3e38)],
)
def test_weights_whose_sum_is_out_of_range_are_refused_with_the_value(dtype, weight):
    x, w = device(np.ones(2, dtype)), device(np.full(2, weight, dtype))
    for call in (fl.MSELoss().__call__, fl.MSELoss().value_and_grad):
        with pytest.raises(ValueError, match="weight must have a sum.*rescale"):
            call(x, 0, w)


@pytest.mark.parametrize(
    ("dtype", "weight"),
    [(np.float64, 1e-310), (np.float64, 1.7e308), (np.float32, 1e-40), (np.float32, 3e38)],
)
def test_weights_whose_sum_is_out_of_range_leave_nan_where_nothing_waits(dtype, weight):
    x, w = device(np.ones(2, dtype)), device(np.full(2, weight, dtype))
    slot = device(np.zeros((), dtype))
    assert np.isnan(host(fl.MSELoss().grad(x, 0, w))).all()
    fl.MSELoss()(x, 0, w, out=slot)
    assert np.isnan(slot.array)
    slot.array[...] = 0
    _, grad = fl.MSELoss().value_and_grad(x, 0, w, total=slot)
    assert np.isnan([slot.array, *host(grad)]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("greatest", [False, True])
def test_weights_whose_sum_can_just_be_inverted_are_right(dtype, greatest):
    tiny = np.finfo(dtype).tiny
    x, w = device(np.ones(1, dtype)), device(np.array([1 / tiny if greatest else tiny], dtype))
    slot = device(np.zeros((), dtype))
    fl.MSELoss()(x, 0, w, out=slot)
    assert slot.array == fl.MSELoss()(x, 0, w) == 1
    np.testing.assert_array_equal(host(fl.MSELoss().grad(x, 0, w)), [2])


# --- out


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_may_be_an_input_itself(position, dtype):
    loss = fl.SmoothL1Loss()
    arguments = problem(tile(dtype) + 5, dtype)
    value, grad = loss.value_and_grad(*map(device, arguments))
    on_device = [device(a.copy()) for a in arguments]
    again, same = loss.value_and_grad(*on_device, out=on_device[position])
    assert same is on_device[position]
    assert again == value
    np.testing.assert_array_equal(same.array, host(grad))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out_dtype", DTYPES)
def test_out_of_another_precision_gets_the_result_cast(dtype, out_dtype):
    x, y, w = map(device, problem(tile(dtype) + 5, dtype))
    loss = fl.HuberLoss(reduction="none")
    for call, reference in ((loss, loss(x, y, w)), (loss.grad, loss.grad(x, y, w))):
        out = device(np.empty(x.array.size, out_dtype))
        assert call(x, y, w, out) is out
        # A wider output keeps the digits that the arithmetic of float16 has beyond it.
        rtol = 1e-3 if np.float16 in (dtype, out_dtype) else 0
        np.testing.assert_allclose(out.array, host(reference).astype(out_dtype), rtol, 1e-7)


@pytest.mark.parametrize("slot_dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_total_goes_into_a_slot_without_anyone_waiting(slot_dtype, reduction, weighted, recorder):
    arguments = [device(a) for a in problem(70, np.float64, weighted)]
    loss = fl.SmoothL1Loss(reduction=reduction)
    total = loss(*arguments)
    recorder.calls.clear()
    slot = device(np.zeros((), slot_dtype))
    assert loss(*arguments, out=slot) is slot
    assert slot.array == slot_dtype(total)
    assert recorder.count("fetch") == 0


def test_a_pair_of_outputs_is_written():
    x, y, w = map(device, problem(50, np.float32))
    loss = fl.SmoothL1Loss()
    out = device(np.empty(50, np.float32)), device(np.empty(50, np.float64))
    found = loss.grad_and_hess(x, y, w, out)
    assert found[0] is out[0]
    assert found[1] is out[1]
    for ours, reference in zip(host(out), host(loss.grad_and_hess(x, y, w)), strict=True):
        np.testing.assert_array_equal(ours, reference)
    half = device(np.empty(50, np.float32))
    gradient, curvature = loss.grad_and_hess(x, y, w, (None, half))
    assert curvature is half
    np.testing.assert_array_equal(host(gradient), out[0].array)


# --- a user's formula


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_formula_of_ones_own_runs_in_every_method(dtype):
    x, y, w = problem(tile(dtype) + 5, dtype)
    loss = fl.Loss(LogCosh(0.5))
    rtol = {np.float16: 2e-3, np.float32: 1e-5, np.float64: 1e-12}[dtype]
    ours = evaluate(loss, x, y, w)
    residuals, scaled = x.astype(float) - y, w / math.fsum(w)
    for method, found in zip(("value", "grad", "hess"), ours, strict=True):
        exact = [getattr(loss.formula, method)(r) for r in residuals.tolist()] * scaled
        exact = exact.sum() if method == "value" else exact
        np.testing.assert_allclose(found, exact, rtol=rtol, atol=1e-6)


def test_an_address_that_is_no_multiple_of_16_is_read_element_by_element(recorder):
    x, y, _ = problem(41, np.float32)
    assert address(device(x)) % 16 == 0
    found = host(fl.L1Loss(reduction="none")(DeviceArray(x[1:]), DeviceArray(y[1:])))
    np.testing.assert_array_equal(found, abs(x - y)[1:])
    assert set(recorder.arguments("run", 0)) == {elementwise.scalars}


def test_a_huge_threshold_in_float32_is_infinite():
    x = np.full(9, 3, np.float32)
    assert fl.Loss(Huber(1e308), "sum")(device(x), 1.0) == 18.0

"""Every element on the device: against exact arithmetic, NumPy and the CPU's kernels."""

import math

import numpy as np
import pytest

import fastloss as fl
from fastloss.formulas import SmoothL1
from tests import reference, registry
from tests.cpu.test_elementwise import RESIDUALS, all_outputs
from tests.cpu.test_formula import LogCosh
from tests.gpu.problem import (
    DTYPES,
    assert_close,
    expected,
    kind_of,
    outputs,
    problem,
    sizes,
    tile,
)
from tests.registry import LOSSES, METHODS, ONE_OF_EACH, REDUCTIONS

pytestmark = pytest.mark.gpu

# Those of the CPU whose elements lie at multiples of their size, in the machine's byte order.
LAYOUTS = [
    registry.contiguous,
    registry.fortran,
    registry.strided,
    registry.reversed_,
    registry.rows_of_wider,
    registry.transposed,
]
SHAPES = [(40_000,), (300, 211), (7, 1, 50, 30)]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_formula = pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
with_and_without_weights = pytest.mark.parametrize(
    "weighted", [False, True], ids=["plain", "weighted"]
)


@every_formula
@every_dtype
@with_and_without_weights
@every_reduction
def test_agrees_with_numpy_and_the_cpu_at_sizes_around_the_blocks(
    arrays, formula, dtype, weighted, reduction
):
    loss = fl.Loss(formula, reduction)
    for size in sizes(dtype):
        arguments = problem(size, dtype, weighted)
        wanted = expected(formula, reduction, *arguments)
        of_the_cpu = all_outputs(loss, *arguments)
        for name, found in outputs(arrays, loss, *arguments).items():
            assert isinstance(found, float) == isinstance(of_the_cpu[name], float), name
            assert_close(found, wanted[kind_of(name)], dtype, name)
            assert_close(found, of_the_cpu[name], dtype, name, times=2)


# --- exactness


def assert_within_two_ulp(found, exact):
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(found[~finite], exact[~finite])
    np.testing.assert_array_max_ulp(found[finite], exact[finite], maxulp=2)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", registry.DTYPES)
@pytest.mark.parametrize("shift", [0, 1], ids=["vectors", "one by one"])
def test_special_residuals_are_within_two_ulp_of_the_exact_value(
    numba_arrays, formula, dtype, shift
):
    with np.errstate(over="ignore", under="ignore"):
        residuals = np.array(RESIDUALS).astype(dtype)
    exact = reference.elements(formula, residuals, dtype)
    # More than a tile, so that the kernel's two ways of taking elements both see all of them.
    size = tile(dtype) + residuals.size
    x = numba_arrays.lay(np.resize(residuals, size), shift)
    y = numba_arrays.send(np.zeros(size, dtype))
    found = numba_arrays.all_to_host(all_outputs(fl.Loss(formula, "none"), x, y))
    for name, output in found.items():
        assert output.dtype == dtype
        assert_within_two_ulp(output, np.resize(exact[kind_of(name)], size))


@pytest.mark.parametrize("beta", [1.0, 0.37, 1e-3, 1e4, 1e-30, 1e-37, 1e-44, 1e30, 1e37])
def test_two_ulp_hold_over_the_whole_exponent_range_of_float32(numba_arrays, beta):
    """Division has a routine of its own, which moves extreme exponents."""
    rng = np.random.default_rng(0)
    exponents = np.repeat(np.arange(-149, 128), 40)
    residuals = np.ldexp(rng.uniform(1, 2, exponents.size), exponents).astype(np.float32)
    formula = SmoothL1(beta)
    value, grad, hess = reference.elements(formula, residuals, np.float32)
    loss = fl.Loss(formula, "none")
    found = outputs(numba_arrays, loss, residuals, np.zeros_like(residuals))
    assert_within_two_ulp(found["value"], value)
    assert_within_two_ulp(found["grad"], grad)
    assert_within_two_ulp(found["hess"], hess)


@pytest.mark.parametrize("beta", [1.0, 0.37, 1e-3, 1e4, 1e-300, 1e300])
def test_two_ulp_hold_over_the_exponent_range_of_float64(numba_arrays, beta):
    rng = np.random.default_rng(0)
    exponents = np.arange(-1022, 1024)
    residuals = np.ldexp(rng.uniform(1, 2, exponents.size), exponents)
    formula = SmoothL1(beta)
    value, grad, _ = reference.elements(formula, residuals, np.float64)
    loss = fl.Loss(formula, "none")
    found = outputs(numba_arrays, loss, residuals, np.zeros_like(residuals))
    assert_within_two_ulp(found["value"], value)
    assert_within_two_ulp(found["grad"], grad)


def test_float16_equals_float32_rounded_for_every_bit_pattern(numba_arrays):
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    loss = fl.SmoothL1Loss(reduction="none", beta=0.3)
    halves = outputs(numba_arrays, loss, x, np.zeros_like(x))
    wide = outputs(numba_arrays, loss, x.astype(np.float32), np.zeros(x.size, np.float32))
    for name, found in halves.items():
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(found, wide[name].astype(np.float16), err_msg=name)


@pytest.mark.parametrize("dtype", registry.DTYPES)
def test_a_mean_is_finite_where_the_gradients_it_divides_are_not(numba_arrays, dtype):
    largest, size = np.finfo(dtype).max, 70_000
    x, y = np.full(size, 0.9 * largest, dtype), np.zeros(size, dtype)
    found = outputs(numba_arrays, fl.MSELoss(), x, y)["grad"]
    wanted = np.full(size, 0.9 * float(largest) / size * 2)
    np.testing.assert_allclose(found, wanted, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", registry.DTYPES)
def test_a_formula_of_ones_own_is_compiled_for_the_device(numba_arrays, dtype):
    loss = fl.Loss(LogCosh(0.5), "none")
    x, y = registry.pair(70_000, dtype)
    of_the_cpu = all_outputs(loss, x, y)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for name, found in outputs(numba_arrays, loss, x, y).items():
        np.testing.assert_allclose(found, of_the_cpu[name], rtol=rtol, atol=1e-5, err_msg=name)


# --- layouts


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shift", [0, 1], ids=["aligned", "one element on"])
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layout_changes_no_bit_of_an_element(arrays, layout, shift, dtype, shape):
    loss = fl.SmoothL1Loss(reduction="none", beta=0.7)
    x, y = (a.reshape(shape) for a in registry.pair(math.prod(shape), dtype))
    plain = outputs(arrays, loss, x, y)
    x_there, y_there = arrays.send(x), arrays.send(y)
    x_laid, y_laid = arrays.lay(layout(x), shift), arrays.lay(layout(y), shift)
    for pairing in ((x_laid, y_there), (x_there, y_laid), (x_laid, y_laid)):
        for name, found in arrays.all_to_host(all_outputs(loss, *pairing)).items():
            np.testing.assert_array_equal(found, plain[name], err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shift", [0, 1], ids=["aligned", "one element on"])
@pytest.mark.parametrize("method", METHODS)
def test_outputs_of_any_layout_are_filled_and_given_back(arrays, layout, shift, method):
    x, y = (a.reshape(300, 211) for a in registry.pair(63_300, np.float32))
    loss = fl.SmoothL1Loss(reduction="none", beta=0.7)
    plain = outputs(arrays, loss, x, y)
    x_there, y_there = arrays.send(x), arrays.send(y)
    first, second = (arrays.lay(layout(np.full_like(x, np.nan)), shift) for _ in range(2))
    if method == "value":
        assert loss(x_there, y_there, out=first) is first
        np.testing.assert_array_equal(arrays.host(first), plain["value"])
    elif method == "grad":
        assert loss.grad(x_there, y_there, out=first) is first
        np.testing.assert_array_equal(arrays.host(first), plain["grad"])
    elif method == "value_and_grad":
        value, grad = loss.value_and_grad(x_there, y_there, out=first)
        assert grad is first
        np.testing.assert_array_equal(arrays.host(first), plain["grad"])
        np.testing.assert_array_equal(arrays.host(value), plain["value"])
    else:
        grad, hess = loss.grad_and_hess(x_there, y_there, out=(first, second))
        assert grad is first
        assert hess is second
        np.testing.assert_array_equal(arrays.host(first), plain["grad"])
        np.testing.assert_array_equal(arrays.host(second), plain["hess"])


def test_nothing_beside_an_output_is_written(arrays):
    x, y = registry.pair(1000, np.float32)
    memory = np.full(3 * x.size, 7, np.float32)
    whole = arrays.send(memory)
    out = arrays.view(whole, 1, x.shape, (8,))
    fl.L1Loss(reduction="sum").grad(arrays.send(x), arrays.send(y), out=out)
    memory[1 : 2 * x.size : 2] = np.sign(x - y)
    np.testing.assert_array_equal(arrays.host(whole), memory)


@pytest.mark.parametrize("position", range(3), ids=["input", "target", "weight"])
@every_dtype
def test_out_may_be_an_argument_itself(arrays, position, dtype):
    arguments = [arrays.send(a) for a in problem(40_003, dtype, weighted=True)]
    loss = fl.SmoothL1Loss()
    value, grad = loss.value_and_grad(*arguments)
    kept = arrays.host(grad).copy()
    again, same = loss.value_and_grad(*arguments, out=arguments[position])
    assert same is arguments[position]
    assert again == value
    np.testing.assert_array_equal(arrays.host(same), kept)


def test_out_that_overlaps_partly_is_refused(arrays):
    memory = arrays.send(np.zeros(30))
    x, out = (arrays.view(memory, start, (10,), (8,)) for start in (0, 5))
    with pytest.raises(ValueError, match="out must not overlap input partly"):
        fl.SmoothL1Loss().grad(x, arrays.send(np.zeros(10)), out=out)


def test_inputs_are_not_changed(arrays):
    arguments = problem(10_000, np.float32, weighted=True)
    sent = [arrays.send(a) for a in arguments]
    all_outputs(fl.SmoothL1Loss(), *sent)
    for array, there in zip(arguments, sent, strict=True):
        np.testing.assert_array_equal(arrays.host(there), array)


# --- shapes


@every_reduction
@every_dtype
@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 1), (1, 1), (), (1,)], ids=str)
def test_a_broadcast_input_gets_its_gradient_summed_back(arrays, reduction, dtype, shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    y, weight = rng.standard_normal((5, 7)).astype(dtype), rng.uniform(size=(5, 7)).astype(dtype)
    loss = fl.SmoothL1Loss(reduction=reduction)
    of_the_cpu = all_outputs(loss, x, y, weight)
    eps = float(np.finfo(dtype).eps)
    for name, found in outputs(arrays, loss, x, y, weight).items():
        wanted = of_the_cpu[name]
        assert np.shape(found) == np.shape(wanted), name
        # Sums of both signs: their rounding is that of the largest terms.
        np.testing.assert_allclose(found, wanted, rtol=8 * eps, atol=16 * eps, err_msg=name)


def test_many_rows_are_summed_back_into_one(arrays):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(300), rng.standard_normal((2000, 300))
    found = outputs(arrays, fl.SmoothL1Loss(), x, y)
    of_the_cpu = all_outputs(fl.SmoothL1Loss(), x, y)
    for name, wanted in of_the_cpu.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-12, atol=1e-15, err_msg=name)


def test_a_target_without_steps_is_read_again_for_each_element(arrays):
    x = registry.pair(10_000, np.float32)[0].reshape(100, 100)
    row = np.linspace(0, 1, 100, dtype=np.float32)
    whole = np.broadcast_to(row, x.shape)
    loss = fl.HuberLoss(reduction="none")
    plain = outputs(arrays, loss, x, whole)
    there = all_outputs(loss, arrays.send(x), arrays.lay(whole))
    for name, found in arrays.all_to_host(there).items():
        np.testing.assert_array_equal(found, plain[name], err_msg=name)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)], ids=str)
@every_dtype
def test_empty_input(arrays, shape, dtype):
    empty = arrays.send(np.empty(shape, dtype))
    for result in (fl.L1Loss(reduction="none")(empty, empty), fl.L1Loss().grad(empty, empty)):
        assert arrays.owns(result)
        assert arrays.host(result).shape == shape
        assert arrays.host(result).dtype == dtype
    assert fl.L1Loss(reduction="sum")(empty, empty) == 0.0
    with pytest.warns(RuntimeWarning, match="mean of no elements"):
        assert math.isnan(fl.L1Loss()(empty, empty))


@every_dtype
@every_reduction
def test_arrays_without_axes(arrays, dtype, reduction):
    loss = fl.SmoothL1Loss(reduction=reduction)
    found = outputs(arrays, loss, np.array(3, dtype), np.array(0.5, dtype))
    wanted = {"value": 2.0, "grad": 1.0, "hess": 0.0}
    for name, result in found.items():
        assert np.shape(result) == ()
        assert result == wanted[("value", "grad", "hess")[kind_of(name)]], name


# --- dtypes


@pytest.mark.parametrize(
    "dtypes",
    [
        (np.float32, np.float64),
        (np.float64, np.float32),
        (np.float16, np.float32),
        (np.float16, np.float64),
        (np.int32, np.int32),
        (np.int8, np.uint8),
        (np.bool_, np.bool_),
        (np.int32, np.float32),
        (np.int8, np.float16),
    ],
    ids=lambda pair: "-".join(np.dtype(d).name for d in pair),
)
def test_two_dtypes_promote_as_on_the_cpu(arrays, dtypes):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2, 5000).astype(dtype) for dtype in dtypes)
    loss = fl.SmoothL1Loss(reduction="none")
    of_the_cpu = all_outputs(loss, x, y)
    for name, found in outputs(arrays, loss, x, y).items():
        assert found.dtype == of_the_cpu[name].dtype, name
        np.testing.assert_array_equal(found, of_the_cpu[name], err_msg=name)


@pytest.mark.parametrize("out_dtype", [np.float32, np.float64])
def test_out_may_be_of_another_precision(arrays, out_dtype):
    x, y = registry.pair(5000, np.float32)
    loss = fl.SmoothL1Loss()
    out, again = arrays.send(np.zeros(5000, out_dtype)), np.zeros(5000, out_dtype)
    value, _ = loss.value_and_grad(arrays.send(x), arrays.send(y), out=out)
    wanted, _ = loss.value_and_grad(x, y, out=again)
    assert_close(value, wanted, np.float32)
    np.testing.assert_allclose(arrays.host(out), again, rtol=8 * np.finfo(np.float32).eps)


def test_numbers_of_python_stand_beside_device_arrays(arrays):
    x = np.array([3.0, 0.5], np.float32)
    found = fl.SmoothL1Loss(reduction="none")(arrays.send(x), 0, 2.0)
    np.testing.assert_array_equal(arrays.host(found), np.array([5.0, 0.25], np.float32))

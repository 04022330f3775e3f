"""Every loss, method, dtype, layout and size, against exact arithmetic or NumPy."""

import itertools
import math
import subprocess
import sys

import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import elementwise, threads
from tests import reference
from tests.formulas import PseudoHuber
from tests.registry import (
    DTYPES,
    LAYOUTS,
    LOSSES,
    METHODS,
    ONE_OF_EACH,
    REDUCTIONS,
    SIZES,
    cases,
    pair,
)

RESIDUALS = [0.0, 0.1, 0.3, 0.69, 0.7, 0.71, 1.0, 1.5, 3.0, 1e3, 1e10, 1e-5, 1e-10, 1e-20, 1e-30]
RESIDUALS += [2.5e-38, 1e-40, 1e19, 1e30, 3e38, math.inf, math.nan]
RESIDUALS += [-r for r in RESIDUALS]


def all_outputs(loss, x, y, weight=None):
    """Everything a loss can give for these arrays, by every method, by name."""
    value, grad = loss.value_and_grad(x, y, weight)
    second_grad, hess = loss.grad_and_hess(x, y, weight)
    return {
        "value": loss(x, y, weight),
        "fused value": value,
        "grad": loss.grad(x, y, weight),
        "fused grad": grad,
        "grad beside hess": second_grad,
        "hess": hess,
    }


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_element_is_within_two_ulp_of_the_exact_value(formula, dtype):
    with np.errstate(over="ignore", under="ignore"):
        r = np.array(RESIDUALS, np.float64).astype(dtype)
    exact = reference.elements(formula, r, dtype)
    outputs = all_outputs(fl.Loss(formula, "none"), r, np.zeros_like(r))
    for name, output in outputs.items():
        expected = exact[
            ("value", "grad", "hess").index(name.split()[-1 if "fused" in name else 0])
        ]
        assert output.dtype == dtype
        np.testing.assert_array_equal(np.isnan(output), np.isnan(expected), err_msg=name)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(output[~finite], expected[~finite], err_msg=name)
        np.testing.assert_array_max_ulp(output[finite], expected[finite], maxulp=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [1.0, 0.37, 1e-3, 1e4, 1e-37, 1e37])
def test_two_ulp_hold_over_the_whole_exponent_range(dtype, beta):
    info = np.finfo(dtype)
    exponents = np.arange(int(info.minexp), int(info.maxexp), 7)
    rng = np.random.default_rng(0)
    r = np.ldexp(rng.uniform(1, 2, exponents.size), exponents).astype(dtype)
    formula = fl.formulas.SmoothL1(beta)
    value, grad, _ = reference.elements(formula, r, dtype)
    loss = fl.Loss(formula, "none")
    np.testing.assert_array_max_ulp(loss(r, np.zeros_like(r)), value, maxulp=2)
    np.testing.assert_array_max_ulp(loss.grad(r, np.zeros_like(r)), grad, maxulp=2)


@pytest.mark.parametrize(
    ("formula", "weighted", "reduction"),
    cases(
        ONE_OF_EACH,
        [False, True],
        REDUCTIONS,
        slow=lambda formula, weighted, reduction: (
            formula is not ONE_OF_EACH[0] and (weighted or reduction != "mean")
        ),
    ),
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_numpy_at_sizes_around_tile_block_and_threads(
    formula, dtype, weighted, reduction
):
    loss = fl.Loss(formula, reduction)
    for size in SIZES:
        x, y = pair(size, dtype)
        weight = np.random.default_rng(1).uniform(0, 2, size).astype(dtype) if weighted else None
        w = np.ones(size) if weight is None else weight.astype(float)
        # Off the kinks rounding decides nothing; at them x - y is exact.
        expected = [v * w for v in reference.quick(type(formula)._make(map(dtype, formula)), x - y)]
        divisor = {"none": 1, "sum": 1, "mean": reference.exact_sum(w)}[reduction]
        rtol = 4 * float(np.finfo(dtype).eps)
        outputs = all_outputs(loss, x, y, weight)
        for name, output in outputs.items():
            if name.endswith("value") and reduction != "none":
                total = reference.exact_sum(expected[0]) / divisor
                assert isinstance(output, float)
                assert output == pytest.approx(total, rel=rtol), name
            else:
                kind = 0 if name.endswith("value") else 2 if name == "hess" else 1
                scale = 1 if name.endswith("value") else divisor
                np.testing.assert_allclose(output, expected[kind] / scale, rtol=rtol, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40_000,), (300, 211), (7, 1, 50, 30)], ids=str)
def test_layout_changes_no_bit(layout, dtype, shape):
    loss = fl.SmoothL1Loss(beta=0.7)
    x, y = (a.reshape(shape) for a in pair(math.prod(shape), dtype))
    plain = all_outputs(loss, x, y)
    for pairing in ((layout(x), y), (x, layout(y))):
        for name, output in all_outputs(loss, *pairing).items():
            np.testing.assert_array_equal(output, plain[name], err_msg=name)
    for name, output in all_outputs(loss, layout(x), layout(y), layout(np.ones_like(x))).items():
        np.testing.assert_allclose(output, plain[name], rtol=1e-14, err_msg=name)


def test_arrays_are_added_in_c_order_unless_all_lie_in_the_other():
    """Of random sizes, as one sum in sixty differs in its last bit where the order does."""
    rng = np.random.default_rng(0)
    loss = fl.SmoothL1Loss()
    for shape in rng.integers(2, 100, (200, 2)):
        x, y = rng.standard_normal((2, *shape))
        weight = rng.random(shape)
        value, grad = loss.value_and_grad(x, y, weight)
        for turned in itertools.product([False, True], repeat=3):
            if all(turned):
                continue
            pieces = zip((x, y, weight), turned, strict=True)
            again = loss.value_and_grad(*(np.asfortranarray(a) if f else a for a, f in pieces))
            assert again[0] == value
            np.testing.assert_array_equal(again[1], grad)
        fortran = [np.asfortranarray(a) for a in (x, y, weight)]
        assert loss(*fortran) == loss(x.T.copy(), y.T.copy(), weight.T.copy())
        assert loss(*fortran) == pytest.approx(value, rel=4.4e-16)


@pytest.mark.parametrize("layout", LAYOUTS[:-1], ids=lambda f: f.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_outputs_of_any_layout_are_filled(layout, method):
    x, y = (a.reshape(300, 211) for a in pair(63_300, np.float32))
    loss = fl.SmoothL1Loss(reduction="none", beta=0.7)
    expected = loss(x, y) if method == "value" else getattr(loss, method)(x, y)
    first, second = layout(np.full_like(x, np.nan)), layout(np.full_like(x, np.nan))
    if method == "value":
        assert loss(x, y, out=first) is first
        np.testing.assert_array_equal(first, expected)
    elif method == "grad":
        assert loss.grad(x, y, out=first) is first
        np.testing.assert_array_equal(first, expected)
    elif method == "value_and_grad":
        value, grad = loss.value_and_grad(x, y, out=first)
        assert grad is first
        np.testing.assert_array_equal(value, expected[0])
        np.testing.assert_array_equal(grad, expected[1])
    else:
        grad, hess = loss.grad_and_hess(x, y, out=(first, second))
        assert grad is first
        assert hess is second
        np.testing.assert_array_equal(grad, expected[0])
        np.testing.assert_array_equal(hess, expected[1])


@pytest.mark.parametrize("size", [elementwise.BLOCK + 1, threads.ALWAYS_PARALLEL_FROM, 500_001])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_number_of_threads_changes_no_bit(size, dtype, weighted):
    loss = fl.SmoothL1Loss(beta=0.7)
    x, y = pair(size, dtype)
    weight = np.random.default_rng(1).uniform(0, 2, size).astype(dtype) if weighted else None
    numba.set_num_threads(1)
    alone = all_outputs(loss, x, y, weight)
    for count in range(2, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(count)
        for name, output in all_outputs(loss, x, y, weight).items():
            np.testing.assert_array_equal(output, alone[name], err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parallel_and_serial_kernels_give_the_same_bits(dtype):
    x, y = pair(200_001, dtype)
    results = []
    for kernel in (elementwise.serial, elementwise.parallel):
        grad = np.empty_like(x)
        blocks = -(-x.size // elementwise.BLOCK)
        pairs = np.empty((blocks, 2))
        formula = fl.formulas.SmoothL1(dtype(0.7))
        kernel(formula, x, y, None, dtype(0.1), None, grad, None, pairs, None, None, None)
        results.append((grad, pairs))
    for serial, parallel in zip(*results, strict=True):
        np.testing.assert_array_equal(serial, parallel)


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_value_has_the_same_bits_alone_and_beside_the_gradient(formula, dtype, size):
    loss = fl.Loss(formula, "sum")
    x, y = pair(size, dtype)
    strided_out = np.empty((size, 2), dtype)[:, 0]
    assert loss(x, y) == loss.value_and_grad(x, y)[0]
    assert loss(x, y) == loss.value_and_grad(x, y, out=strided_out)[0]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [100, elementwise.BLOCK, elementwise.BLOCK + 1, 200_001])
def test_weighted_mean_has_the_same_bits_however_its_weights_are_summed(size, dtype, layout):
    """Beyond a block, contiguous weights are summed as the losses are, others before them."""
    loss = fl.SmoothL1Loss()
    x, y = pair(size, dtype)
    w = np.random.default_rng(2).random(size, dtype)
    alone = loss(x, y, w)
    assert loss(x, y, layout(w)) == alone
    assert loss.value_and_grad(x, y, w)[0] == alone
    r = np.abs(x.astype(np.float64) - y)
    assert alone == pytest.approx(np.average(np.where(r < 1, r * r / 2, r - 0.5), weights=w))


@pytest.mark.parametrize("size", [1, 1000, elementwise.BLOCK + 1])
def test_what_a_formula_gives_in_float64_is_weighted_before_it_is_rounded(size):
    """One of a user's own may, for float32 too."""
    loss = fl.Loss(PseudoHuber(0.7), "sum")
    x, y = pair(size, np.float32)
    w = np.random.default_rng(2).random(size, np.float32)
    assert loss(x, y, w) == loss.value_and_grad(x, y, w)[0]
    mean = fl.Loss(PseudoHuber(0.7))
    assert mean(x, y, w) == mean.value_and_grad(x, y, w)[0]


@pytest.mark.parametrize("size", [1000, 2 * elementwise.BLOCK + 1])
@pytest.mark.parametrize("method", ["value", "value_and_grad"])
def test_layouts_of_one_size_compile_one_kernel(size, method):
    loss = fl.SmoothL1Loss()
    x, y = pair(size, np.float32)
    call = loss if method == "value" else getattr(loss, method)
    call(x, y)
    before = compiled()
    for layout in LAYOUTS:
        call(layout(x), layout(y))
    assert compiled() == before


def compiled():
    kernels = (
        elementwise.serial,
        elementwise.parallel,
        elementwise.single_summed,
        elementwise.single_filled,
    )
    return [len(kernel.signatures) for kernel in kernels]


def test_inputs_are_not_changed():
    x, y = pair(1000, np.float64)
    weight = np.ones_like(x)
    copies = x.copy(), y.copy(), weight.copy()
    all_outputs(fl.SmoothL1Loss(), x, y, weight)
    for array, copy in zip((x, y, weight), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(), fl.MSELoss(reduction="sum")], ids=str)
@pytest.mark.parametrize("size", [3, 1000, elementwise.BLOCK + 7, 200_001])
def test_the_gradient_may_take_the_place_of_the_weights(loss, size):
    x, y = pair(size, np.float64)
    weight = np.random.default_rng(1).uniform(0, 2, size)
    value, gradient = loss.value_and_grad(x, y, weight)
    found, out = loss.value_and_grad(x, y, weight, out=weight)
    assert out is weight
    assert found == value
    np.testing.assert_array_equal(out, gradient)


LITTLE_MEMORY = """
import resource
import numpy as np, fastloss as fl
x = np.linspace(-3, 3, 200_001)
y, loss = np.zeros_like(x), fl.SmoothL1Loss()
with fl.threads(1):
    expected = loss(x, y)
with open("/proc/self/statm") as pages:
    used = int(pages.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000,) * 2)
assert loss(x, y) == expected
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_kernel_writes_to_no_memory_that_it_has_given_back():
    """Where there is little, what threads give back is gone: the process died of writing there."""
    ended = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], stderr=subprocess.PIPE, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stderr

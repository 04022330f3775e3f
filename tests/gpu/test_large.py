"""Arrays of up to some thousand million elements, whose sums and gradients are known exactly.

All residuals are multiples of an eighth, so that no sum here is rounded at all.
"""

import numpy as np
import pytest

import fastloss as fl
from fastloss.formulas import SmoothL1

pytestmark = pytest.mark.gpu

PART = 1_000_000
# Memory left to the libraries and to the sums that blocks leave.
SPARE = 1 << 30
LOSS = fl.Loss(SmoothL1(1.0), "sum")


def part(dtype):
    x, y = np.random.default_rng(0).integers(-16, 17, (2, PART)) / 8
    return x.astype(dtype), y.astype(dtype)


def require_memory(arrays, size):
    from numba import cuda

    arrays.give_back_memory()
    free = cuda.current_context().get_memory_info().free
    if free < size + SPARE:
        pytest.skip(f"needs {(size + SPARE) / 1e9:.1f} GB of device memory, {free / 1e9:.1f} free")


def assert_gradient(arrays, gradient, wanted, parts):
    """Compare some parts element by element, and all of it by a sum of squares."""
    for k in sorted({0, 1 % parts, parts // 2, parts - 1}):
        here = arrays.host(gradient[k * PART : (k + 1) * PART])
        np.testing.assert_array_equal(here, wanted, err_msg=f"part {k}")
    zero = arrays.view(arrays.send(np.zeros(1, wanted.dtype)), 0, (parts * PART,), (0,))
    total = fl.MSELoss(reduction="sum")(gradient, zero)
    assert total == parts * float(np.sum(wanted.astype(float) ** 2))


@pytest.mark.parametrize(
    ("parts", "dtype"),
    [
        (1, np.float16),
        (1, np.float32),
        (1, np.float64),
        (100, np.float16),
        (100, np.float32),
        (100, np.float64),
        (1000, np.float16),
        (1000, np.float32),
        (2200, np.float16),  # more elements than 31 bits count
        (4400, np.float16),  # more than 32 bits do
    ],
    ids=lambda value: f"{value} million" if isinstance(value, int) else value.__name__,
)
def test_every_element_is_taken_once(arrays, parts, dtype):
    require_memory(arrays, 3 * parts * PART * np.dtype(dtype).itemsize)
    x, y = part(dtype)
    wanted, gradient = LOSS.value_and_grad(x, y)
    x_there, y_there = arrays.tile(x, parts), arrays.tile(y, parts)
    value, found = LOSS.value_and_grad(x_there, y_there)
    assert value == parts * wanted
    assert LOSS(x_there, y_there) == value
    assert fl.SmoothL1Loss()(x_there, y_there) == pytest.approx(wanted / PART, rel=1e-15)
    assert_gradient(arrays, found, gradient, parts)


@pytest.mark.parametrize("parts", [100, 2200, 4400])
def test_every_element_is_taken_once_with_strides(arrays, parts):
    """Elements are numbered in 32 bits here, so larger arrays are cut to pieces."""
    require_memory(arrays, 2 * parts * PART * 2)
    x, y = part(np.float16)
    y[:] = y[0]
    wanted, gradient = LOSS.value_and_grad(x, y)
    x_there = arrays.tile(x, parts)
    y_there = arrays.view(arrays.send(y[:1]), 0, (parts * PART,), (0,))
    value, found = LOSS.value_and_grad(x_there, y_there)
    assert value == parts * wanted
    assert_gradient(arrays, found, gradient, parts)

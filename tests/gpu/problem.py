"""What the tests on a GPU compute: sizes, numbers, and results to be expected."""

import numpy as np

from tests import reference
from tests.cpu.test_elementwise import all_outputs
from tests.registry import pair

DTYPES = [np.float16, np.float32, np.float64]
# What a sum of positive terms may be off by, of itself: lanes are added in three steps at most.
SUM_BOUND = 4.5e-16


def compute_dtype(dtype):
    """Give the precision of the arithmetic."""
    return np.float32 if dtype == np.float16 else dtype


def tile(dtype):
    """Give the number of elements that a block of threads takes at a time, 16 bytes each thread."""
    from fastloss.cuda import backend, elementwise, jit

    lanes = backend.VECTOR_BYTES // np.dtype(dtype).itemsize
    return jit.THREADS * elementwise.UNROLL * lanes


def sizes(dtype):
    """Give sizes around a vector of 16 bytes, a block of threads, a tile and a block's sum."""
    from fastloss.cuda import choice, jit

    around = [16 // np.dtype(dtype).itemsize, jit.THREADS, tile(dtype)]
    around += [choice.TILES_OF_A_SUM * tile(dtype), choice.EACH_OF_A_SUM * jit.THREADS]
    found = {n + step for n in around for step in (-1, 0, 1)}
    return sorted(found | {1, 2, 3, 3 * max(around) + 7})


def problem(size, dtype, weighted):
    """Give input, target and a weight or None."""
    x, y = pair(size, dtype)
    weight = np.random.default_rng(1).uniform(0.5, 2, size).astype(dtype) if weighted else None
    return x, y, weight


def expected(formula, reduction, x, y, weight):
    """Give value, gradient and curvature in float64."""
    T = compute_dtype(x.dtype.type)
    rounded = type(formula)._make(map(T, formula))
    w = np.ones(x.shape) if weight is None else weight.astype(np.float64)
    value, grad, hess = (v * w for v in reference.quick(rounded, x.astype(T) - y.astype(T)))
    if reduction == "none":
        return value, grad, hess
    divisor = reference.exact_sum(w) if reduction == "mean" else 1.0
    return reference.exact_sum(value) / divisor, grad / divisor, hess / divisor


def outputs(arrays, loss, *arguments):
    """Give all that a loss gives for these arrays, computed on the device, on the host."""
    sent = [None if a is None else arrays.send(a) for a in arguments]
    return arrays.all_to_host(all_outputs(loss, *sent))


def kind_of(name):
    """Say whether one of ``all_outputs`` is the value, the gradient or the curvature: 0, 1 or 2."""
    return 0 if name.endswith("value") else 2 if name == "hess" else 1


def assert_close(found, wanted, dtype, name="", times=1):
    """Compare, to ``times`` four roundings; float16 has few digits near 0."""
    rounding = np.finfo(compute_dtype(dtype)).eps
    if isinstance(found, float):
        assert abs(found - wanted) <= times * 4 * rounding * abs(wanted), name
        return
    assert found.dtype == dtype, name
    half = dtype == np.float16
    rtol = times * (np.finfo(dtype).eps if half else 4 * rounding)
    atol = times * float(np.finfo(dtype).smallest_subnormal) if half else 0
    np.testing.assert_allclose(found.astype(float), wanted, rtol=rtol, atol=atol, err_msg=name)

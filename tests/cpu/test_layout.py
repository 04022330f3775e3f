from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fastloss.cpu.layout import Folded, flat, read, rectangles, vector, write
from fastloss.cpu.sparse import rows_of

shapes = st.lists(st.integers(1, 6), min_size=0, max_size=4).map(tuple)


@st.composite
def runs(draw):
    shape = draw(shapes)
    low = draw(st.integers(0, prod(shape) - 1))
    return shape, low, draw(st.integers(low + 1, prod(shape)))


@given(runs())
def test_rectangles_are_the_run_in_order(run):
    shape, low, high = run
    numbers = np.arange(prod(shape)).reshape(shape)
    found = [numbers[index].reshape(-1) for index in rectangles(shape, low, high)]
    np.testing.assert_array_equal(np.concatenate(found), np.arange(low, high))


@given(runs())
def test_rectangles_are_few(run):
    shape, low, high = run
    assert len(list(rectangles(shape, low, high))) <= max(1, 2 * len(shape) - 1)


@given(runs())
def test_read_and_write_are_inverse(run):
    shape, low, high = run
    source = np.arange(prod(shape), dtype=np.int16).reshape(shape[::-1]).T
    target = np.full(shape, -1, np.float16)
    buffer = np.empty(prod(shape))
    read(source, low, high, buffer)
    np.testing.assert_array_equal(buffer[: high - low], source.reshape(-1)[low:high])
    write(target, low, high, buffer)
    np.testing.assert_array_equal(target.reshape(-1)[low:high], buffer[: high - low])
    assert (target.reshape(-1)[:low] == -1).all()
    assert (target.reshape(-1)[high:] == -1).all()


def test_flat_takes_only_what_a_kernel_can_read():
    x = np.zeros((4, 6))
    dtype = np.dtype(np.float64)
    assert flat(x, dtype).shape == (24,)
    assert np.shares_memory(flat(x, dtype), x)
    assert flat(x.T, dtype) is None
    assert flat(x[:, :3], dtype) is None
    assert flat(x, np.dtype(np.float32)) is None
    assert flat(x.astype(">f8"), dtype) is None
    assert flat(np.zeros(33, np.uint8)[1:].view(np.float64), dtype) is None


def test_flat_of_a_read_only_array_keeps_its_memory_alive():
    x = np.arange(1000.0)
    x.flags.writeable = False
    view = flat(x, np.dtype(np.float64))
    assert np.shares_memory(view, x)
    assert view.flags.writeable
    del x
    np.testing.assert_array_equal(view, np.arange(1000.0))


@pytest.mark.parametrize("read_only", [False, True])
def test_what_a_linear_model_takes_is_not_copied(read_only):
    """A memory map's rows are read-only, and so are those that joblib and Dask hand on."""
    y = np.arange(1000.0, dtype=np.float32)
    X = sparse.random_array((50, 20), density=0.1, format="csr", rng=np.random.default_rng(0))
    for array in (y, X.data, X.indices, X.indptr):
        array.flags.writeable = not read_only
    assert np.shares_memory(vector(y), y)
    assert vector(y).flags.writeable
    for taken, its in zip(rows_of(X), (X.data, X.indices, X.indptr), strict=True):
        assert np.shares_memory(taken, its)
        assert taken.flags.writeable


def test_folded_adds_up_over_the_broadcast_axes():
    out = np.empty((3, 1))
    folded = Folded(out, (2, 3, 4))
    part = np.arange(24.0)
    write(folded, 0, 10, part[:10])
    write(folded, 10, 24, part[10:])
    folded.finish()
    np.testing.assert_array_equal(out, part.reshape(2, 3, 4).sum(axis=(0, 2))[:, None])

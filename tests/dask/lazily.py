"""Calls with Dask arrays, which must compute nothing before they are asked to."""

import math

import dask
import dask.array as da
import numpy as np

from tests.registry import pair
from tests.test_losses import call

SHAPE = 30, 14


def arrays(shape=SHAPE, dtype=np.float64):
    x, y = (a.reshape(shape) for a in pair(math.prod(shape), dtype))
    return x, y, np.random.default_rng(1).uniform(size=shape).astype(dtype)


def chunked(array, chunks):
    return da.from_array(array, chunks)


def refuse(*_, **__):
    raise AssertionError("computed while the graph was built")


def lazily(loss, method, *arguments, **options):
    """Call, with whatever computes refused; give the lazy results as a list."""
    with dask.config.set(scheduler=refuse):
        found = call(loss, method, *arguments, **options)
    found = list(found) if isinstance(found, tuple) else [found]
    assert all(dask.is_dask_collection(part) for part in found)
    return found


def eagerly(loss, method, *arguments):
    found = call(loss, method, *arguments)
    return [np.asarray(part) for part in (found if isinstance(found, tuple) else (found,))]


def computed(loss, method, *arguments, **options):
    """Call lazily, then compute all results together."""
    lazy = lazily(loss, method, *arguments)
    found = dask.compute(*lazy, **options)
    for before, after in zip(lazy, found, strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before.shape, after.shape)
    return [np.asarray(part) for part in found]

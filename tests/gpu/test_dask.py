"""Losses of Dask arrays whose chunks are CuPy's: computed and kept on the GPU."""

import numpy as np
import pytest

import fastloss as fl
from tests.gpu.arrays import KINDS
from tests.registry import METHODS, REDUCTIONS
from tests.test_losses import call

pytestmark = pytest.mark.gpu

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

SHAPE, CHUNKS = (300, 211), (128, 100)


@pytest.fixture
def cupy(_on_a_gpu):
    return KINDS["cupy"]()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_results_are_those_of_numpy_arrays(cupy, method, reduction, weighted, scheduler):
    rng = np.random.default_rng(0)
    plain = [rng.standard_normal(SHAPE, np.float32) for _ in range(2)]
    plain += [rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)] * weighted
    loss = fl.SmoothL1Loss(reduction=reduction, beta=0.7)
    lazy = call(loss, method, *(da.from_array(cupy.send(a), CHUNKS, asarray=False) for a in plain))
    found, known = dask.compute(lazy, scheduler=scheduler)[0], call(loss, method, *plain)
    pairs = zip(found, known, strict=True) if "_and_" in method else [(found, known)]
    for part, expected in pairs:
        assert cupy.owns(part) == (np.ndim(expected) > 0)
        np.testing.assert_allclose(cupy.host_or_number(part), expected, rtol=5e-7)

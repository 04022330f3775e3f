"""What calls kernels, where there is nothing to compile."""

import numpy as np

import fastloss as fl
from fastloss.cli import memory


def test_nothing_is_compiled_ahead():
    assert fl.warmup([fl.SmoothL1Loss()], dtypes=["float64"], weights=True) > 0


def test_the_kernels_that_measure_memory_read_and_write_all_of_it():
    n = memory.BLOCK + 7
    for make, streams in ((memory.reader, 2), (memory.writer, 3)):
        traffic = make("float32", 100)
        traffic.call()
        assert traffic.bytes == streams * 400
    x, y, out, sums = np.arange(float(n)), np.ones(n), np.empty(n), np.empty(2)
    memory.writing(x, y, out).call()
    np.testing.assert_array_equal(out, x - y)
    memory._read(x, y, sums)
    assert sums.sum() == (x + y).sum()

"""What is true of the blocks of any source."""

import numpy as np


def check_blocks(source, X, y, weight, rows, low=0):
    """Blocks of exactly so many rows have the numbers, in order; the last is shorter."""
    n = len(X)
    at = low
    for block in source.blocks(rows, low):
        high = min(n, at + rows)
        assert block.low == at
        check_block(block, X[at:high], y[at:high], None if weight is None else weight[at:high])
        assert block.X.dtype == source.dtype
        at = high
    assert at == n


def check_block(block, X, y, weight):
    np.testing.assert_array_equal(block.X, X, strict=False)
    assert block.X.shape == X.shape
    assert block.X.dtype in (np.float32, np.float64)
    assert block.X.dtype.isnative
    np.testing.assert_array_equal(block.y, y)
    assert block.y.shape == y.shape
    if weight is None:
        assert block.weight is None
    else:
        np.testing.assert_array_equal(block.weight, weight)

import numpy as np
import pytest

from fastloss.scale import NORMAL_MEDIAN, mad


def test_scale_is_the_median_absolute_residual():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 6, 101):
        r = rng.standard_normal(size)
        assert mad(r) == pytest.approx(1.482602218505602 * np.median(np.abs(r)), rel=1e-12)
        assert mad(r, np.full(size, 0.5)) == pytest.approx(mad(r), rel=1e-12)
        assert mad(np.repeat(r, 3), None) == pytest.approx(mad(r, np.full(size, 3.0)), rel=1e-12)
    r = np.array([1.0, 2.0, 50.0, 3.0])
    assert mad(r, np.array([1.0, 1.0, 0.0, 1.0])) == mad(r[[0, 1, 3]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000, 1001])
@pytest.mark.parametrize("special", [None, 0.0, np.inf, np.nan])
def test_the_median_is_numpys(size, special):
    rng = np.random.default_rng(size)
    for count in (0, 1, size // 2, size // 2 + 1):
        r = np.round(rng.standard_normal(size), 1)
        r[:count] = r[:count] if special is None else special
        expected = np.median(np.abs(r)) / NORMAL_MEDIAN
        assert np.array_equal(mad(rng.permutation(r)), expected, equal_nan=True)

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import sums
from fastloss.cpu.elementwise import BLOCK
from fastloss.cpu.evaluate import sums_of_blocks, total_of
from fastloss.cpu.sums import TILE
from fastloss.stream.model import WEIGHTS
from tests import reference

BOUND = 4.4e-16


def hostile(name, size):
    """Positive terms that make plain summation lose digits."""
    rng = np.random.default_rng(0)
    if name == "constant":
        return np.full(size, 0.1)
    if name == "one outlier":
        terms = np.full(size, 0.7)
        terms[size // 3] = 1e16
        return terms
    if name == "many scales":
        return np.exp(rng.uniform(-30, 30, size))
    if name == "ascending":
        return np.linspace(1e-8, 1.0, size)
    return np.abs(rng.standard_normal(size))


@pytest.mark.parametrize("name", ["constant", "one outlier", "many scales", "ascending", "normal"])
@pytest.mark.parametrize(
    "size", [1, 3, 4, 10, 100, TILE, TILE + 1, BLOCK - 1, BLOCK + 1, 300_001, 3_000_017]
)
def test_sum_of_positive_terms_is_exact_to_the_bound(name, size):
    terms = hostile(name, size)
    exact = reference.exact_sum(terms)
    total = fl.l1_loss(terms, np.zeros_like(terms), reduction="sum")
    assert abs(total - exact) <= BOUND * exact


def test_sum_of_float32_terms_is_exact_to_the_bound():
    terms = np.abs(np.random.default_rng(0).standard_normal(1_000_003)).astype(np.float32)
    exact = reference.exact_sum(terms)
    assert abs(fl.l1_loss(terms, np.zeros_like(terms), reduction="sum") - exact) <= BOUND * exact


def test_plain_summation_would_miss_the_bound():
    """The tests above can fail: NumPy's own sum does."""
    terms = hostile("one outlier", 3_000_017)
    exact = reference.exact_sum(terms)
    assert abs(np.add.accumulate(terms)[-1] - exact) > BOUND * exact


def test_sums_beyond_the_range_of_float64_are_infinite_not_nan():
    terms = np.full(10_000, 1.7e308)
    assert fl.l1_loss(terms, np.zeros_like(terms), reduction="sum") == np.inf


@pytest.mark.parametrize("at", [0, 500, TILE, BLOCK + 5, 99_999])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_infinite_or_missing_residual_decides_the_sum(at, bad):
    terms = np.ones(100_000)
    terms[at] = bad
    total = fl.l1_loss(terms, np.zeros_like(terms), reduction="sum")
    np.testing.assert_equal(total, np.abs(bad))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, BLOCK, BLOCK + 1, 5 * BLOCK + 77])
def test_parts_of_whole_blocks_add_up_to_the_bits_of_the_whole(dtype, size):
    for seed in range(20):
        terms = 10 ** np.random.default_rng(seed).uniform(-5, 5, size).astype(dtype)
        parts = [
            sums_of_blocks(terms[k : k + 2 * BLOCK], terms.dtype) for k in range(0, size, 2 * BLOCK)
        ]
        assert sums.total(np.concatenate(parts)) == total_of(terms, terms.dtype)


def test_weights_are_read_in_whole_blocks():
    assert WEIGHTS % BLOCK == 0

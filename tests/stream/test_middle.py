"""The median of residuals that pass by."""

import numpy as np
import pytest

from fastloss.scale import mad
from fastloss.stream.middle import Middle


def found(residuals, weight, sample, blocks=7):
    weights = [None] * blocks if weight is None else np.array_split(weight, blocks)
    middle = Middle(residuals[sample], None if weight is None else weight[sample])
    for part, here in zip(np.array_split(residuals, blocks), weights, strict=True):
        middle.add(part, here)
    return middle


@pytest.mark.parametrize("n", [1, 2, 9, 1000, 100_001])
@pytest.mark.parametrize("kind", ["none", "some", "zero", "counts"])
def test_it_is_that_of_all(n, kind):
    rng = np.random.default_rng(n)
    residuals = rng.standard_normal(n)
    weight = {
        "none": None,
        "some": rng.random(n),
        "zero": np.where(np.arange(n) % 3, 0.0, 1.0),
        "counts": rng.integers(1, 4, n).astype(np.float32),
    }[kind]
    sample = rng.permutation(n)[:500]
    assert found(residuals, weight, sample).scale() == mad(residuals, weight)


def test_little_is_kept():
    rng = np.random.default_rng(0)
    residuals = rng.standard_normal(1_000_000)
    middle = found(residuals, None, slice(10_000))
    assert sum(map(len, middle._sizes)) < 0.08 * len(residuals)
    assert middle.scale() == mad(residuals)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_like_nothing_else_is_noticed(weighted):
    residuals = np.random.default_rng(0).standard_normal(10_000)
    residuals[:1000] *= 1e-3
    weight = np.ones(10_000) if weighted else None
    assert found(residuals, weight, slice(1000)).scale() is None


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_residuals(weighted):
    residuals = np.ones(1000)
    weight = np.ones(1000) if weighted else None
    assert found(residuals, weight, slice(100)).scale() in (None, mad(residuals))

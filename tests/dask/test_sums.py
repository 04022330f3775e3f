"""Sums of blocks: their digits, and the same bits from any scheduler."""

import math

import dask
import numpy as np
import pytest

import fastloss as fl
from tests.dask.lazily import arrays, chunked, computed, eagerly, lazily
from tests.formulas import PseudoHuber
from tests.registry import METHODS, REDUCTIONS


def test_many_blocks_cost_no_digits():
    x = np.random.default_rng(0).uniform(size=5000)
    found = computed(fl.L1Loss(reduction="sum"), "value", chunked(x, 1), 0.0)[0]
    assert found == math.fsum(x)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_that_are_not_finite_come_through(value):
    x = np.array([1.0, value, 2.0, 1e308, 1e308])
    for reduction in REDUCTIONS:
        loss = fl.L1Loss(reduction=reduction)
        for method in METHODS:
            for found, expected in zip(
                computed(loss, method, chunked(x, 1), 0.0),
                eagerly(loss, method, x, 0.0),
                strict=True,
            ):
                np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def both_lazily():
    x, y, w = arrays((2000, 30))
    lazy = (chunked(a, (190, 7)) for a in (x, y, w))
    return lazily(fl.HuberLoss(), "value_and_grad", *lazy)


@pytest.fixture(scope="module")
def both(both_lazily):
    return dask.compute(*both_lazily, scheduler="synchronous")


def assert_same_bits(found, expected):
    for part, known in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, known)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_threads_change_no_bit(both_lazily, both, workers):
    found = dask.compute(*both_lazily, scheduler="threads", num_workers=workers)
    assert_same_bits(found, both)


def test_processes_change_no_bit(both_lazily, both):
    assert_same_bits(dask.compute(*both_lazily, scheduler="processes", num_workers=2), both)


def test_a_cluster_changes_no_bit_and_knows_formulas_of_ones_own(both_lazily, both):
    distributed = pytest.importorskip("distributed")

    class Mine(PseudoHuber):  # which no worker can import
        __slots__ = ()

    x, y, _ = arrays()
    mine = fl.Loss(Mine(0.7))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster) as client:
        found = client.gather(client.compute(both_lazily))
        own = client.compute(mine(chunked(x, 7), chunked(y, 7))).result()
    assert_same_bits(found, both)
    np.testing.assert_allclose(own, mine(x, y), rtol=1e-15)

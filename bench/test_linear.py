"""Value and gradient of a linear model: one pass over X against two by BLAS, and autograd."""

import numpy as np
import pytest
from peers import FASTLOSS, PEERS, agree, linear_data
from roofline import read_bandwidth

SHAPES = ((1_000_000, 32), (1_000_000, 8), (200_000, 200))
QUICK = ((200_000, 32), np.float64, "C")


def _designs():
    full = [(s, t, order) for s in SHAPES for t in (np.float64, np.float32) for order in "CF"]
    for design in (QUICK, *full):
        (n, p), dtype, order = design
        marks = [pytest.mark.quick] if design is QUICK else []
        yield pytest.param(
            (n, p, dtype, order), id=f"{n}x{p}-{dtype.__name__}-{order}", marks=marks
        )


@pytest.fixture(scope="module", params=list(_designs()))
def model(request):
    return request.param, linear_data(*request.param)


@pytest.mark.parametrize("peer", [p for p in PEERS if p.linear], ids=lambda peer: peer.name)
def test_value_and_gradient(benchmark, model, peer):
    (n, p, _, order), (X, y, w) = model
    call = peer.linear(X, y, w)
    result = call()
    if peer is not FASTLOSS:
        agree("linear", FASTLOSS.linear(X, y, w)(), result, X.dtype)
    benchmark.group = f"linear objective, {n:,} x {p}, {X.dtype}, {order} order"
    benchmark.extra_info["n"] = n
    benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    speed = X.nbytes / benchmark.stats.stats.median  # of X read once, whoever reads it twice
    benchmark.extra_info["GB/s"] = round(speed / 1e9, 2)
    benchmark.extra_info["fraction of roofline"] = round(speed / read_bandwidth(X.dtype), 3)

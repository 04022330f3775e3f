"""One pass over two arrays: fastloss against NumPy expressions and torch's eager mode."""

import numpy as np
import pytest
from peers import FASTLOSS, KINDS, PEERS, STREAMS, agree, elementwise_data
from roofline import read_bandwidth, write_bandwidth

SIZES = (10, 1_000, 100_000, 1_000_000, 4_000_000, 16_000_000, 30_000_000)
QUICK = (1_000, 4_000_000)


def _sizes():
    for dtype in (np.float32, np.float64):
        for n in SIZES:
            marks = [pytest.mark.quick] if dtype is np.float32 and n in QUICK else []
            yield pytest.param((n, dtype), id=f"{n}-{dtype.__name__}", marks=marks)


# Of the module's scope, so that the arrays of one size are there once and not all at a time.
@pytest.fixture(scope="module", params=list(_sizes()))
def arrays(request):
    return elementwise_data(*request.param)


CASES = [(kind, peer) for kind in KINDS for peer in PEERS if kind in peer.elementwise]


@pytest.mark.parametrize(("kind", "peer"), CASES, ids=[f"{k}-{p.name}" for k, p in CASES])
def test_elementwise(benchmark, arrays, kind, peer):
    x, y = arrays
    call = peer.elementwise[kind](x, y)
    result = call()
    if peer is not FASTLOSS:
        agree(kind, FASTLOSS.elementwise[kind](x, y)(), result, x.dtype)
    del result
    benchmark.group = f"{kind}, n = {x.size:,}, {x.dtype}"
    benchmark.extra_info["n"] = x.size
    benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    speed = STREAMS[kind] * x.nbytes / benchmark.stats.stats.median
    memory = (read_bandwidth if kind == "mean" else write_bandwidth)(x.dtype)
    benchmark.extra_info["GB/s"] = round(speed / 1e9, 2)
    benchmark.extra_info["fraction of roofline"] = round(speed / memory, 3)

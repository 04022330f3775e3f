"""What every test on a GPU needs: the device, and a library of arrays that live there.

Nothing here imports ``numba.cuda`` before a test runs: whether it simulates is decided by then.
"""

from functools import cache
from importlib.util import find_spec

import pytest

from tests.gpu.arrays import KINDS


@cache
def why_not():
    """Say why no kernel can run on a GPU here; None where one can."""
    if find_spec("numba_cuda") is None:
        return "numba-cuda is not installed"
    from fastloss.cuda import driver, jit

    if jit.SIMULATED:
        return "numba-cuda simulates the GPU in this process; run with pytest -m gpu"
    reason = driver.why_not()
    return reason and f"no GPU: {reason}"


@pytest.fixture(autouse=True)
def _on_a_gpu():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    yield
    for kind in KINDS.values():
        kind.give_back_memory()


@pytest.fixture(params=KINDS)
def arrays(request, _on_a_gpu):
    """Each library of device arrays in turn."""
    return KINDS[request.param]()


@pytest.fixture(params=["torch", "cupy"])
def pooled(request, _on_a_gpu):
    """Each library that keeps the memory it has freed, so that new arrays wait for nothing."""
    return KINDS[request.param]()


@pytest.fixture
def numba_arrays(_on_a_gpu):
    """Numba's device arrays, for what does not depend on the library."""
    return KINDS["numba"]()

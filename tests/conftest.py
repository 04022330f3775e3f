"""One cache of compiled kernels for a test run, apart from the user's own."""

import os
import tempfile
from unittest import mock

# Before anything imports numba. Workers of pytest-xdist inherit the folder from their parent.
os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp(prefix="fastloss-tests-"))

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fastloss", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fastloss")


@pytest.fixture(autouse=True)
def _same_variables():
    """Dask sets some for its workers, which would give one thread to all later tests' processes."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _same_threads():
    """A test may change the number of threads; the next one starts with all of them."""
    import numba

    yield
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)

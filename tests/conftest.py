"""One cache of compiled kernels for a test run, apart from the user's own; and data for fits."""

import os
import tempfile
from pathlib import Path
from unittest import mock

# Before anything imports numba. Workers of pytest-xdist inherit the folder from their parent.
os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp(prefix="fastloss-tests-"))

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.foreground import hear_interrupts

STACKLOSS = Path(__file__).parents[1] / "docs" / "data" / "stackloss.csv"

hear_interrupts()
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


@pytest.fixture(scope="module")
def stackloss():
    data = np.loadtxt(STACKLOSS, delimiter=",", skiprows=1)
    return data[:, :3], data[:, 3]


@pytest.fixture(scope="module")
def outliers():
    """Rows of a linear model, a seventh of which are far off, and its coefficients."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 6))
    coef = rng.standard_normal(6)
    y = X @ coef + 3.0 + rng.standard_normal(2000)
    y[::7] += 100 * rng.standard_normal(y[::7].size)
    return X, y, coef

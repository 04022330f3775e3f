import dask
import pytest


@pytest.fixture(autouse=True)
def _one_thread():
    """Tests that want another scheduler say so."""
    with dask.config.set(scheduler="synchronous"):
        yield

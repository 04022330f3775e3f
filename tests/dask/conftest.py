import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import dask
import pytest


@pytest.fixture(autouse=True)
def _one_thread():
    """Tests that want another scheduler say so."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="session")
def workers():
    """A client of two workers, for all tests that no worker of it dies in."""
    pytest.importorskip("distributed")
    from tests.dask.clusters import cluster

    with cluster() as client:
        yield client


@pytest.fixture(scope="session")
def pool():
    """Processes for the scheduler of that name, which would start new ones for each graph."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool

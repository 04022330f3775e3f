"""A cluster of this machine, which closes with the tests that use it."""

import os
from contextlib import contextmanager
from unittest import mock

import distributed


@contextmanager
def cluster(**options):
    """Give a client of two workers of one thread each."""
    with mock.patch.dict(os.environ):  # one that outlives a test has changed them before it
        local = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", **options
        )
    with local, distributed.Client(local, set_as_default=False) as client:
        yield client

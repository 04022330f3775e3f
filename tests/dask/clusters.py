"""A cluster of this machine, which closes with the tests that use it."""

from contextlib import contextmanager

import distributed


@contextmanager
def cluster(**options):
    """Give a client of two workers of one thread each."""
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", **options
    )
    with local, distributed.Client(local, set_as_default=False) as client:
        yield client

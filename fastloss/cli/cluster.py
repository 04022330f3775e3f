"""Parquet files whose rows are held and fitted by the workers of a cluster."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fastloss.cli.errors import CommandError, reading
from fastloss.cli.tables import Data
from fastloss.stream.rows import Block
from fastloss.typing import Array

INSTALL = "pip install 'fastloss[cli,dask]'"
# Bytes of a chunk, at which a cluster's scheduler is no longer what takes the time.
CHUNK_BYTES = 1 << 27


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where rows are fitted."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="fit Parquet on the running Dask cluster with this scheduler, such as "
        "tcp://host:8786, whose workers can read FILE by the same path",
    )
    where.add_argument(
        "--workers",
        metavar="N",
        type=_count,
        help="fit Parquet by N processes of this machine, each with one thread",
    )


@contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """Give a client of the cluster that was asked for; None if there was none.

    Raises
    ------
    CommandError
        If Dask is not installed, or no scheduler answers.
    """
    if scheduler is None and workers is None:
        yield None
        return
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise CommandError(f"a cluster needs Dask: {INSTALL}") from None
    local: Any = nullcontext(scheduler)
    if workers is not None:
        local = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers, threads_per_worker=1, dashboard_address=":0"
        )
    with local as address:
        try:
            # No default: distributed 2026.8 would leave that in Dask's configuration, without a
            # scheduler, where it refuses the address.
            client = Client(address, timeout=10, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise CommandError(f"no scheduler answers at {scheduler}: {error}") from None
        with client, dask.config.set(scheduler=client):
            yield client


def open_rows(client: Any, path: Path, target: str, features: Sequence[str] | None) -> Data:
    """Have the workers read a Parquet file, or a folder of them, and hold its rows.

    Raises
    ------
    CommandError
        If it is no Parquet, or does not hold these columns.
    """
    import dask.array as da

    from fastloss.stream.parquet import Parquet

    if path.is_file() and path.suffix.lower() not in (".parquet", ".pq"):
        raise CommandError(f"a cluster reads Parquet, not {path}")
    with reading(path):
        rows = Parquet(path.resolve(), target, features)
    n, p = rows.shape
    first = _beside(rows.block(0, 1))
    size = max(1, CHUNK_BYTES // first.nbytes)
    bounds = np.array([*range(0, n, size), n])
    chunks = tuple(int(k) for k in np.diff(bounds))
    starts = da.from_array(np.column_stack((bounds[:-1], bounds[1:])), (1, 2))
    both = starts.map_blocks(
        _read, rows=rows, chunks=(chunks, (p + 1,)), dtype=first.dtype, meta=first[:0]
    )
    both = client.persist(both)
    return Data(both[:, :p], both[:, p], rows.features, 0, rows)


def _read(bounds: Array, rows: Any) -> Array:
    return _beside(rows.block(int(bounds[0, 0]), int(bounds[0, 1])))


def _beside(block: Block) -> Array:
    """Give rows of X with y beside them."""
    return np.column_stack((block.X, block.y))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)

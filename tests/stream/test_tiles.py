"""A matrix in a temporary file."""

import errno
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastloss.stream import tiles
from fastloss.stream.tiles import Tiles

N, P = 103, 7
X = np.random.default_rng(0).standard_normal((N, P))


@pytest.fixture(params=[1, 10, 200])
def rows(request, monkeypatch):
    """Rows of a tile: some, or more than there are."""
    monkeypatch.setattr(tiles, "TILE_BYTES", 0)
    monkeypatch.setattr(tiles, "LEAST_ROWS", request.param)
    return min(request.param, N)


def written(rows, X, together=3):
    found = Tiles(X.shape, X.dtype)
    assert found.rows == rows
    step = 2 * rows
    for first in reversed(range(0, X.shape[1], together)):
        for low in reversed(range(0, len(X), step)):
            columns = X.T[first : first + together, low : low + step]
            found.write(low, first, columns)
    found.written()
    return found


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_those_of_columns_written_in_any_order(rows, dtype, order):
    found = written(rows, X.astype(dtype))
    for low, high in [(0, N), (0, 1), (9, 11), (10, 20), (25, 95), (100, N)]:
        out = np.full((high - low, P), np.nan, dtype, order)
        found.read(low, high, out)
        assert_array_equal(out, X[low:high].astype(dtype))


def test_the_only_column_is_a_map(rows):
    column = written(rows, X[:, :1]).column()
    assert isinstance(column, np.memmap)
    assert_array_equal(column, X[:, 0])


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((10**5, 10), 4096), ((10**5, 1000), 524), ((10**3, 10**5), 16), ((9, 1), 9)],
)
def test_tiles_have_some_megabytes_but_no_more_rows_than_there_are(shape, rows):
    assert Tiles(shape, np.dtype(float)).rows == rows


def test_where_there_is_no_room_it_is_said_at_once(monkeypatch):
    monkeypatch.setattr(tiles.shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    with pytest.raises(OSError, match=r"No space left .*TMPDIR") as raised:
        Tiles((1, 1), np.dtype(float))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, tempfile.gettempdir())
    Tiles((1, 1), np.dtype(np.float32))


def test_a_disk_that_is_full_before_the_end_is_named(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: SIM115
    found = Tiles((10**5, 10), X.dtype)
    with pytest.raises(OSError, match=r"No space left .*TMPDIR") as raised:
        found.write(0, 0, np.ones((10, 10**5)))  # more than a buffer
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, tempfile.gettempdir())

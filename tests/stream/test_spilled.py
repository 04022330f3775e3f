"""Rows of wide Parquet that are written into a file of their own."""

import gc
import os
import pickle
import tempfile
from itertools import count
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

import fastloss as fl
from fastloss.stream import sources, spilled, tiles
from fastloss.stream.files import Files
from fastloss.stream.parquet import Parquet
from fastloss.stream.spilled import Spilled
from tests.stream.checks import check_block, check_blocks

N, P = 1001, 30
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, P), np.float32)
Y, WEIGHT = X.sum(axis=1) + RNG.standard_normal(N), RNG.random(N)
Y[::10] += 50
NAMES = [f"x{j}" for j in range(P)]
MEMORY = 1 << 20
ENOUGH = 1 << 28  # for the blocks that there are in memory


@pytest.fixture
def folder(tmp_path):
    """Files of 400, 0, 1 and 600 rows."""
    path = tmp_path / "folder"
    path.mkdir()
    for i, (low, high) in enumerate([(0, 400), (400, 400), (400, 401), (401, N)]):
        columns = {name: X[low:high, j] for j, name in enumerate(NAMES)}
        columns |= {"y": Y[low:high], "w": WEIGHT[low:high]}
        pq.write_table(pa.table(columns), path / f"{i}.parquet", row_group_size=200)
    return path


@pytest.fixture(autouse=True)
def short_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE_BYTES", 100 * P * X.itemsize)
    monkeypatch.setattr(spilled, "MOST_ROWS", 250)


@pytest.mark.parametrize("rows", [1, 99, 100, 333, N, 5000])
def test_blocks_are_those_of_the_files(folder, rows):
    source = Spilled(Parquet(folder, "y", weight="w"), MEMORY)
    assert (source.shape, source.dtype) == (X.shape, X.dtype)
    for _ in range(2):
        check_blocks(source, X, Y, WEIGHT, rows)
    check_blocks(source, X, Y, WEIGHT, rows, low=150)
    check_block(source.block(395, 700), X[395:700], Y[395:700], WEIGHT[395:700])
    assert source.block(0, N).X.flags.f_contiguous


def test_features_that_were_asked_for_without_weights(folder):
    source = Spilled(Parquet(folder, "y", ["x7", "w", "x3"]), MEMORY)
    check_blocks(source, np.column_stack((X[:, 7], WEIGHT, X[:, 3])), Y, None, 100)


def test_it_can_be_sent_elsewhere(folder):
    source = pickle.loads(pickle.dumps(Spilled(Parquet(folder, "y", weight="w"), MEMORY)))
    check_blocks(source, X, Y, WEIGHT, 100)


@pytest.mark.parametrize("memory", [1, MEMORY, 1 << 30])
def test_no_more_columns_are_read_at_a_time_than_memory_is_for(folder, monkeypatch, memory):
    asked = []
    batches = Files.batches
    monkeypatch.setattr(
        Files, "batches", lambda *given: asked.append(tuple(given[1])) or batches(*given)
    )
    source = Parquet(folder, "y", weight="w")
    Spilled(source, memory)
    assert sorted(sum(asked, ())) == sorted((*NAMES, "y", "w"))
    threads = min(fl.get_num_threads(), pa.cpu_count())
    most = max(map(len, asked))
    assert most == 1 or most * threads * source.column_bytes <= spilled.SHARE * memory
    assert (most == 1) == (memory == 1)


@pytest.fixture
def little(monkeypatch):
    """Say that what columns of these files take side by side is too much for a limit of 256 MB."""

    def begin():
        monkeypatch.setattr(sources, "UNTOLD", 0)
        monkeypatch.setattr(sources, "BESIDE", 1e-4)

    return begin


def test_a_fit_of_them_says_so_and_has_the_bits_of_one_without(folder, little, monkeypatch):
    expected = fl.fit(folder, "y", weight="w")
    w = np.linspace(-1, 1, P)
    value, grad = fl.LinearObjective(folder, "y", weight="w")(w)
    little()
    with pytest.warns(
        UserWarning,
        match=r"0 MB are written into a temporary file in .*: columns of row groups as long as "
        r"those of X take 0 MB to be read side by side, where memory_limit is 268 MB\. Write X",
    ) as told:
        objective = fl.LinearObjective(folder, "y", weight="w", memory_limit=ENOUGH)
    assert told[0].filename == __file__
    with monkeypatch.context() as patch:
        patch.setattr(Files, "batches", None)  # Parquet is not read again
        assert objective(w)[0] == value
        assert_array_equal(objective(w)[1], grad)
    with pytest.warns(UserWarning, match="temporary file"):
        result = fl.fit(folder, "y", weight="w", memory_limit=ENOUGH)
    assert_array_equal(result.x, expected.x)


def test_rows_that_are_not_finite_are_named_with_their_file(folder, little):
    little()
    path = folder / "3.parquet"
    table = pq.read_table(path)
    x5 = table["x5"].to_numpy().copy()
    x5[17] = np.inf
    at = table.schema.get_field_index("x5")
    pq.write_table(table.set_column(at, "x5", [x5]), path, row_group_size=200)
    with (
        pytest.warns(UserWarning, match="temporary file"),
        pytest.raises(ValueError, match=r"row 418, row 17 in .*3\.parquet, is not"),
    ):
        fl.fit(folder, "y", weight="w", memory_limit=ENOUGH)


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_let_be(folder):
    path = folder / "3.parquet"
    data = bytearray(path.read_bytes())
    data[4:-5000] = bytes(len(data) - 5004)
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"3\.parquet"):
        Spilled(Parquet(folder, "y", weight="w"), MEMORY)


def test_ctrl_c_ends_it_and_leaves_no_file(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    stopping = Event()
    monkeypatch.setattr(spilled, "Event", lambda: stopping)
    written = []
    turns = count(1)

    def write(tiles, low, first, columns):
        turn = next(turns)
        written.append(turn)
        if turn == 5:
            raise KeyboardInterrupt
        # What another thread was at meanwhile is written, and then nothing more.
        assert turn < 5 or stopping.wait(60)

    monkeypatch.setattr(tiles.Tiles, "write", write)
    with pytest.raises(KeyboardInterrupt):
        Spilled(Parquet(folder, "y", weight="w"), 1)
    assert len(written) < 5 + fl.get_num_threads()
    assert not list((tmp_path / "here").iterdir())
    gc.collect()
    assert str(tmp_path / "here") not in " ".join(open_files())


def open_files():
    """Those of this process, where the system tells: also such as have no name any more."""
    folder = Path("/proc/self/fd")
    return (
        [os.readlink(file) for file in folder.iterdir() if file.is_symlink()]
        if folder.exists()
        else []
    )

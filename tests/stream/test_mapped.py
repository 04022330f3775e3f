"""Rows of memory maps, whose pages are given back."""

import pickle

import numpy as np
import pytest

import fastloss as fl
from fastloss.stream.columns import AROUND, TOGETHER, scattered
from fastloss.stream.mapped import Mapped
from tests.stream.checks import check_blocks

X = np.arange(12e6, dtype=np.float32).reshape(-1, 12)
Y = np.arange(1e6)


def in_memory():
    """Bytes of files that count as memory of this process."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssFile"))
    return int(line.split()[1]) * 1024


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "X.npy", X)
    return tmp_path / "X.npy"


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_blocks_have_the_rows(path, mode):
    source = Mapped(np.load(path, mmap_mode=mode), Y)
    for _ in range(2):
        check_blocks(source, X, Y, None, 70_000)


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
def test_pages_are_given_back(path):
    source = Mapped(np.load(path, mmap_mode="r"), Y)
    before = in_memory()
    peak = 0
    for block in source.blocks(20_000):
        block.X.sum()
        peak = max(peak, in_memory() - before)
    assert peak < X.nbytes // 3


def test_changes_that_no_file_knows_stay(path):
    changed = np.load(path, mmap_mode="c")
    changed[5] = -1.0
    source = Mapped(changed, Y)
    expected = X.copy()
    expected[5] = -1.0
    for _ in range(2):
        check_blocks(source, expected, Y, None, 100_000)


def test_changes_that_are_not_written_yet_stay(path):
    changed = np.load(path, mmap_mode="r+")
    changed[5] = -1.0
    expected = X.copy()
    expected[5] = -1.0
    check_blocks(Mapped(changed, Y), expected, Y, None, 100_000)


def test_it_can_be_sent_elsewhere(path):
    check_blocks(
        pickle.loads(pickle.dumps(Mapped(np.load(path, mmap_mode="r"), Y))), X, Y, None, 10**6
    )


# --- columns all over a file


WIDE = np.arange(3e6, dtype=np.float32).reshape(-1, 300)


@pytest.fixture(params=["<f4", ">f4", "<i2"])
def wide(request, tmp_path):
    """A map in Fortran order."""
    np.save(tmp_path / "wide.npy", np.asfortranarray(WIDE % 1000, request.param))
    return np.load(tmp_path / "wide.npy", mmap_mode="r")


def test_columns_that_lie_apart_are_read_into_blocks_of_their_order(wide):
    source = Mapped(wide, Y[: len(wide)], memory=10**8)
    for _ in range(2):
        check_blocks(source, WIDE % 1000, Y[: len(wide)], None, 999)
    assert source.block(3, 9).X.flags.f_contiguous
    again = pickle.loads(pickle.dumps(source))
    check_blocks(again, WIDE % 1000, Y[: len(wide)], None, 999)


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
def test_few_of_the_pages_of_columns_are_held(tmp_path):
    X = np.lib.format.open_memmap(
        tmp_path / "X.npy", "w+", np.float32, (1 << 18, 64), fortran_order=True
    )
    X[:] = 1.0
    X.flush()
    source = Mapped(np.load(tmp_path / "X.npy", mmap_mode="r"), np.ones(len(X)), memory=10**8)
    del X
    before, peak = in_memory(), 0
    for block in source.blocks(1 << 12):
        block.X.sum()
        peak = max(peak, in_memory() - before)
    assert peak <= TOGETHER * AROUND


def test_columns_of_a_map_give_the_bits_that_they_give_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((20_000, 40)))
    y, w = rng.standard_normal(len(X)), rng.standard_normal(40)
    X.T.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", float, "r", shape=X.shape, order="F")
    limit = int(0.9 * X.nbytes)
    assert scattered(mapped, limit)
    value, gradient = fl.LinearObjective(mapped, y, memory_limit=limit)(w)
    expected = fl.LinearObjective(X, y)(w)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])

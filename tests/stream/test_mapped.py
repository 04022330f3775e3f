"""Rows of memory maps, whose pages are given back."""

import pickle

import numpy as np
import pytest

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

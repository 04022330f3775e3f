"""Files of memory maps that become shorter, where NumPy's own maps end the process."""

import os
import tempfile
import time

import numpy as np
import pytest

from fastloss.stream.mapped import Mapped
from tests.stream.checks import check_blocks

N, P = 10_000, 12
X = np.arange(N * P, dtype=np.float32).reshape(N, P)
Y = np.arange(float(N))
ROWS = 3000


@pytest.fixture(params=["C", "F"])
def path(request, tmp_path):
    np.save(tmp_path / "X.npy", np.asarray(X, order=request.param))
    return tmp_path / "X.npy"


@pytest.fixture(params=["r", "r+", "c"])
def mapped(request, path):
    return np.load(path, mmap_mode=request.param)


def test_a_file_that_has_become_shorter_is_named(mapped, path):
    source = Mapped(mapped, Y)
    blocks = source.blocks(ROWS)
    next(blocks)
    time.sleep(0.1)  # another thread has looked at the file before it gave the next one
    os.truncate(path, X.nbytes // 2)
    for read in (lambda: next(blocks), lambda: source.block(0, 9), lambda: next(source.blocks(9))):
        with pytest.raises(OSError, match=r"X\.npy has become shorter .* 480128 bytes are mapped"):
            read()


@pytest.mark.parametrize("cut", [np.s_[7:5000], np.s_[::2], np.s_[:5000, 2:7], np.s_[::-1]])
def test_no_more_is_asked_for_than_the_rows_of_a_part(mapped, path, cut):
    part, y = mapped[cut], Y[cut[0] if isinstance(cut, tuple) else cut]
    source = Mapped(part, y)
    base = np.frombuffer(mapped._mmap, np.uint8).ctypes.data
    end = np.lib.array_utils.byte_bounds(part)[1] - base
    os.truncate(path, end)
    for _ in range(2):
        check_blocks(source, X[cut], y, None, ROWS)
    os.truncate(path, end - 1)
    with pytest.raises(OSError, match="has become shorter"):
        source.block(0, 1)


def test_a_file_that_is_too_short_from_the_start_is_named(mapped, path):
    os.truncate(path, 1000)
    with pytest.raises(OSError, match=r"X\.npy has become shorter .* and it has 1000"):
        Mapped(mapped, Y).block(0, 1)


def test_a_file_is_known_by_another_name_too(mapped, path):
    source = Mapped(mapped, Y)
    path.rename(path.with_name("moved.npy"))
    check_blocks(source, X, Y, None, ROWS)
    os.truncate(path.with_name("moved.npy"), 1000)
    with pytest.raises(OSError, match="has become shorter"):
        source.block(0, 1)


def test_a_shorter_file_in_its_place_is_another_one(mapped, path):
    np.save(path.with_name("other.npy"), X[:10])
    path.with_name("other.npy").replace(path)
    check_blocks(Mapped(mapped, Y), X, Y, None, ROWS)


def test_a_file_that_has_gone_is_no_error(mapped, path):
    source = Mapped(mapped, Y)
    path.unlink()
    check_blocks(source, X, Y, None, ROWS)


def test_a_file_without_a_name_is_looked_at(tmp_path):
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        X.tofile(file)
        source = Mapped(np.memmap(file, np.float32, "r", shape=X.shape), Y)
        check_blocks(source, X, Y, None, ROWS)
        file.truncate(1000)
        with pytest.raises(OSError, match="a file has become shorter"):
            source.block(0, 1)


def test_rows_that_are_copied_are_looked_at_before_each_copy(tmp_path):
    """Which another thread makes, while the caller works on a block."""
    np.save(tmp_path / "X.npy", X.astype(np.int32))
    given = np.load(tmp_path / "X.npy", mmap_mode="r")
    blocks = Mapped(given, Y).blocks(1)
    next(blocks)
    os.truncate(tmp_path / "X.npy", 1000)
    with pytest.raises(OSError, match="has become shorter"):
        list(blocks)

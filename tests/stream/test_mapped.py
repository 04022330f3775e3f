"""Rows of memory maps, whose pages are given back."""

import ctypes
import math
import mmap
import os
import pickle
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

import fastloss as fl
from fastloss.stream.columns import AROUND, TOGETHER, scattered
from fastloss.stream.mapped import Mapped, parts
from fastloss.stream.model import StreamedModel
from fastloss.stream.pages import PIECE, give_back, read_into_cache
from tests.stream.checks import check_blocks

X = np.arange(12e6, dtype=np.float32).reshape(-1, 12)
Y = np.arange(1e6)
POINTER = ctypes.POINTER(ctypes.c_ubyte)


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


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
def test_what_lies_between_the_rows_counts_too(path):
    """Some columns of a wider map, which is mapped with them."""
    few, y = np.load(path, mmap_mode="r").reshape(-1, 600)[:, :2], Y[: X.size // 600]
    limit = X.nbytes // 6
    objective = fl.LinearObjective(few, y, memory_limit=limit)
    objective(np.zeros(2))  # loads kernels, which are files too
    before, peaks = in_memory(), []
    objective.model.watch = lambda *_: peaks.append(in_memory() - before)
    found = objective(np.ones(2))
    assert len(peaks) > 1
    assert max(peaks) <= limit
    np.testing.assert_allclose(found[0], fl.LinearObjective(few.copy(), y)(np.ones(2))[0])


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
def test_what_is_mapped_around_the_rows_of_columns_counts_too(tmp_path):
    """As many columns as are read where they lie, of a file that the system has lost."""
    limit, p = 64_000_000, 15
    n = 3 * limit // 2 // 4 // p
    columns = np.memmap(tmp_path / "X", np.float32, "w+", shape=(p, n))
    columns[:] = np.arange(n)
    columns.flush()
    del columns
    given, y = np.memmap(tmp_path / "X", np.float32, "r", shape=(n, p), order="F"), np.ones(n)
    assert not scattered(given, p, limit)
    objective = fl.LinearObjective(given, y, memory_limit=limit)
    expected = objective(np.ones(p))[0]  # loads kernels, which are files
    lose(tmp_path / "X", given)
    before, peaks = in_memory(), []
    objective.model.watch = lambda *_: peaks.append(in_memory() - before)
    assert objective(np.ones(p))[0] == expected
    assert len(peaks) > 1
    assert max(peaks) <= 0.8 * limit


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
def test_pages_of_weights_are_given_back_when_they_are_added_up(path, tmp_path):
    weight = np.random.default_rng(0).uniform(1, 2, 1 << 23)
    np.save(tmp_path / "weight.npy", weight)
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r")
    ones = np.ones((len(weight), 1), np.float32)
    np.save(tmp_path / "ones.npy", ones)
    given = np.load(tmp_path / "ones.npy", mmap_mode="r"), ones[:, 0]
    fl.LinearObjective(*given, weight=weight, memory_limit=10**7)  # loads kernels, which are files
    before = in_memory()
    objective = fl.LinearObjective(*given, weight=mapped, memory_limit=10**7)
    assert in_memory() - before < weight.nbytes // 4
    assert objective.model.count() == math.fsum(weight)


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
@pytest.mark.parametrize("step", [1, -1])
def test_weights_that_lie_far_apart_take_no_more(path, step, monkeypatch):
    """A column of a wide map, all of which is mapped for it."""
    wide = np.load(path, mmap_mode="r").reshape(-1, 60)[::step]
    ones = np.ones((len(wide), 8))
    fl.LinearObjective(ones, ones[:, 0], weight=ones[:, 0])  # loads kernels, which are files
    np.save(path.with_name("ones.npy"), ones)
    given = np.load(path.with_name("ones.npy"), mmap_mode="r"), ones[:, 0]
    before, limit, held = in_memory(), 10**7, []

    def measured(pages):
        held.append(in_memory() - before)
        give_back(pages)

    monkeypatch.setattr("fastloss.stream.mapped.give_back", measured)
    objective = fl.LinearObjective(*given, weight=wide[:, 1], memory_limit=limit)
    assert max(held) <= limit
    assert objective.model.count() == math.fsum(wide[:, 1])


def test_weights_of_a_file_that_has_become_shorter_are_an_error(path, tmp_path):
    weight = np.load(path, mmap_mode="r").reshape(-1)[: len(Y)]
    np.save(tmp_path / "ones.npy", np.ones((len(Y), 1)))
    os.truncate(path, 1000)
    ones = np.load(tmp_path / "ones.npy", mmap_mode="r")
    with pytest.raises(OSError, match="has become shorter"):
        list(parts(weight, 1000, 10**6))
    with pytest.raises(OSError, match="has become shorter"):
        fl.LinearObjective(ones, Y, weight=weight, memory_limit=10**6)


@pytest.mark.parametrize("step", [1, 7, -3])
@pytest.mark.parametrize("mode", ["r", "c"])
def test_parts_of_a_vector_are_its_numbers(path, mode, step):
    for whole in (Y[::step], np.load(path, mmap_mode=mode)[::step, 3]):
        for memory in (10**7, 1000):
            found = list(parts(whole, 150_001, memory))
            assert {len(part) for part in found[:-1]} <= {150_001}
            np.testing.assert_array_equal(np.concatenate(found), whole)


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


@pytest.mark.parametrize("memory", [10**9, 1], ids=["at once", "a few columns at a time"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_some_columns_are_taken_in_their_order(tmp_path, order, memory):
    np.save(tmp_path / "X.npy", np.asarray(X[:9000], order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    columns = [11, 0, 3, 7, 1, 2, 5, 4, 10]
    source = Mapped(mapped, Y[:9000], memory=memory, columns=columns)
    check_blocks(source, X[:9000, columns], Y[:9000], None, 2000)
    again = pickle.loads(pickle.dumps(source))
    check_blocks(again, X[:9000, columns], Y[:9000], None, 2000)


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
@pytest.mark.parametrize("order", ["C", "F"])
def test_many_rows_are_copied_and_their_pages_given_back(tmp_path, monkeypatch, order):
    monkeypatch.setattr("fastloss.stream.mapped.AT_ONCE", 1 << 20)
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    source, before = Mapped(mapped, Y, weight=Y + 1), in_memory()
    _, found, y, weight = source.block(7, len(X) - 7)
    assert in_memory() - before < X.nbytes // 8
    np.testing.assert_array_equal(found, X[7:-7])
    np.testing.assert_array_equal(y, Y[7:-7])
    np.testing.assert_array_equal(weight, Y[7:-7] + 1)
    assert found.flags.f_contiguous is (order == "F")


def test_it_can_be_sent_elsewhere(path):
    check_blocks(
        pickle.loads(pickle.dumps(Mapped(np.load(path, mmap_mode="r"), Y))), X, Y, None, 10**6
    )


@pytest.mark.parametrize("rows", [np.s_[:], np.s_[7:]])
def test_an_objective_sends_each_number_once(path, rows):
    """Not as the user's array and as what is read."""
    objective = fl.LinearObjective(np.load(path, mmap_mode="r")[rows], Y[rows], memory_limit=10**7)
    assert len(pickle.dumps(objective)) < 1.01 * (X.nbytes + Y.nbytes)


# --- read ahead


def cached(array):
    """Which part of a map the system has in its cache."""
    low, high = byte_bounds(array)
    low -= low % mmap.PAGESIZE
    pages = np.zeros(-(-(high - low) // mmap.PAGESIZE), np.uint8)
    arguments = (ctypes.c_void_p(low), ctypes.c_size_t(high - low), pages.ctypes.data_as(POINTER))
    assert ctypes.CDLL(None).mincore(*arguments) == 0
    return (pages & 1).mean()


def lose(path, array):
    """Have the system lose a file, or skip the test."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(array) > 0.1:
        pytest.skip("this file cannot be lost: it lies in memory, or is in use")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what it has cached")
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_next_block_is_read_while_the_caller_works(tmp_path, order):
    n, p, rows = 6_000_000, 2, 2_000_000
    np.save(tmp_path / "X.npy", np.asarray(np.arange(n * p).reshape(n, p), np.float64, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    source = Mapped(mapped, Y[:1].repeat(n))
    lose(tmp_path / "X.npy", mapped)
    with closing(source.blocks(rows)) as blocks:
        for _, block in zip(range(2), blocks, strict=False):
            block.X.sum()
        deadline = time.monotonic() + 60
        while any(cached(c) < 1 for c in mapped[2 * rows :].T) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all(cached(c) == 1 for c in mapped[2 * rows :].T)


@pytest.mark.parametrize(("faults", "read"), [([0] * 9, []), ([0, 1, 1, 2, 2], [0, 2])])
def test_what_is_cached_is_not_touched_ahead(path, monkeypatch, faults, read):
    """A block is where the system has waited for a disk since the one before."""
    found, counts = [], iter(faults)
    monkeypatch.setattr("fastloss.stream.mapped.waits", lambda: next(counts))
    monkeypatch.setattr("fastloss.stream.mapped.read_into_cache", found.append)
    mapped = np.load(path, mmap_mode="r")
    check_blocks(Mapped(mapped, Y), X, Y, None, 250_000)
    assert [int(first[0, 0]) // (12 * 250_000) for first in found] == read


@pytest.mark.skipif(not in_memory(), reason="the system does not count them")
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_read_ahead_does_not_count_as_memory(tmp_path, order):
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    before = in_memory()
    read_into_cache(mapped)
    assert in_memory() - before <= PIECE
    np.testing.assert_array_equal(mapped, X)


def test_rows_far_apart_are_not_read_ahead(tmp_path, monkeypatch):
    """What lies between them is not wanted."""
    np.save(tmp_path / "X.npy", np.zeros((60, 20_000), np.float32))
    far = np.load(tmp_path / "X.npy", mmap_mode="r")[:, :3]
    monkeypatch.setattr("fastloss.stream.mapped.waits", iter(range(99)).__next__)
    monkeypatch.setattr("fastloss.stream.mapped.read_into_cache", None)
    check_blocks(Mapped(far, Y[:60]), np.zeros((60, 3)), Y[:60], None, 20)


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
@pytest.mark.parametrize(
    "rows", [np.s_[:], np.s_[::-1], np.s_[::2]], ids=["all", "reversed", "some"]
)
def test_few_of_the_pages_of_columns_are_held(tmp_path, rows):
    X = np.lib.format.open_memmap(
        tmp_path / "X.npy", "w+", np.float32, (1 << 18, 64), fortran_order=True
    )
    X[:] = 1.0
    X.flush()
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")[rows]
    source = Mapped(mapped, np.ones(len(mapped)), memory=10**8)
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
    assert scattered(mapped, 40, limit)
    objective = fl.LinearObjective(mapped, y, memory_limit=limit)
    expected = fl.LinearObjective(X, y)(w)
    for one in (objective, pickle.loads(pickle.dumps(objective))):
        value, gradient = one(w)
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])


@pytest.mark.parametrize("shape", [(40_000, 40), (800_000, 2)], ids=["by columns", "by rows"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "seen",
    [lambda X: X, lambda X: X[::-1], lambda X: X[::2], lambda X: X[:, ::-1]],
    ids=["all", "rows backwards", "every other row", "columns backwards"],
)
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<i8"])
def test_bits_are_those_in_memory_whatever_is_converted(tmp_path, dtype, seen, order, shape):
    """What is converted keeps its order, here as there."""
    rng = np.random.default_rng(0)
    X = np.asarray(rng.normal(0, 1e6, shape), dtype, order=order)
    np.save(tmp_path / "X.npy", X)
    given = seen(np.load(tmp_path / "X.npy", mmap_mode="r"))
    y, w = rng.normal(0, 1e6, len(given)), rng.standard_normal(shape[1])
    limit = int(0.9 * np.ptp(byte_bounds(given)))
    objective = fl.LinearObjective(given, y, memory_limit=limit)
    assert isinstance(objective.model, StreamedModel)
    expected = fl.LinearObjective(seen(X), y)(w)
    value, gradient = objective(w)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])

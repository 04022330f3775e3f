"""Bytes of memory maps are read before kernels touch them, where the system has not cached them."""

import os
import tempfile
import threading
from itertools import pairwise

import numpy as np
import pytest

from fastloss.stream import fetched
from fastloss.stream.fetched import File, Opened
from fastloss.stream.mapped import Mapped
from tests.stream.checks import check_blocks

N, P = 10_000, 12
X = np.arange(N * P, dtype=np.float32).reshape(N, P)
Y = np.arange(float(N))
ROWS = 3000
STARTS = range(0, N, ROWS)

pytestmark = pytest.mark.skipif(
    not hasattr(os, "RWF_NOWAIT"), reason="the system does not say what is cached"
)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "X.npy", X)
    return tmp_path / "X.npy"


@pytest.fixture
def mapped(path):
    return np.load(path, mmap_mode="r")


@pytest.fixture
def cached(monkeypatch):
    """First rows that are said to be cached, and the rows that are looked for or read."""
    rows, events = set(), []
    fetch = Opened.fetch

    def has(self, low, high):
        events.append(("look", low, high))
        return low in rows or low >= N

    def noted(self, low, high, stop):
        fetch(self, low, high, stop)
        events.append(("read", low, high))
        return low not in rows

    monkeypatch.setattr(Opened, "has", has)
    monkeypatch.setattr(Opened, "fetch", noted)
    return rows, events


def test_what_is_cached_is_not_read(mapped, cached):
    rows, events = cached
    rows.update(STARTS)
    check_blocks(Mapped(mapped, Y), X, Y, None, ROWS)
    assert {what for what, *_ in events} == {"look"}


def test_what_is_not_is_read_before_its_block_is_given(mapped, cached):
    _, events = cached
    for block in Mapped(mapped, Y).blocks(ROWS):
        assert ("read", block.low, block.low + ROWS) in events
    assert [event for event in events if event[0] == "look"] == [("look", 0, ROWS)]


def test_the_next_block_is_read_while_one_is_worked_on(mapped, cached):
    _, events = cached
    blocks = Mapped(mapped, Y).blocks(ROWS)
    next(blocks)
    deadline = threading.Event()
    for _ in range(1000):
        if ("read", ROWS, 2 * ROWS) in events:
            break
        deadline.wait(0.01)
    else:
        pytest.fail("it is not read")
    blocks.close()


def test_after_rows_that_were_cached_but_for_a_little_it_looks_again(mapped, cached, monkeypatch):
    _, events = cached
    monkeypatch.setattr(Opened, "fetch", lambda *given: False)
    check_blocks(Mapped(mapped, Y), X, Y, None, ROWS)
    assert [low for what, low, _ in events if what == "look"][: len(STARTS)] == [*STARTS]


def test_what_comes_after_cached_rows_is_read_where_it_is_not(mapped, cached):
    rows, events = cached
    rows.update([0, ROWS])
    check_blocks(Mapped(mapped, Y), X, Y, None, ROWS)
    read = [low for what, low, _ in events if what == "read"]
    assert read[:2] == [2 * ROWS, 3 * ROWS]


@pytest.mark.parametrize("cut", [slice(None), slice(100, None), slice(7, 5000)])
def test_the_bytes_are_those_of_the_rows(path, mapped, cut, monkeypatch):
    monkeypatch.setattr(fetched, "PIECE", 999)
    part, places = mapped[cut], []
    read = os.preadv

    def noted(file, buffers, at, *flags):
        if flags:
            raise BlockingIOError
        places.append((at, read(file, buffers, at)))

    monkeypatch.setattr(os, "preadv", noted)
    with File.of(part, part._mmap).opened() as file:
        assert file.fetch(10, 200, threading.Event())
    assert all(at + count == after for (at, count), (after, _) in pairwise(places))
    first, last = places[0][0], sum(places[-1])
    assert path.read_bytes()[first:last] == X[cut][10:200].tobytes()


def test_the_system_is_asked_what_is_cached(mapped, path):
    file = File.of(mapped, mapped._mmap)
    path.read_bytes()
    with file.opened() as opened:
        assert opened.has(0, N)
    with path.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    del mapped
    with file.opened() as opened:
        if opened.has(0, N):
            pytest.skip("this file system keeps all it has")
        assert opened.fetch(0, N, threading.Event())
        assert opened.has(0, N)
        assert not opened.fetch(0, N, threading.Event())


def test_a_file_that_has_gone_is_no_error(mapped, path, cached):
    source = Mapped(mapped, Y)
    path.unlink()
    check_blocks(source, X, Y, None, ROWS)
    assert not cached[1]


@pytest.mark.parametrize("failing", ["has", "fetch"])
def test_a_system_that_cannot_tell_or_read_is_no_error(mapped, monkeypatch, failing):
    def preadv(file, buffers, at, *flags):
        if failing == "has" or not flags:
            raise OSError("not supported")
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", preadv)
    check_blocks(Mapped(mapped, Y), X, Y, None, ROWS)


def test_it_ends_between_two_pieces_where_the_blocks_are_closed(mapped, cached, monkeypatch):
    monkeypatch.setattr(fetched, "PIECE", P * 4)
    begun, read = threading.Event(), []

    def preadv(file, buffers, at, *flags):
        if flags:
            raise BlockingIOError
        read.append(at)
        if len(read) > ROWS:
            begun.set()
            threading.Event().wait(0.01)

    monkeypatch.setattr(os, "preadv", preadv)
    blocks = Mapped(mapped, Y).blocks(ROWS)
    next(blocks)
    begun.wait()
    blocks.close()
    assert len(read) < ROWS + ROWS // 2
    assert not [t for t in threading.enumerate() if t.name.startswith("fastloss-fetch")]


def test_only_rows_that_are_runs_of_a_named_file_are_read_beforehand(mapped):
    assert File.of(mapped[:, :5], mapped._mmap) is None
    assert File.of(mapped.T, mapped._mmap) is None
    with tempfile.TemporaryFile() as file:
        X.tofile(file)
        unnamed = np.memmap(file, np.uint8, "r")
    assert File.of(unnamed, unnamed._mmap) is None


def test_a_file_that_has_become_shorter_is_named(mapped, path):
    source = Mapped(mapped, Y)
    blocks = source.blocks(ROWS)
    next(blocks)
    os.truncate(path, X.nbytes // 2)
    for read in (lambda: next(blocks), lambda: source.block(0, 9), lambda: next(source.blocks(9))):
        with pytest.raises(OSError, match=r"X\.npy has become shorter .* 480128 bytes are mapped"):
            read()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_shorter_file_in_its_place_is_another_one(mapped, path, when):
    source = Mapped(mapped, Y)
    np.save(path.with_name("other.npy"), X[:10])
    path.with_name("other.npy").replace(path)
    if when == "before":
        source = Mapped(mapped, Y)
    check_blocks(source, X, Y, None, ROWS)


def test_nothing_is_read_beyond_the_rows_of_a_part_of_a_map(mapped, path, monkeypatch):
    places, part = [], mapped[: N // 2]

    def preadv(file, buffers, at, *flags):
        places.append(at + sum(map(len, buffers)))
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", preadv)
    check_blocks(Mapped(part, Y[: N // 2]), X[: N // 2], Y[: N // 2], None, ROWS)
    assert max(places) <= path.stat().st_size - X[N // 2 :].nbytes

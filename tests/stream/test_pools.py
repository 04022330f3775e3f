"""Pools of threads whose callers may outlive them."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastloss.stream.pools import each, submit

FIT = """
import atexit, sys, threading
from pathlib import Path
import h5py, numpy as np, pyarrow as pa, pyarrow.parquet as pq
import fastloss as fl

folder, limit = Path(sys.argv[1]), 10**6
X = np.random.default_rng(0).normal(size=(50_000, 5))
y = X.sum(1) + np.random.default_rng(1).normal(size=len(X))
np.save(folder / "X.npy", X)
pq.write_table(pa.table([*X.T, y], names=[*"abcde", "y"]), folder / "X.parquet")
file = h5py.File(folder / "X.h5", "w")
file["X"] = X
given = {
    "map": (np.load(folder / "X.npy", mmap_mode="r"), y),
    "hdf5": (file["X"], y),
    "parquet": (folder / "X.parquet", "y"),
}[sys.argv[2]]
expected = fl.fit(*given, memory_limit=limit).x

def fit():
    threading.main_thread().join()
    assert np.array_equal(fl.fit(*given, memory_limit=limit).x, expected)
    print("fitted")

threading.Thread(target=fit).start()
"""


@pytest.mark.parametrize("source", ["map", "hdf5", "parquet"])
def test_a_thread_may_fit_after_the_main_one_has_ended(tmp_path, source):
    command = [sys.executable, "-c", FIT, str(tmp_path), source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "fitted\n", done.stderr


def ended():
    """A pool that takes no more."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), ended], ids=["a pool", "ended"])
def test_results_come_in_order_and_errors_with_them(make):
    with make() as pool:
        assert submit(pool, divmod, 7, 3).result() == (2, 1)
        assert each(pool, divmod, [7, 8, 9], [3, 3, 3]) == [(2, 1), (2, 2), (3, 0)]
        with pytest.raises(ZeroDivisionError):
            each(pool, divmod, [7, 8], [3, 0])


def test_where_no_thread_can_be_started_nothing_is_done_twice(monkeypatch):
    """The call stands in the pool's queue, and would be made by a thread that starts later."""
    calls = []
    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                submit(pool, calls.append, 1)
        submit(pool, calls.append, 2).result()
    assert calls == [1, 2]


def no_thread(self):
    raise RuntimeError("can't start new thread")


def test_what_has_not_begun_is_not_called_after_an_error():
    called, raised = [], threading.Event()

    def call(number):
        called.append(number)
        if number == 0:
            raise ValueError(number)
        assert raised.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="0"):
            each(pool, call, range(100))
        raised.set()
    assert called in ([0], [0, 1])

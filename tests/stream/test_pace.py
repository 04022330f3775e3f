"""How many threads kernels take while blocks are made by others."""

import numba
import numpy as np
import pytest

from fastloss.stream.pace import paced
from fastloss.stream.rows import Block

pytestmark = pytest.mark.skipif(numba.get_num_threads() < 2, reason="one thread is all there is")
A_WHILE = 0.05


class Clock:
    """Time that passes where somebody says so, and a little where it is looked at."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1e-9
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("fastloss.stream.pace.perf_counter", clock)
    return clock


def made(time, seconds, count=3, closed=None):
    """Give blocks, each after some seconds."""
    try:
        for low in range(count):
            time.sleep(seconds)
            yield Block(low, np.zeros((1, 1)), np.zeros(1), None)
    finally:
        if closed is not None:
            closed.append(True)


def threads_of(time, blocks, work):
    found = []
    for _ in blocks:
        found.append(numba.get_num_threads())
        time.sleep(work)
    return found


@pytest.mark.parametrize("work", [0, A_WHILE, 5 * A_WHILE])
def test_late_blocks_are_worked_on_by_one_thread(time, work):
    assert threads_of(time, paced(made(time, A_WHILE)), work) == [1, 1, 1]


def test_blocks_that_wait_for_the_kernels_get_all_threads_but_the_first(time):
    every = numba.get_num_threads()
    assert threads_of(time, paced(made(time, 0)), work=A_WHILE) == [1, every, every]


def test_the_number_of_threads_comes_back(time):
    every = numba.get_num_threads()
    threads_of(time, paced(made(time, A_WHILE)), work=0)
    assert numba.get_num_threads() == every


@pytest.mark.parametrize("how", ["closed", "work fails"])
def test_blocks_are_closed_and_threads_come_back_when(time, how):
    every, closed = numba.get_num_threads(), []
    blocks = paced(made(time, A_WHILE, closed=closed))
    next(blocks)
    assert numba.get_num_threads() == 1
    if how == "closed":
        blocks.close()
    else:
        with pytest.raises(ZeroDivisionError):
            blocks.throw(ZeroDivisionError)
    assert closed
    assert numba.get_num_threads() == every

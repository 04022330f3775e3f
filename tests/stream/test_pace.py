"""How many threads kernels take while blocks are made by others."""

import time

import numba
import numpy as np
import pytest

from fastloss.stream.pace import paced
from fastloss.stream.rows import Block

pytestmark = pytest.mark.skipif(numba.get_num_threads() < 2, reason="one thread is all there is")
A_WHILE = 0.05


def made(seconds, count=3, closed=None):
    """Give blocks, each after some seconds."""
    try:
        for low in range(count):
            time.sleep(seconds)
            yield Block(low, np.zeros((1, 1)), np.zeros(1), None)
    finally:
        if closed is not None:
            closed.append(True)


def threads_of(blocks, work):
    found = []
    for _ in blocks:
        found.append(numba.get_num_threads())
        time.sleep(work)
    return found


def test_late_blocks_are_worked_on_by_one_thread():
    assert threads_of(paced(made(A_WHILE)), work=0) == [1, 1, 1]


def test_blocks_that_wait_for_the_kernels_get_all_threads_but_the_first():
    every = numba.get_num_threads()
    assert threads_of(paced(made(0)), work=A_WHILE) == [1, every, every]


def test_the_number_of_threads_comes_back():
    every = numba.get_num_threads()
    threads_of(paced(made(A_WHILE)), work=0)
    assert numba.get_num_threads() == every


@pytest.mark.parametrize("how", ["closed", "work fails"])
def test_blocks_are_closed_and_threads_come_back_when(how):
    every, closed = numba.get_num_threads(), []
    blocks = paced(made(A_WHILE, closed=closed))
    next(blocks)
    assert numba.get_num_threads() == 1
    if how == "closed":
        blocks.close()
    else:
        with pytest.raises(ZeroDivisionError):
            blocks.throw(ZeroDivisionError)
    assert closed
    assert numba.get_num_threads() == every

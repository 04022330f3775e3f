"""Every item is taken once, by as many threads; what one raises ends them all."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import evaluate
from fastloss.cpu.shares import share
from tests.registry import pair


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_every_item_is_taken_once(threads, count):
    taken, made = [], []

    def take():
        made.append(threading.get_ident())
        return taken.append

    share(take, range(count), threads)
    assert sorted(taken) == list(range(count))
    assert len(made) == threads
    assert threading.get_ident() in made


@pytest.mark.parametrize("threads", [1, 3])
def test_what_one_raises_is_raised_and_the_rest_is_left(threads):
    taken = []

    def work(item):
        taken.append(item)
        if item == 5:
            raise ValueError("item 5")
        time.sleep(0.001)

    with pytest.raises(ValueError, match="item 5"):
        share(lambda: work, range(10_000), threads)
    assert len(taken) < 1000


def test_what_another_thread_raises_is_raised():
    here = threading.get_ident()

    def work(item):
        time.sleep(0.001)
        if threading.get_ident() != here:
            raise ValueError("elsewhere")

    with pytest.raises(ValueError, match="elsewhere"):
        share(lambda: work, range(1000), 2)


def test_ctrl_c_ends_all():
    taken = []

    def work(item):
        taken.append(item)
        if item == 20:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        share(lambda: work, range(10_000), 3)
    assert len(taken) < 1000


def test_what_numpy_was_told_holds_on_every_thread():
    found = set()

    def work(item):
        found.add((threading.get_ident(), np.geterr()["over"]))
        time.sleep(0.001)

    with np.errstate(over="raise"):
        share(lambda: work, range(50), 3)
    assert {over for _, over in found} == {"raise"}
    assert len(found) == 3


def test_without_more_threads_this_one_takes_all(monkeypatch):
    def submit(self, *_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    taken = []
    share(lambda: taken.append, range(10), 3)
    assert taken == list(range(10))


AT_EXIT = """
import atexit
import numpy as np, fastloss as fl
x = np.linspace(-3, 3, 4_000_000)
loss = fl.SmoothL1Loss()
expected = loss(x, 0.0)
atexit.register(lambda: print(loss(x, 0.0) == expected))
"""


def test_a_call_at_the_end_of_the_process():
    ended = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("True\n", "")


@pytest.mark.parametrize("size", [evaluate.SHARED_FROM, evaluate.SHARED_FROM + 12_345])
def test_pieces_on_several_threads_give_the_bits_of_one(size):
    x, y = pair(size, np.float64)
    wide = np.empty((size, 2))
    wide[:, 0] = x
    loss = fl.SmoothL1Loss()
    plain = loss.value_and_grad(x, y)
    for threads in (1, 3):
        with fl.threads(threads):
            value, gradient = loss.value_and_grad(wide[:, 0], y)
        assert value == plain[0]
        np.testing.assert_array_equal(gradient, plain[1])


def test_gradients_that_are_summed_back_are_added_in_order():
    x, y = np.zeros(7), pair(7 * evaluate.SHARED_FROM, np.float64)[1].reshape(-1, 7)
    loss = fl.MSELoss(reduction="sum")
    first = loss.grad(x, y)
    for _ in range(3):
        np.testing.assert_array_equal(loss.grad(x, y), first)

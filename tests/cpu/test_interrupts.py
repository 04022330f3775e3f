"""Ctrl-C ends a large call between two calls of its kernel, and leaves everything usable."""

import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastloss as fl
from fastloss.cpu import design, evaluate
from fastloss.cpu.sizes import BLOCK

SIZE = 100 * BLOCK + 17
MANY = 10_000


@pytest.fixture
def alarm():
    """Raise KeyboardInterrupt as Ctrl-C does, some milliseconds after it is set."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupted(call, alarm, seconds):
    def again_and_again():
        alarm(seconds)
        for _ in range(MANY):
            call()

    with pytest.raises(KeyboardInterrupt):
        again_and_again()


needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setattr(evaluate, "CALL", BLOCK)
    return np.random.default_rng(0).standard_normal((2, SIZE))


@needs_signals
@pytest.mark.parametrize("seconds", [0.003, 0.01, 0.02])
def test_after_an_interrupted_call_the_next_one_is_right(pair, alarm, seconds):
    x, y = pair
    before = pair.copy()
    loss, out = fl.SmoothL1Loss(), np.full(SIZE, np.nan)
    expected = loss.value_and_grad(x, y)
    interrupted(lambda: loss.value_and_grad(x, y, out=out), alarm, seconds)
    assert_array_equal(pair, before)
    written = ~np.isnan(out)
    assert_array_equal(out[written], expected[1][written])
    value, grad = loss.value_and_grad(x, y, out=out)
    assert value == expected[0]
    assert_array_equal(grad, expected[1])


@needs_signals
def test_an_interrupted_call_gives_the_threads_back(pair, alarm):
    loss, found = fl.SmoothL1Loss(), []
    interrupted(lambda: loss(*pair), alarm, 0.01)
    thread = threading.Thread(target=lambda: found.append(loss(*pair)))
    thread.start()
    thread.join(60)
    assert found == [loss(*pair)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_several_calls_of_a_kernel_give_the_bits_of_one(reduction, weighted, monkeypatch):
    x, y, w = abs(np.random.default_rng(1).standard_normal((3, SIZE)))
    loss = fl.SmoothL1Loss(reduction=reduction)
    weight = w if weighted else None

    def found():
        outs = loss.grad_and_hess(x, y, weight=weight)
        return loss(x, y, weight=weight), loss.grad(x, y, weight=weight), *outs

    whole = found()
    monkeypatch.setattr(evaluate, "CALL", 7 * BLOCK)
    for a, b in zip(found(), whole, strict=True):
        assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("weighted", [False, True])
def test_several_calls_over_a_matrix_give_the_bits_of_one(order, weighted, monkeypatch):
    rng = np.random.default_rng(2)
    X = np.array(rng.standard_normal((150_000, 20)), order=order)
    y, w = rng.standard_normal(len(X)), rng.random(len(X)) if weighted else None

    def found():
        objective = fl.LinearObjective(X, y, weight=w, l2=0.1)
        at = np.full(20, 0.2)
        return *objective(at), objective.hessp(at, np.ones(20)), *objective.value_grad_hess(at)

    whole = found()
    calls = list(design.Design.of(X).calls())
    assert len(calls) == 1
    monkeypatch.setattr(design, "CALL_ELEMENTS", 1000)
    monkeypatch.setattr(design, "CALL_BLOCKS", 1)
    assert (len(list(design.Design.of(X).calls())) > 1) == (order == "C")
    for a, b in zip(found(), whole, strict=True):
        assert_array_equal(a, b)


@needs_signals
def test_an_interrupted_pass_over_a_matrix_leaves_the_objective_usable(alarm, monkeypatch):
    X = np.random.default_rng(3).standard_normal((200_000, 20))
    monkeypatch.setattr(design, "CALL_ELEMENTS", 1000)
    monkeypatch.setattr(design, "CALL_BLOCKS", 1)
    objective, at = fl.LinearObjective(X, X[:, 0]), np.full(20, 0.2)
    value, grad = objective(at)
    interrupted(lambda: objective(at), alarm, 0.01)
    assert objective(at)[0] == value
    assert_array_equal(objective(at)[1], grad)

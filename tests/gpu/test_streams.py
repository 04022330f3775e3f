"""Kernels run on the library's current stream, and only a Python number is waited for."""

import numpy as np
import pytest

import fastloss as fl
from tests.gpu import slow
from tests.registry import pair

pytestmark = pytest.mark.gpu

NONE = fl.SmoothL1Loss(reduction="none")
MEAN = fl.SmoothL1Loss()

# Each is called with input, target, weight, an array of the shape () and one of the input's shape.
WITHOUT_WAITING = {
    "every element": lambda x, y, w, slot, out: NONE(x, y),
    "every element, weighted": lambda x, y, w, slot, out: NONE(x, y, w),
    "gradient": lambda x, y, w, slot, out: MEAN.grad(x, y),
    "gradient, weighted": lambda x, y, w, slot, out: MEAN.grad(x, y, w),
    "gradient into out": lambda x, y, w, slot, out: MEAN.grad(x, y, out=out),
    "gradient and curvature": lambda x, y, w, slot, out: MEAN.grad_and_hess(x, y),
    "mean into out": lambda x, y, w, slot, out: MEAN(x, y, out=slot),
    "mean into out, weighted": lambda x, y, w, slot, out: MEAN(x, y, w, out=slot),
    "value and gradient": lambda x, y, w, slot, out: MEAN.value_and_grad(x, y, total=slot),
    "gradient summed back": lambda x, y, w, slot, out: MEAN.grad(x[:1], y),
}


@pytest.mark.parametrize("method", ["none", "mean", "weighted mean", "gradient", "curvature"])
def test_work_that_was_queued_before_is_seen(arrays, method):
    x = arrays.send(np.zeros(slow.SIZE, np.float32))
    y = arrays.send(np.ones(slow.SIZE, np.float32))
    call = {
        "none": lambda x: NONE(x, y),
        "mean": lambda x: MEAN(x, y),
        "weighted mean": lambda x: MEAN(x, y, y),
        "gradient": lambda x: fl.L1Loss(reduction="sum").grad(x, y),
        "curvature": lambda x: fl.SmoothL1Loss(reduction="sum").grad_and_hess(x, y)[1],
    }[method]
    # |3.5 - 1| - 1/2, its slope and curvature; of |0 - 1|, all would differ.
    wanted = {"gradient": 1.0, "curvature": 0.0}.get(method, 2.0)
    slow.compile_for(x)
    with arrays.stream() as address:
        mine = arrays.on_stream(x, address)
        call(mine)
        slow.fill(mine, np.float32(3.5), address)
        result = call(mine)
        found = arrays.host_or_number(result)
    assert np.all(found == np.float32(wanted))
    arrays.synchronize()


def test_work_that_is_queued_later_sees_the_result(pooled):
    x, y = (pooled.send(a) for a in pair(slow.SIZE, np.float32))
    loss = fl.L1Loss(reduction="none")
    slow.compile_for(x)
    with pooled.stream() as address:
        loss(x, y)
        slow.fill(x, np.float32(3.5), address)
        twice = loss(x, y) * 2
        found = pooled.host(twice)
    np.testing.assert_array_equal(found, 2 * np.abs(np.float32(3.5) - pooled.host(y)))


@pytest.mark.parametrize("call", WITHOUT_WAITING.values(), ids=WITHOUT_WAITING)
def test_nothing_waits_for_the_device_but_a_number(pooled, call):
    """A slow kernel on the stream is still running when the call is over."""
    numbers = *pair(slow.SIZE, np.float32), np.linspace(0.5, 1, slow.SIZE, dtype=np.float32)
    x, y, w = (pooled.send(a) for a in numbers)
    other = pooled.send(numbers[0])
    slow.compile_for(other)
    with pooled.stream() as address:
        slot, out = pooled.send(np.zeros((), np.float32)), pooled.send(np.zeros_like(numbers[0]))
        pooled.synchronize()
        wanted = call(x, y, w, slot, out)  # compiles, and lets the library keep memory for later
        wanted = _on_the_host(pooled, wanted)
        end = slow.fill(other, np.float32(0), address)
        with pooled.waiting_is_an_error():
            found = call(x, y, w, slot, out)
        running = not end.query()
        found = _on_the_host(pooled, found)
    assert running
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def _on_the_host(arrays, results):
    results = results if isinstance(results, tuple) else (results,)
    return [arrays.host(result).copy() for result in results]


def test_a_number_is_there_when_the_call_is_over(pooled):
    """The test above can fail: this call waits."""
    x, y = (pooled.send(a) for a in pair(slow.SIZE, np.float32))
    other = pooled.send(np.zeros(slow.SIZE, np.float32))
    slow.compile_for(other)
    with pooled.stream() as address:
        MEAN(x, y)
        end = slow.fill(other, np.float32(0), address)
        MEAN(x, y)
        assert end.query()

"""Outputs past the cache: the same elements as through it, from any address on."""

from functools import partial

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import evaluate, memory, streaming
from fastloss.cpu.sizes import ALWAYS_PARALLEL_FROM as PARALLEL_FROM
from fastloss.cpu.sizes import BLOCK
from fastloss.formulas import Huber, SmoothL1
from tests.reference import exact_sum
from tests.registry import DTYPES, pair

SIZES = [
    PARALLEL_FROM + 1,
    PARALLEL_FROM + streaming.step_for(np.empty(0, np.float32)) + 7,
    3 * PARALLEL_FROM + 31,
]


@pytest.fixture
def past_the_cache(monkeypatch):
    """Take every output of more than a block for larger than the cache."""
    monkeypatch.setattr(memory, "last_level_cache", lambda: 0)


def at(offset, size, dtype):
    """An array that begins so many elements after a line, between elements that must stay."""
    width = streaming.LINE // np.dtype(dtype).itemsize
    room = np.full(size + 3 * width, 7, dtype)
    start = -room.ctypes.data % streaming.LINE // room.itemsize + offset
    return room, room[start : start + size]


def outside(room, out):
    start = (out.ctypes.data - room.ctypes.data) // room.itemsize
    return np.concatenate([room[:start], room[start + out.size :]])


def heads(asked, outs):
    """What ``before_line`` answers, kept in a list."""
    asked.append(memory.before_line(outs))
    return asked[-1]


def ways(loss, x, y, weight, outs):
    """Every method that writes, into the given arrays."""
    g, h = outs
    return {
        "none": lambda: fl.Loss(loss.formula, "none")(x, y, weight, out=g),
        "grad": lambda: loss.grad(x, y, weight, out=g),
        "value_and_grad": lambda: loss.value_and_grad(x, y, weight, out=g)[1],
        "grad_and_hess": lambda: np.stack(loss.grad_and_hess(x, y, weight, out=(g, h))),
    }


# Each kernel takes two seconds to compile: what is written does not depend on the formula.
@pytest.mark.parametrize(
    ("formula", "dtype", "weighted"),
    [
        (SmoothL1(0.7), np.float32, False),
        pytest.param(Huber(0.7), np.float64, False, marks=pytest.mark.slow),
        (SmoothL1(0.7), np.float64, True),
    ],
    ids=str,
)
def test_elements_have_the_same_bits(formula, dtype, weighted, monkeypatch):
    loss = fl.Loss(formula, "sum")
    for size in SIZES:
        x, y = pair(size, dtype)
        weight = np.random.default_rng(1).uniform(0, 2, size).astype(dtype) if weighted else None
        outs = at(3, size, dtype)[1], at(3, size, dtype)[1]
        calls = ways(loss, x, y, weight, outs)
        expected = {name: call().copy() for name, call in calls.items()}
        with monkeypatch.context() as patched:
            patched.setattr(memory, "last_level_cache", lambda: 0)
            asked = []
            patched.setattr(evaluate, "before_line", partial(heads, asked))
            for name, call in calls.items():
                for out in outs:
                    out.fill(np.nan)
                np.testing.assert_array_equal(call(), expected[name], err_msg=name)
                assert asked.pop() is not None, f"{name} did not go past the cache"


@pytest.mark.usefixtures("past_the_cache")
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_output_may_begin_anywhere_in_a_line(dtype):
    size = PARALLEL_FROM + 5
    x, y = pair(size, dtype)
    loss = fl.SmoothL1Loss(beta=0.7)
    expected = loss.grad(x, y)
    for offset in range(streaming.LINE // np.dtype(dtype).itemsize):
        room, out = at(offset, size, dtype)
        np.testing.assert_array_equal(loss.grad(x, y, out=out), expected)
        assert set(outside(room, out)) == {7}
        room, out = at(offset, size, dtype)
        other_room, other = at((offset + 1) % 8, size, dtype)
        gradient, curvature = loss.grad_and_hess(x, y, out=(out, other))
        np.testing.assert_array_equal(gradient, expected)
        np.testing.assert_array_equal(curvature, loss.grad_and_hess(x, y)[1])
        assert set(outside(room, out)) == {7}
        assert set(outside(other_room, other)) == {7}


@pytest.mark.usefixtures("past_the_cache")
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_stay_within_the_bound(dtype):
    for size in SIZES:
        x, y = pair(size, dtype)
        total, _ = fl.MSELoss(reduction="sum").value_and_grad(x, y, out=at(5, size, dtype)[1])
        exact = exact_sum(fl.MSELoss(reduction="none")(x, y))
        assert abs(total - exact) <= 4.4e-16 * exact


@pytest.mark.usefixtures("past_the_cache")
def test_one_thread_streams_too():
    x, y = pair(BLOCK + 100, np.float32)
    out = at(3, x.size, np.float32)[1]
    whole = np.concatenate(
        [
            fl.MSELoss(reduction="sum").grad(*part)
            for part in zip(np.split(x, [BLOCK]), np.split(y, [BLOCK]), strict=True)
        ]
    )
    np.testing.assert_array_equal(fl.MSELoss(reduction="sum").grad(x, y, out=out), whole)


@pytest.mark.usefixtures("past_the_cache")
def test_in_place_and_strided_outputs_do_not_go_past_the_cache():
    size = PARALLEL_FROM + 5
    x, y = pair(size, np.float32)
    loss = fl.SmoothL1Loss(beta=0.7)
    expected = loss.grad(x, y)
    wide = np.zeros((size, 2), np.float32)
    np.testing.assert_array_equal(loss.grad(x, y, out=wide[:, 0]), expected)
    assert not wide[:, 1].any()
    np.testing.assert_array_equal(loss.grad(x, y, out=x), expected)


def test_only_outputs_beyond_the_cache_go_past_it(monkeypatch):
    monkeypatch.setattr(memory, "last_level_cache", lambda: 4000)
    room = np.zeros(2000, np.float32)
    start = -room.ctypes.data % streaming.LINE // 4
    assert memory.before_line([room[start : start + 1000]]) is None
    assert memory.before_line([room[start : start + 1001]]) == 0
    assert memory.before_line([room[start + 1 : start + 1002]]) == 15
    pair_of_them = room[start : start + 501], room[start + 512 : start + 1013]
    assert memory.before_line([None, *pair_of_them]) == 0
    apart = room[start : start + 501], room[start + 513 : start + 1014]
    assert memory.before_line([None, *apart]) is None


def test_the_cache_has_a_size():
    assert memory.last_level_cache() >= 1 << 18


def test_a_system_that_does_not_tell_has_the_usual_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CACHES", tmp_path)
    assert memory.last_level_cache.__wrapped__() == memory.USUAL_CACHE
    (tmp_path / "index3").mkdir()
    (tmp_path / "index3" / "size").write_text("16384K\n")
    assert memory.last_level_cache.__wrapped__() == 16 << 20
    (tmp_path / "index3" / "size").write_text("much\n")
    assert memory.last_level_cache.__wrapped__() == memory.USUAL_CACHE

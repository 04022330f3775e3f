"""What compiled code calls in place of a plain function computes what that does."""

from fractions import Fraction
from functools import partial

import numba
import numpy as np
import pytest

from fastloss.cpu import formula, maybe, plain_running, prefetch, quick, streaming, sums, weighted
from fastloss.formulas import Huber, SquaredError
from tests import choices
from tests.formulas import PseudoHuber

X = np.arange(200, dtype=np.float32)
PAIRS = np.zeros((3, 2))
DONE = np.zeros(3, np.bool_)
MSE = SquaredError()
MATRIX = np.arange(12.0).reshape(3, 4)
SUMS = plain_running.start()
TERMS = np.linspace(1, 2, sums.TILE)
SINGLE = TERMS.astype(np.float32)

# A plain function, what chooses by types, and arguments for each choice.
CHOICES = [
    (maybe.part, maybe._part, [(None, 2, 5), (X, 2, 5)]),
    (maybe.alive, maybe._alive, [(X,)]),
    (maybe.row, maybe._row, [(None, 1), (MATRIX, 1)]),
    (maybe.mark, maybe._mark, [(None, 1), (DONE, 1)]),
    (maybe.keep, maybe._keep, [(None, 1, 2.0, 3.0), (PAIRS, 1, 2.0, 3.0)]),
    (
        maybe.in_order,
        maybe._in_order_of,
        [(X, X, X, None, X.copy(), None), (X, X, X[:9], None, None, None)],
    ),
    (streaming.step_for, streaming._step_for, [(X,), (MATRIX,)]),
    (streaming.window, streaming._window, [(None, None, 2, 5), (X, None, 2, 5), (X, X[9:], 2, 5)]),
    (streaming.store, streaming._store, [(X, None, 2, 5), (X, X[100:].copy(), 16, 60)]),
    (streaming.fence, streaming._fence_if, [(None,), (True,)]),
    (prefetch.bring, prefetch._bring, [(None, 3, 40), (X, 3, 40)]),
    (formula.quotient, formula._quotient, [(3.0, 0.7)]),
    (formula.scaled_grad, formula._scaled_grad, [(Huber(1.0), 2.0, 3.0), (MSE, 2.0, 3.0)]),
    (
        weighted.add,
        weighted._add,
        [
            (SUMS, beside, terms, weight)
            for terms in (TERMS, SINGLE)
            for beside, weight in ((None, None), (None, terms + 1), (SUMS, terms + 1))
        ],
    ),
    (weighted.start_beside, weighted._start_beside, [(None,), (PAIRS[0],)]),
    (weighted.padded, weighted._padded, [(None, None), (X[:3], X[10:15].copy())]),
    (quick.ratio, formula._ratio, [(0.3, 0.7), (np.float32(0.3), np.float32(0.7))]),
]
CASES = choices.cases(CHOICES)


def fused(a, b, c):
    return type(a)(float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))))


@pytest.fixture
def _instructions(monkeypatch):
    """In Python, what compiled code has instructions for."""
    width = streaming.LINE // X.itemsize

    def store_line(out, i, buffer, j):
        out[i : i + width] = buffer[j : j + width]

    monkeypatch.setattr(maybe, "_slice", lambda array, low, high: array[low:high])
    monkeypatch.setattr(maybe, "_used", lambda array: None)
    monkeypatch.setattr(maybe, "_in_order", maybe.in_order)
    monkeypatch.setattr(streaming, "_store_line", store_line)
    monkeypatch.setattr(streaming, "_fence", lambda: None)
    monkeypatch.setattr(prefetch, "_bring_one", lambda array, start, further: None)
    monkeypatch.setattr(sums, "start", plain_running.start)
    monkeypatch.setattr(sums, "add", partial(plain_running.add_group, first=0))
    monkeypatch.setattr(sums, "add_weighted", partial(plain_running.add_weighted, first=0))
    monkeypatch.setattr(formula, "_multiply_add", fused)
    monkeypatch.setattr(formula, "_method", getattr)


@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize(("plain", "choose", "given"), CASES, ids=choices.names(CASES))
def test_the_choice_computes_what_the_plain_function_does(plain, choose, given):
    choices.agree(plain, choose, given)


@pytest.mark.parametrize("weight", [None, X, TERMS], ids=["plain", "float32", "float64"])
@pytest.mark.parametrize("out", [None, X], ids=["alone", "beside an output"])
@pytest.mark.parametrize("formula", [MSE, PseudoHuber()], ids=["ours", "a user's"])
def test_compiled_code_makes_the_same_buffers(weight, out, formula):
    for plain, choose, given in (
        (
            weighted.terms_for,
            weighted._terms_for,
            (formula, X if weight is None else weight, weight, None, out, None),
        ),
        (weighted.room_for, weighted._room_for, (weight,)),
    ):
        found, expected = choose(*map(numba.typeof, given))(*given), plain(*given)
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
        assert np.shape(found) == np.shape(expected)


def test_the_buffers_of_compiled_code_lie_on_lines():
    assert (
        streaming._buffers_for(*map(numba.typeof, (None, X, None, None)))(None, X, None, None)
        is None
    )
    given = None, X, MATRIX[0], True
    buffers = streaming._buffers_for(*map(numba.typeof, given))(*given)
    assert buffers[0] is None
    for out, buffer in zip(given[1:3], buffers[1:], strict=True):
        found = streaming._buffer_for(numba.typeof(out))(out)
        assert (found.size, found.dtype) == (buffer.size, buffer.dtype)
        assert found.ctypes.data % streaming.LINE == 0

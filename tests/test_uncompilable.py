"""Formulas that Numba cannot compile, and those that raise."""

import functools
from typing import NamedTuple

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu.sizes import BLOCK


def formula(value):
    """Make a formula of which one method is what is given."""

    class Odd(NamedTuple):
        def grad(self, r):
            return 1.0

        def hess(self, r):
            return 0.0

    Odd.value = value
    return Odd()


def unknown(self, r):
    return r.upper()


def importing(self, r):
    import math

    return math.exp(r)


def counting(self, r):
    global calls
    calls = 1
    return r


def generating(self, r):
    yield r


def sorting(self, r):
    return sorted(self, key=r)


def helper(r):
    return r


def helped(self, r):
    return helper(r)


MANY = np.ones(BLOCK + 1)
CALLS = {
    "few": lambda loss: loss([1.0], [2.0]),
    "many, weights": lambda loss: loss(MANY, 0 * MANY, MANY),
    "linear model": lambda loss: fl.LinearObjective(np.ones((4, 1)), np.arange(4.0), loss)([0.0]),
    "fit": lambda loss: fl.fit(np.ones((4, 1)), np.arange(4.0), loss),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (unknown, "value: .*upper"),
        (importing, "value: Use of unsupported opcode"),
        (counting, "value: Use of unsupported opcode"),
        (generating, "value: it gives no number but float64 generator"),
        (sorting, "value: "),
        (helped, "value: .*helper"),
        (functools.partial(abs), "value: .*not a function"),
        (functools.lru_cache(lambda self, r: r), "value: .*not a function"),
    ],
)
def test_the_formula_is_named_and_the_method_and_why(call, value, words):
    with pytest.raises(TypeError, match=rf"^the formula Odd\(\) cannot be compiled; .*{words}"):
        call(fl.Loss(formula(value)))


def dividing(self, r):
    if r > 0.5:
        raise ZeroDivisionError("my own")
    return r


def asserting(self, r):
    if r > 0.5:
        raise AssertionError("my own")
    return r


def typing(self, r):
    if r > 0.5:
        raise TypeError("my own")
    return r


@pytest.mark.parametrize(
    ("value", "error"),
    [(dividing, ZeroDivisionError), (asserting, AssertionError), (typing, TypeError)],
)
def test_what_a_formula_itself_raises_passes(value, error):
    for call in (lambda loss: loss([1.0], [0.0]), CALLS["many, weights"]):
        with pytest.raises(error, match="^my own$"):
            call(fl.Loss(formula(value)))

"""A user's own formula: compiled for every method, and never stale."""

import importlib
import math
import sys
from typing import NamedTuple

import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu.formula import bind
from tests.registry import DTYPES, pair


class LogCosh(NamedTuple):
    """A loss that fastloss does not have; its residual has another name."""

    width: float = 1.0
    terms: int = 2

    def value(self, residual):
        a = abs(residual) / self.width
        return self.width * (a + math.log1p(math.exp(-self.terms * a)) - math.log(2.0))

    def grad(self, residual):
        return math.tanh(residual / self.width)

    def hess(self, residual):
        return (1.0 - math.tanh(residual / self.width) ** 2) / self.width


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [100, 70_000])
def test_works_in_every_method(dtype, size):
    loss = fl.Loss(LogCosh(0.5), "none")
    x, y = pair(size, dtype)
    r = (x - y).astype(float)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    value, grad = loss.value_and_grad(x, y)
    hess = loss.grad_and_hess(x, y)[1]
    assert value.dtype == grad.dtype == hess.dtype == dtype
    expected = 0.5 * np.log(np.cosh(r / 0.5))
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(loss(x, y), expected, rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(grad, np.tanh(r / 0.5), rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(hess, (1 - np.tanh(r / 0.5) ** 2) / 0.5, rtol=rtol, atol=1e-5)
    total = fl.Loss(LogCosh(0.5), "sum")(x, y)
    assert total == pytest.approx(math.fsum(value.astype(float)), rel=rtol)


def test_a_scaled_gradient_of_its_own_is_taken():
    class Cubic(NamedTuple):
        def value(self, r):
            return abs(r) ** 3

        def grad(self, r):
            return 3 * r * abs(r)

        def hess(self, r):
            return 6 * abs(r)

        def scaled_grad(self, r, scale):
            return 3 * (scale * r) * abs(r)

    x = np.full(4, 7e153)
    np.testing.assert_allclose(fl.Loss(Cubic()).grad(x, 0 * x), 3.675e307, rtol=1e-15)


def test_works_in_the_linear_model():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    result = fl.fit(X, y, fl.Loss(LogCosh(0.5)))
    assert result.success
    gradient = X.T @ np.tanh((X @ result.coef + result.intercept - y) / 0.5) / 50
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_parameters_take_the_precision_of_the_data_counts_stay():
    bound = bind(LogCosh(0.5, 2), np.dtype(np.float32))
    assert type(bound.width) is np.float32
    assert bound.terms == 2
    assert type(bound.terms) is int


def test_methods_compiled_by_numba_are_taken():
    class Jitted(NamedTuple):
        value = numba.njit(lambda self, r: 2 * r)
        grad = numba.njit(lambda self, r: 2.0)
        hess = numba.njit(lambda self, r: 0.0)

    assert fl.Loss(Jitted(), "sum")([1.0, 2.0], [0.0, 0.0]) == 6.0


def test_the_same_class_made_anew_runs_its_new_code():
    """As a notebook does when a cell is edited and run again."""
    source = """
class Scaled(NamedTuple):
    def value(self, r): return FACTOR * abs(r)
    def grad(self, r): return FACTOR * r
    def hess(self, r): return 0.0
"""
    for factor in (2.0, 3.0):
        cell = {"NamedTuple": NamedTuple, "__name__": "__main__"}
        exec(source.replace("FACTOR", str(factor)), cell)
        assert fl.Loss(cell["Scaled"](), "sum")([1.0], [0.0]) == factor


FACTOR = 2.0


@numba.njit
def helper(r):
    return FACTOR * r


class UsesGlobals(NamedTuple):
    def value(self, r):
        return helper(abs(r))

    def grad(self, r):
        return helper(r)

    def hess(self, r):
        return FACTOR


def test_a_changed_constant_or_helper_or_method_is_seen(monkeypatch):
    loss = fl.Loss(UsesGlobals(), "sum")
    assert loss([5.0], [0.0]) == 10.0
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert loss([5.0], [0.0]) == 15.0
    monkeypatch.setattr(sys.modules[__name__], "helper", numba.njit(lambda r: 7.0 * r))
    assert loss([5.0], [0.0]) == 35.0
    monkeypatch.setattr(UsesGlobals, "value", lambda self, r: 11.0 * r)
    assert loss([5.0], [0.0]) == 55.0


def test_code_replaced_inside_a_function_is_seen():
    """As IPython's autoreload does."""

    class Reloaded(NamedTuple):
        def value(self, r):
            return 2.0 * abs(r)

        grad = hess = value

    loss = fl.Loss(Reloaded(), "sum")
    assert loss([5.0], [0.0]) == 10.0
    Reloaded.value.__code__ = (lambda self, r: 3.0 * abs(r)).__code__
    assert loss([5.0], [0.0]) == 15.0


def test_what_a_formula_closes_over_is_seen():
    factor = 2.0

    class Enclosing(NamedTuple):
        def value(self, r):
            return factor * abs(r)

        grad = hess = value

    loss = fl.Loss(Enclosing(), "sum")
    assert loss([5.0], [0.0]) == 10.0
    factor = 3.0
    assert loss([5.0], [0.0]) == 15.0


def test_what_a_function_within_a_method_reads_is_seen(monkeypatch):
    class Nested(NamedTuple):
        def value(self, r):
            def scaled(r):
                return FACTOR * abs(r)

            return scaled(r)

        grad = hess = value

    loss = fl.Loss(Nested(), "sum")
    assert loss([5.0], [0.0]) == 10.0
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert loss([5.0], [0.0]) == 15.0


def test_a_reloaded_module_runs_its_new_code(tmp_path, monkeypatch):
    source = """
from typing import NamedTuple
class Mine(NamedTuple):
    def value(self, r): return {} * abs(r)
    grad = hess = value
"""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "own_losses.py"
    path.write_text(source.format(2.0))
    module = importlib.import_module("own_losses")
    assert fl.Loss(module.Mine(), "sum")([5.0], [0.0]) == 10.0
    path.write_text(source.format(30.0))
    importlib.reload(module)
    assert fl.Loss(module.Mine(), "sum")([5.0], [0.0]) == 150.0


def test_unchanged_formulas_are_compiled_once():
    loss = fl.Loss(LogCosh(0.5))
    first = type(bind(loss.formula, np.dtype(np.float64)))
    assert type(bind(LogCosh(0.7), np.dtype(np.float64))) is first


TABLE = np.array([1.0])


def test_an_array_that_a_formula_reads_is_not_stale():
    class Scaled(NamedTuple):
        def value(self, r):
            return TABLE[0] * abs(r)

        def grad(self, r):
            return TABLE[0] * math.copysign(1.0, r)

        def hess(self, r):
            return 0.0

    loss = fl.Loss(Scaled())
    assert loss([1.0], [0.0]) == 1.0
    TABLE[0] = 7.0
    assert loss([1.0], [0.0]) == 7.0

"""Smooth L1 by the threshold's reciprocal, beside the formula that divides."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu.formula import bind
from fastloss.cpu.quick import EXPONENTS, QuickSmoothL1
from fastloss.formulas import SmoothL1
from tests.ulp import residuals

DTYPES = [np.float32, np.float64]
ORDINARY = [1e-9, 0.1, 0.37, 1.0, 1 + 2**-20, 7.7, 1e9]


def ends(dtype):
    exponent = EXPONENTS[np.dtype(dtype).name]
    return 2.0**-exponent, 2.0**exponent


def by_division(r, beta):
    """Give value, gradient and curvature as they are defined."""
    T = r.dtype.type
    a, beta = np.abs(r), T(beta)
    with np.errstate(all="ignore"):
        ratio = np.where(a < beta, r / beta, np.sign(r))
        value = np.where(a < beta, np.abs(ratio) * (a / T(2)), a - beta / T(2))
        return value, ratio, np.where(np.isnan(r), r, np.where(a < beta, 1 / beta, T(0)))


def threshold_cases():
    return [(dtype, beta) for dtype in DTYPES for beta in (*ORDINARY, *ends(dtype))]


@pytest.mark.parametrize(("dtype", "beta"), threshold_cases())
def test_the_numbers_are_those_of_a_division_to_an_ulp(dtype, beta):
    near = dtype(beta) * (1 + np.arange(-300, 300) * np.finfo(dtype).eps)
    r = np.concatenate((residuals(np.dtype(dtype).name), near, -near)).astype(dtype)
    loss, zero = fl.SmoothL1Loss(reduction="none", beta=beta), np.zeros_like(r)
    assert type(bind(loss.formula, np.dtype(dtype))) is QuickSmoothL1
    for found, expected in zip(
        (loss(r, zero), *loss.grad_and_hess(r, zero)), by_division(r, beta), strict=True
    ):
        np.testing.assert_array_max_ulp(found, expected, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_threshold_without_an_ordinary_reciprocal_divides(dtype):
    low, high = ends(dtype)
    for beta in (
        0.0,
        np.nextafter(dtype(low), dtype(0)),
        np.nextafter(dtype(high), dtype(np.inf)),
        np.inf,
    ):
        assert type(bind(SmoothL1(float(beta)), np.dtype(dtype))) is SmoothL1


@pytest.mark.parametrize("r", [-3.0, -0.2, 0.0, 0.3, 1.0])
def test_uncompiled_it_is_the_formula(r):
    for name in ("value", "grad", "hess"):
        found, expected = (getattr(cls(0.37), name)(r) for cls in (QuickSmoothL1, SmoothL1))
        assert found == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_ratio_of_one_at_the_threshold_is_exact(dtype):
    rng = np.random.default_rng(0)
    for beta in np.exp2(rng.uniform(-30, 30, 200)).astype(dtype):
        r = np.array([beta, -beta, 2 * beta, -np.inf], dtype)
        gradient = fl.SmoothL1Loss(reduction="none", beta=float(beta)).grad(r, np.zeros_like(r))
        np.testing.assert_array_equal(gradient, [1, -1, 1, -1])


def test_a_processor_without_fused_multiply_add_divides():
    code = (
        "import numpy as np, fastloss as fl; from fastloss.cpu.formula import _fuses;"
        "print(_fuses());"
        "r = np.linspace(-2, 2, 1001, dtype=np.float32);"
        "g = fl.SmoothL1Loss(reduction='none', beta=0.37).grad(r, np.zeros_like(r));"
        "b = np.float32(0.37);"
        "print((g == np.where(abs(r) < b, r / b, np.sign(r))).all())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CPU_NAME": "generic"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[1] == "True"
    if platform.machine() in ("x86_64", "AMD64"):
        assert result.stdout.split()[0] == "False"

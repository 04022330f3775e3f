"""Losses under SciPy's least squares are what SciPy's own are, and what the loss itself says."""

import pickle

import mpmath
import numpy as np
import pytest
from scipy.optimize import least_squares

import fastloss as fl
from tests.formulas import PseudoHuber, Tilted
from tests.registry import LOSSES

z = np.concatenate([[0.0], np.geomspace(1e-12, 1e12, 61), [1.0]])


def curve():
    t = np.linspace(0, 3, 60)
    y = 2 * np.exp(-t) + 0.01 * np.random.default_rng(0).standard_normal(60)
    y[::7] += 4
    return lambda w: w[0] * np.exp(-w[1] * t) - y


@pytest.mark.parametrize(
    ("loss", "name"), [(fl.HuberLoss(), "huber"), (fl.Loss(PseudoHuber()), "soft_l1")]
)
@pytest.mark.parametrize("f_scale", [1.0, 0.1])
def test_a_fit_is_that_of_scipys_own_loss(loss, name, f_scale):
    ours, theirs = (
        least_squares(curve(), [1.0, 0.5], loss=given, f_scale=f_scale, xtol=1e-12, ftol=1e-12)
        for given in (fl.optimize.rho(loss), name)
    )
    assert ours.cost == pytest.approx(theirs.cost, rel=1e-12)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-7)


def test_huber_has_the_derivatives_of_scipys():
    found = fl.optimize.rho(fl.HuberLoss())(z)
    inside, root = z <= 1, np.sqrt(np.where(z > 0, z, 1))
    np.testing.assert_allclose(found[0], np.where(inside, z, 2 * root - 1), rtol=1e-15)
    np.testing.assert_allclose(found[1], np.where(inside, 1, 1 / root), rtol=1e-15)
    # At the threshold itself SciPy takes the curvature of the inside, torch that of the outside.
    off = z != 1
    expected = np.where(inside, 0, -0.5 / (z * root + (z == 0)))
    np.testing.assert_allclose(found[2][off], expected[off], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
def test_the_cost_is_the_sum_of_the_losses(formula):
    residuals = np.random.default_rng(0).standard_normal(20) * 2
    result = least_squares(
        lambda w: residuals + 0 * w, [0.0], loss=fl.optimize.rho(fl.Loss(formula)), max_nfev=1
    )
    assert result.cost == pytest.approx(fl.Loss(formula, "sum")(residuals, 0.0), rel=1e-14)


def test_derivatives_are_those_of_the_value():
    rho = fl.optimize.rho(fl.Loss(PseudoHuber()))
    for square in (0.3, 1.0, 7.0, 1e3):
        exact = mpmath.taylor(lambda s: 2 * (mpmath.sqrt(1 + s) - 1), square, 2)
        expected = [float(exact[0]), float(exact[1]), 2 * float(exact[2])]
        np.testing.assert_allclose(rho([square])[:, 0], expected, rtol=1e-12)


def test_each_answer_is_a_new_array_of_float64():
    rho = fl.optimize.rho(fl.L1Loss())
    given = np.array([0.0, 4.0], np.float32)
    first, second = rho(given), rho(given)
    assert first.shape == (3, 2)
    assert first.dtype == np.float64
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, [[0, 4], [0, 0.5], [0, -0.0625]])
    np.testing.assert_array_equal(given, [0, 4])


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        ("huber", TypeError, "loss must be a fastloss.Loss, got 'huber'"),
        (fl.Loss(Tilted()), ValueError, "loss must be symmetric"),
        (fl.HuberLoss(delta="auto"), ValueError, "has no threshold yet"),
    ],
)
def test_what_is_no_function_of_the_square_is_refused(loss, error, words):
    with pytest.raises(error, match=words):
        fl.optimize.rho(loss)


def test_a_negative_square_is_refused():
    with pytest.raises(ValueError, match="z must not be negative, got -1"):
        fl.optimize.rho(fl.MSELoss())([1.0, -1.0])


def test_rho_of_one_number_is_that_of_an_array_of_it():
    rho = fl.optimize.rho(fl.SmoothL1Loss(beta=0.5))
    for z in (0.0, 0.1, 4.0, 5e-324, 1e308):
        assert rho(z).tolist() == rho([z])[:, 0].tolist()


def test_it_can_be_sent_to_another_process():
    there = pickle.loads(pickle.dumps(fl.optimize.rho(fl.HuberLoss(delta=0.5))))
    z = np.array([0.0, 0.1, 4.0])
    np.testing.assert_array_equal(there(z), fl.optimize.rho(fl.HuberLoss(delta=0.5))(z))

"""From point to point of a fit: what curvature is multiplied out, and its digits."""

import numpy as np
import pytest

import fastloss as fl
from fastloss.curvature import own
from fastloss.fitting.point import Point, at
from tests.formulas import Cauchy

MEANS = np.zeros(2)
STEPWISE = [fl.SmoothL1Loss(beta=0.8), fl.HuberLoss(delta=0.8)]


def problem(loss, first=1.0):
    """Give an objective, and where its first row, of that size, is met and where it is not."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    X[0] = first
    y = X @ [1.0, 2.0] + rng.standard_normal(400)
    met, unmet = np.array([1.0, 2.0]), np.array([1.1, 2.2])
    y[0] = X[0] @ met
    return fl.LinearObjective(X, y, loss), met, unmet


def from_to(objective, first, second):
    here = Point(first, *objective.quadratic(first, own, MEANS))
    return at(objective, second, here, MEANS).gram


@pytest.mark.parametrize("loss", STEPWISE, ids=repr)
def test_curvature_keeps_its_digits_where_a_row_far_off_leaves(loss):
    objective, met, unmet = problem(loss, first=1e9)
    found, expected = from_to(objective, met, unmet), objective.gram(unmet, own, MEANS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", [*STEPWISE, fl.Loss(Cauchy())], ids=repr)
def test_only_rows_whose_curvature_changes_are_multiplied_out(loss, monkeypatch):
    objective, met, unmet = problem(loss)
    expected = objective.gram(unmet, own, MEANS)
    quadratic, known = type(objective).quadratic, []

    def spy(*arguments):
        known.append(arguments[4:])
        return quadratic(*arguments)

    monkeypatch.setattr(type(objective), "quadratic", spy)
    np.testing.assert_allclose(from_to(objective, met, unmet), expected, rtol=1e-12)
    assert [len(some) for some in known] == [0, loss in STEPWISE]

"""X'DX in the gradient's pass, against NumPy: whole, and as what differs from others."""

import numpy as np
import pytest

import fastloss as fl
from fastloss.curvature import own
from tests.registry import ONE_OF_EACH, cases

N, P = 700, 11
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "slices": lambda X: X.repeat(2, 1)[:, ::2],
}


def problem(formula, dtype, weighted, layout="C"):
    rng = np.random.default_rng(0)
    X = LAYOUTS[layout](rng.standard_normal((N, P)).astype(dtype))
    y = X.sum(axis=1) + rng.standard_t(2, N)
    weight = rng.uniform(0.0, 2.0, N) if weighted else None
    loss = fl.Loss(formula)
    objective = fl.LinearObjective(X, y, loss, weight=weight, fit_intercept=True)
    return objective, rng.uniform(0.5, 1.5, (2, P + 1)), rng.standard_normal(P)


def derivatives(objective, w):
    """Each row's share of the mean's gradient and curvature."""
    X = np.column_stack((objective.model.X, np.ones(N)))
    loss = fl.Loss(objective.loss.formula, "none")
    weight = np.ones(N) if objective.model.weight is None else objective.model.weight
    found = loss.grad_and_hess(X @ w, np.asarray(objective.model.y, np.float64))
    return X, *(part * weight / weight.sum() for part in found)


@pytest.mark.parametrize(
    ("formula", "layout", "dtype", "weighted"),
    cases(
        ONE_OF_EACH,
        LAYOUTS,
        [np.float32, np.float64],
        [False, True],
        slow=lambda formula, layout, dtype, weighted: (
            formula is not ONE_OF_EACH[0] and (layout != "C" or weighted)
        ),
    ),
    ids=str,
)
def test_what_differs_from_other_coefficients_is_added(formula, layout, dtype, weighted):
    objective, (w, other), means = problem(formula, dtype, weighted, layout)
    known = np.arange((P + 1.0) ** 2).reshape(P + 1, P + 1)
    value, gradient, gram = objective.quadratic(w, own, means, (other, known))
    whole = objective.quadratic(w, own, means)
    assert value == whole[0]
    assert np.array_equal(gradient, whole[1])
    X, _, here = derivatives(objective, w)
    there = derivatives(objective, other)[2]
    X[:, :P] -= means
    expected = known + X.T @ ((here - there)[:, None] * X)
    np.testing.assert_allclose(gram, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(whole[2], X.T @ (here[:, None] * X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
def test_a_gradient_at_other_coefficients_comes_in_the_same_pass(formula, weighted):
    objective, (w, other), means = problem(formula, np.float64, weighted)
    *found, beside = objective.quadratic_and_gradient(w, own, means, other)
    for part, alone in zip(found, objective.quadratic(w, own, means), strict=True):
        assert np.array_equal(part, alone)
    X, slope, _ = derivatives(objective, other)
    np.testing.assert_allclose(beside, X.T @ slope, rtol=1e-12, atol=1e-15)

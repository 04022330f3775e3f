"""Models of the caller's own, and losses in SciPy's form, of any arguments, beside NumPy."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import fastloss as fl
from tests import reference
from tests.fuzz import arrays
from tests.fuzz.outcome import Unchanged, attempt
from tests.registry import LOSSES

DTYPES = ("f8", "f4", ">f8", "i8", "f2")
NAMES = ("predict", "vjp", "target", "loss", "weight", "w", "z")


class Case(NamedTuple):
    """A model that is linear in its three parameters."""

    loss: Any
    basis: Any
    target: Any
    weight: Any
    w: Any
    wrong: tuple[str, ...]


@st.composite
def cases(draw):
    shape = draw(st.sampled_from([shape for shape in arrays.SHAPES if 0 not in shape]))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    given = {
        "loss": fl.Loss(draw(st.sampled_from(LOSSES)), draw(st.sampled_from(["mean", "sum"]))),
        "target": draw(arrays.right(shape, DTYPES, special=False)),
        "weight": None,
        "w": draw(arrays.right((3,), DTYPES, special=False)),
    }
    if draw(st.booleans()):
        weight = draw(arrays.right(draw(st.sampled_from([shape, ()])), DTYPES, special=False))
        given["weight"] = np.abs(np.asarray(weight, np.float64)) + 0.1
    wrong = ()
    if draw(st.integers(0, 3)) == 0:
        (name,) = wrong = (draw(st.sampled_from(sorted(given))),)
        if name == "loss":
            given[name] = draw(st.sampled_from(["mean", None, fl.L1Loss(reduction="none")]))
        else:
            given[name] = draw(arrays.wrong((3,) if name == "w" else shape))
            wrong = () if name == "weight" and given[name] is None else wrong
    return Case(basis=random.standard_normal((*shape, 3)), wrong=wrong, **given)


def check(case):
    """Evaluate the objective, and the loss as a function of the square."""
    unchanged = Unchanged(case.target, case.weight, case.w)

    def evaluate():
        objective = fl.optimize.ResidualObjective(
            lambda w: case.basis @ w,
            lambda w, u: np.tensordot(u, case.basis, u.ndim),
            case.target,
            case.loss,
            weight=case.weight,
        )
        return objective(case.w)

    result = attempt(evaluate, not case.wrong, case.wrong or NAMES)
    unchanged.check()
    if result is not None and not case.wrong:
        _compare(case, *result)
        _compare_squares(case)
        unchanged.check()


def _compare(case, value, gradient):
    w, target = np.asarray(case.w, np.float64), np.asarray(case.target, np.float64)
    weight = np.ones(target.shape) if case.weight is None else case.weight
    weight = np.broadcast_to(weight, target.shape)
    residuals = case.basis @ w - target
    losses, slopes, _ = reference.quick(case.loss.formula, residuals)
    divisor = weight.sum() if case.loss.reduction == "mean" else 1.0
    limit = 1e-12 * (1 + np.abs(residuals).max()) ** 2
    np.testing.assert_allclose(value, (weight * losses).sum() / divisor, 1e-12, limit)
    expected = np.tensordot(weight * slopes / divisor, case.basis, target.ndim)
    np.testing.assert_allclose(gradient, expected, 1e-12, limit * weight.sum())


def _compare_squares(case):
    z = np.abs(np.asarray(case.target, np.float64))
    found = fl.optimize.rho(case.loss)(z)
    residuals = np.sqrt(z)
    value, grad, hess = reference.quick(case.loss.formula, residuals)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(z == 0, hess, grad / residuals)
        second = np.where(z == 0, 0.0, (hess - first) / (2 * z))
    assert found.shape == (3, *z.shape)
    np.testing.assert_allclose(found, np.stack([2 * value, first, second]), 1e-12, 1e-12)

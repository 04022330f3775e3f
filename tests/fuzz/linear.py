"""Linear models of any arguments, beside float64 in NumPy."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

import fastloss as fl
from fastloss.formulas import SmoothL1, SquaredError
from tests import reference
from tests.fuzz import arrays
from tests.fuzz.outcome import Unchanged, attempt

# Each takes half a minute to compile for all kinds of X.
FORMULAS = [SmoothL1(0.7), SquaredError()]
ROWS, COLUMNS = [1, 2, 5, 40], [1, 3, 9]
WRONG_OPTIONS = {
    "l2": ["1", -1.0, np.nan, np.inf, [1.0], 1j],
    "fit_intercept": ["yes", 2, None, np.ones(2)],
    "device": ["gpu", 3],
    "memory_limit": [-1, "1", 0.5, np.nan],
}
NAMES = (
    "X",
    "y",
    "weight",
    "w",
    "l2",
    "fit_intercept",
    "device",
    "memory_limit",
    "loss",
    "tol",
    "max_iter",
)


class Case(NamedTuple):
    """An objective and where it is evaluated."""

    formula: Any
    X: Any
    y: Any
    weight: Any
    options: dict[str, Any]
    w: Any
    wrong: tuple[str, ...]


@st.composite
def cases(draw):
    n, p = draw(st.sampled_from(ROWS)), draw(st.sampled_from(COLUMNS))
    dtypes = ("f8", "f4", ">f8", "i8", "f2")
    X = draw(arrays.right((n, p), dtypes, special=False))
    if draw(st.integers(0, 5)) == 0:
        X = draw(st.sampled_from([sparse.csr_array, sparse.csc_matrix, sparse.coo_array]))(
            np.asarray(X, np.float64) * (np.arange(n * p).reshape(n, p) % 3 == 0)
        )
    given = {"X": X, "y": draw(arrays.right((n,), dtypes, special=False)), "weight": None}
    if draw(st.integers(0, 3)) == 0:
        given["weight"] = np.abs(draw(arrays.right((n,), ("f8", "f4"), special=False))) + 0.1
    options = {"l2": draw(st.sampled_from([0.0, 0.5, 2])), "fit_intercept": draw(st.booleans())}
    given["w"] = draw(arrays.right((p + options["fit_intercept"],), ("f8", "f4"), special=False))
    wrong = []
    if draw(st.integers(0, 2)) == 0:
        wrong.append(draw(st.sampled_from([*sorted(given), *WRONG_OPTIONS])))
        (name,) = wrong
        if name in WRONG_OPTIONS:
            options[name] = draw(st.sampled_from(WRONG_OPTIONS[name]))
        elif draw(st.booleans()):
            given[name] = np.ones(draw(st.sampled_from([(), (n + 50,), (n, p, 2), (n + 50, p)])))
            if name == "weight" and given[name].ndim == 0:
                given[name] = np.ones(n + 50)
        else:
            given[name] = draw(arrays.wrong((n, p) if name == "X" else (n,)))
            if name == "weight" and given[name] is None:
                wrong = []
    formula = draw(st.sampled_from(FORMULAS))
    return Case(formula, options=options, wrong=tuple(wrong), **given)


def check(case):
    """Evaluate the objective, then fit the model."""
    loss = fl.Loss(case.formula, "sum")
    unchanged = Unchanged(case.X, case.y, case.weight, case.w)

    def evaluate():
        objective = fl.LinearObjective(case.X, case.y, loss, weight=case.weight, **case.options)
        return {
            "value": [objective.value(case.w)],
            "residuals": [objective.residuals(case.w)],
            "grad": [objective.grad(case.w), objective(case.w)[1]],
            "hess": [objective.hess(case.w), objective.value_grad_hess(case.w)[2]],
            "hessp": [objective.hessp(case.w, case.w)],
        }

    result = attempt(evaluate, not case.wrong, case.wrong or NAMES)
    unchanged.check()
    if result is not None and not case.wrong:
        _compare(case, result)
        attempt(
            lambda: fl.fit(case.X, case.y, loss, weight=case.weight, **case.options, max_iter=5),
            True,
            NAMES,
        )
        unchanged.check()


def _compare(case, result):
    X = case.X.toarray() if sparse.issparse(case.X) else np.asarray(case.X)
    X, y, w = (np.asarray(a, np.float64) for a in (X, case.y, case.w))
    if case.options["fit_intercept"]:
        X = np.column_stack((X, np.ones(len(X))))
    penalised = np.arange(w.size) < w.size - case.options["fit_intercept"]
    weight = 1.0 if case.weight is None else np.asarray(case.weight, np.float64)
    l2 = case.options["l2"] * penalised
    residuals = X @ w - y
    value, grad, hess = reference.quick(case.formula, residuals)
    hessian = (X.T * (weight * hess)) @ X + np.diag(l2)
    expected = {
        "value": (weight * value).sum() + l2 / 2 @ w**2,
        "residuals": residuals,
        "grad": X.T @ (weight * grad) + l2 * w,
        "hess": hessian,
        "hessp": hessian @ w,
    }
    # Curvature jumps and gradients bend at the threshold, where rounding decides.
    near = np.abs(np.abs(residuals) - 0.7).min() < 1e-6 or np.abs(residuals).min() < 1e-6
    atol = 1e-9 * (1 + np.abs(X).max()) ** 2
    for name in ("value", "residuals") if near else expected:
        for found in result[name]:
            np.testing.assert_allclose(found, expected[name], 1e-9, atol, err_msg=name)

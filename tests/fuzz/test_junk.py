"""Any object for any one argument of any public function is answered, or refused by its name."""

import warnings
from importlib.util import find_spec

import numpy as np
import pytest

import fastloss as fl
from fastloss.formulas import Huber
from tests.fuzz.outcome import REFUSALS, Unchanged

X, y, w = np.arange(24.0).reshape(12, 2) % 7, np.arange(12.0) % 5, np.ones(2)
JUNK = {
    "None": None,
    "True": True,
    "-1": -1,
    "2**70": 2**70,
    "0.5": 0.5,
    "nan": np.nan,
    "1j": 1j,
    "text": "text",
    "nul": "\0",
    "bytes": b"mean",
    "[]": [],
    "list of text": ["a", "b"],
    "ragged": [[1.0], [1.0, 2.0]],
    "dict": {},
    "set": {1},
    "object": object(),
    "class": int,
    "function": print,
    "array of objects": np.array([None, "a"], object),
    "dates": np.zeros(12, "M8[s]"),
    "records": np.zeros(12, "f8,i4"),
    "many axes": np.zeros((1,) * 12),
    "matrix": np.ones((3, 5)),
    "loss": fl.L1Loss(),
    "formula": Huber(),
    "formula's class": Huber,
}


# What is called with arguments of fastloss's own says itself what is wrong with them.
CALLBACKS = ("predict", "vjp", "callback", "progress")


class Raises:
    """An object that fails whatever it is asked for, as a broken proxy does."""

    def __getattr__(self, name):
        raise RuntimeError("broken")


def of_losses():
    pair = {"input": y, "target": y[::-1], "weight": y + 1}
    for function in (fl.smooth_l1_loss, fl.huber_loss, fl.l1_loss, fl.mse_loss):
        yield function.__name__, function, {**pair, "reduction": "sum", "out": None}
    yield "smooth_l1_loss, beta", fl.smooth_l1_loss, {"input": y, "target": y, "beta": 1.0}
    yield "huber_loss, delta", fl.huber_loss, {"input": y, "target": y, "delta": 1.0}
    yield "SmoothL1Loss", fl.SmoothL1Loss, {"reduction": "mean", "beta": 1.0}
    yield "HuberLoss", fl.HuberLoss, {"reduction": "mean", "delta": 1.0}
    yield "Loss", fl.Loss, {"formula": Huber(), "reduction": "mean"}
    loss = fl.SmoothL1Loss()
    for method in (loss, loss.grad, loss.value_and_grad, loss.grad_and_hess):
        name = getattr(method, "__name__", "call")
        yield f"loss, {name}", method, {**pair, "out": None}


def of_models():
    options = {"weight": y + 1, "l2": 0.5, "fit_intercept": True, "device": None}
    given = {"X": X, "y": y, "loss": fl.SmoothL1Loss(), **options}
    yield "LinearObjective", fl.LinearObjective, {**given, "memory_limit": 10**9}
    settings = {"method": "auto", "tol": 1e-8, "max_iter": 5, "callback": None, "progress": False}
    yield "fit", fl.fit, {**given, **settings, "memory_limit": 10**9}
    objective = fl.LinearObjective(X, y)
    yield "LinearObjective, call", objective, {"w": w}
    for name in ("value", "grad", "hess", "value_grad_hess", "residuals"):
        yield f"LinearObjective, {name}", getattr(objective, name), {"w": w}
    yield "LinearObjective, hessp", objective.hessp, {"w": w, "v": w}
    model = {"predict": lambda w: X @ w, "vjp": lambda w, v: X.T @ v, "target": y}
    yield (
        "ResidualObjective",
        fl.optimize.ResidualObjective,
        {**model, "loss": fl.SmoothL1Loss(), "weight": y + 1},
    )
    residuals = fl.optimize.ResidualObjective(**model, loss=fl.SmoothL1Loss())
    yield "ResidualObjective, call", residuals, {"w": w}
    yield "rho", fl.optimize.rho, {"loss": fl.SmoothL1Loss(reduction="none")}
    yield "rho's result", fl.optimize.rho(fl.SmoothL1Loss(reduction="none")), {"z": y}


def of_settings():
    yield "set_num_threads", fl.set_num_threads, {"count": 2}
    yield "threads", fl.threads, {"count": 2}
    yield (
        "warmup",
        fl.warmup,
        {"losses": [], "dtypes": [], "methods": [], "progress": None},
    )


def of_estimators():
    if not find_spec("sklearn"):
        return
    from fastloss.sklearn import SmoothL1Regressor

    # Arrays are scikit-learn's to check, in its words: see test_sklearn.py.
    def fitted(**parameters):
        SmoothL1Regressor(**parameters).fit(X, y)

    parameters = {"beta": 1.0, "alpha": 0.5, "fit_intercept": True, "max_iter": 200, "tol": 1e-8}
    yield "SmoothL1Regressor", fitted, parameters


def of_torch():
    if not find_spec("torch"):
        return
    import torch

    from fastloss import torch as losses

    pair = {"input": torch.from_numpy(y), "target": torch.from_numpy(y[::-1].copy())}
    for name in ("smooth_l1_loss", "huber_loss", "l1_loss", "mse_loss"):
        options = {"reduction": "sum", "weight": torch.from_numpy(y + 1)}
        options |= {"smooth_l1_loss": {"beta": 1.0}, "huber_loss": {"delta": 1.0}}.get(name, {})
        yield f"torch, {name}", getattr(losses, name), {**pair, **options}


FUNCTIONS = {
    name: (function, given)
    for table in (of_losses, of_models, of_settings, of_estimators, of_torch)
    for name, function, given in table()
}
ARGUMENTS = [(name, argument) for name, (_, given) in FUNCTIONS.items() for argument in given]


def called(function, given):
    """Call it, then use what it gives, as some of it is looked at first then."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = function(**given)
        if function is fl.threads:
            with result:
                pass
        elif function is fl.optimize.ResidualObjective:
            result(w)


@pytest.fixture(autouse=True)
def _as_many_threads_as_before():
    yield
    fl.set_num_threads(2**20)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_arguments_that_are_right_are_answered(name):
    called(*FUNCTIONS[name])


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_any_object_is_answered_or_refused_by_the_arguments_name(name, argument):
    function, given = FUNCTIONS[name]
    faults = []
    for junk, value in {**JUNK, "raises": Raises()}.items():
        if argument in CALLBACKS and callable(value):
            continue
        arrays = Unchanged(*(v for k, v in given.items() if k != argument))
        try:
            called(function, {**given, argument: value})
        except REFUSALS as refusal:
            if argument not in str(refusal):
                faults.append(f"{junk}: {refusal!r}")
        except Exception as error:
            if not (junk == "raises" and "broken" in str(error)):
                faults.append(f"{junk}: {error!r}")
        arrays.check()
    assert not faults, "\n".join(faults)

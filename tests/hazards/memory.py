"""Resident memory over 10,000 calls of each public function."""

import gc
import math
import os
from pathlib import Path

from tests.hazards.outcome import Outcome, Skipped

CALLS = 10_000
WARM_UP = 1000
ALLOWED = 2 * 2**20
STATUS = Path("/proc/self/statm")


def calls():
    """Give a call of each public function, by name: short arrays, since it is how often counts."""
    import numpy as np

    import fastloss as fl
    from fastloss import optimize

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 500))
    wide = np.zeros(1000)[::2]
    many = rng.standard_normal(70_000).astype(np.float32)
    out = np.empty_like(x)
    X, w, v = rng.standard_normal((100, 3)), np.ones(3), np.ones(3)
    target = X.sum(axis=1)
    loss = fl.SmoothL1Loss()
    objective = fl.LinearObjective(X, target, loss)
    residual = optimize.ResidualObjective(lambda w: X @ w, lambda w, u: X.T @ u, target, loss)
    rho = optimize.rho(loss)

    def limited():
        with fl.threads(1):
            return fl.get_num_threads()

    return {
        "smooth_l1_loss": lambda: fl.smooth_l1_loss(x, y),
        "huber_loss": lambda: fl.huber_loss(x, y),
        "l1_loss": lambda: fl.l1_loss(x, y),
        "mse_loss": lambda: fl.mse_loss(x, y),
        "SmoothL1Loss": lambda: fl.SmoothL1Loss(beta=0.5)(x, y),
        "HuberLoss": lambda: fl.HuberLoss(delta=0.5)(x, y),
        "L1Loss": lambda: fl.L1Loss()(x, y),
        "MSELoss": lambda: fl.MSELoss()(x, y),
        "Loss": lambda: fl.Loss(fl.formulas.Huber(2.0), "none")(x, y),
        "a call on strided arrays": lambda: loss(x, wide),
        "a call with weights": lambda: loss(x, y, weight=abs(y)),
        "a call on several threads": lambda: loss.value_and_grad(many, many),
        "a call with out": lambda: loss.grad(x, y, out=out),
        "grad": lambda: loss.grad(x, y),
        "value_and_grad": lambda: loss.value_and_grad(x, y),
        "grad_and_hess": lambda: loss.grad_and_hess(x, y),
        "LinearObjective": lambda: fl.LinearObjective(X, target, loss)(w),
        "LinearObjective's value and gradient": lambda: objective(w),
        "value": lambda: objective.value(w),
        "hessp": lambda: objective.hessp(w, v),
        "hess": lambda: objective.hess(w),
        "value_grad_hess": lambda: objective.value_grad_hess(w),
        "residuals": lambda: objective.residuals(w),
        "ResidualObjective": lambda: residual(w),
        "rho": lambda: rho(x * x),
        "fit": lambda: fl.fit(X, target, loss),
        "set_num_threads": lambda: fl.set_num_threads(2),
        "threads, get_num_threads": limited,
        "warmup": lambda: fl.warmup([loss], dtypes=["float64"], methods=["value"], large=False),
        "a refused call": lambda: refused(loss, x, y),
    }


def refused(loss, x, y):
    try:
        loss(x, y[:7])
    except ValueError:
        return
    raise AssertionError("arrays of different lengths were taken")


def resident():
    gc.collect()
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def flat(_):
    if not STATUS.exists():
        raise Skipped("the system does not tell a process's resident memory in /proc")
    outcome, most = Outcome(), -math.inf
    for name, call in calls().items():
        for _ in range(WARM_UP):
            call()
        before = resident()
        for _ in range(CALLS):
            call()
        more = resident() - before
        most = max(most, more)
        if more > ALLOWED:
            outcome.notes.append(f"{name} left {more:,} bytes")
        outcome.plus(Outcome(right=more <= ALLOWED, wrong=more > ALLOWED))
    outcome.notes.append(f"most bytes more: {most:,}")
    return outcome

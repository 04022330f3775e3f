"""Whole fits of one robust linear model: each competitor once, as a user would write it.

All minimise Huber's loss with the threshold ``delta`` and an intercept, without a penalty.
"""

import warnings
from collections.abc import Callable

import numpy as np

import fastloss as fl

# What scikit-learn's HuberRegressor multiplies its own estimate of scale by.
EPSILON = 1.345

Fit = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def outlying_data(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Give X and y, a tenth of whose rows are far off."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) + 1 + rng.standard_normal(n)
    y[::10] += rng.choice([-1, 1], len(y[::10])) * rng.uniform(20, 100, len(y[::10]))
    return X, y


def fastloss_fit(X, y, delta):
    return fl.fit(X, y, fl.HuberLoss(delta=delta)).x


def scipy_lbfgs(X, y, delta):
    from scipy.optimize import minimize

    X = np.column_stack((X, np.ones(len(y))))

    def objective(w):
        r = X @ w - y
        a = np.abs(r)
        values = np.where(a <= delta, 0.5 * r * r, delta * (a - 0.5 * delta))
        return values.mean(), X.T @ np.clip(r, -delta, delta) / len(y)

    start = np.zeros(X.shape[1])
    options = {"ftol": 1e-14, "gtol": 1e-8}
    return minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x


def huber_regressor(X, y, delta):
    """Estimate a scale too: ``delta`` is EPSILON times that, see :func:`delta_of`."""
    return np.append(*_huber_regressor(X, y))


def delta_of(X, y):
    """Give the threshold that HuberRegressor finds, so that its optimum is the others'."""
    return EPSILON * _huber_regressor(X, y, scale=True)


def _huber_regressor(X, y, scale=False):
    from sklearn.linear_model import HuberRegressor

    model = HuberRegressor(epsilon=EPSILON, alpha=0.0, tol=1e-7, max_iter=1000).fit(X, y)
    return model.scale_ if scale else (model.coef_, model.intercept_)


def statsmodels_rlm(X, y, delta):
    import statsmodels.api as sm

    design = sm.add_constant(X, prepend=False)
    # It divides residuals by a scale of its own, from least squares, which is kept.
    residuals = y - design @ np.linalg.lstsq(design, y)[0]
    scale = sm.robust.scale.mad(residuals, center=0)
    model = sm.RLM(y, design, M=sm.robust.norms.HuberT(t=delta / scale))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(update_scale=False, tol=1e-10, maxiter=200).params


def torch_lbfgs(X, y, delta):
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y)
    w = torch.zeros(X.shape[1] + 1, dtype=X.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [w], max_iter=200, tolerance_grad=1e-8, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        value = torch.nn.functional.huber_loss(X @ w[:-1] + w[-1], y, delta=delta)
        value.backward()
        return value

    solver.step(closure)
    return w.detach().numpy()


FITS: dict[str, tuple[str, Fit]] = {
    "fastloss": ("fastloss", fastloss_fit),
    "SciPy L-BFGS-B on NumPy": ("scipy", scipy_lbfgs),
    "torch LBFGS": ("torch", torch_lbfgs),
    "HuberRegressor": ("sklearn", huber_regressor),
    "statsmodels RLM": ("statsmodels", statsmodels_rlm),
}

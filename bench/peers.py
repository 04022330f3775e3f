"""What fastloss is compared with: each competitor once, as a user would write it.

An implementation is prepared on given arrays and gives a call without arguments, so that what is
timed is the computation alone: output arrays exist before, tensors share NumPy's memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

import fastloss as fl

try:
    import torch
except ImportError:
    torch = None

BETA = 1.0
KINDS = ("mean", "none", "grad", "value_and_grad")
# Arrays that have to be moved, each once: two inputs and, but for the mean, one output.
STREAMS = {"mean": 2, "none": 3, "grad": 3, "value_and_grad": 3}

Call = Callable[[], Any]


@dataclass(frozen=True)
class Peer:
    """An implementation of the losses of a kind, and of the linear objective."""

    name: str
    elementwise: dict[str, Callable[[np.ndarray, np.ndarray], Call]]
    linear: Callable[[np.ndarray, np.ndarray, np.ndarray], Call]


# fastloss: with an output array wherever there is one to give.


def _fastloss_mean(x, y):
    loss = fl.SmoothL1Loss(beta=BETA)
    return lambda: loss(x, y)


def _fastloss_none(x, y):
    loss, out = fl.SmoothL1Loss(reduction="none", beta=BETA), np.ones_like(x)
    return lambda: loss(x, y, out=out)


def _fastloss_grad(x, y):
    loss, out = fl.SmoothL1Loss(beta=BETA), np.ones_like(x)
    return lambda: loss.grad(x, y, out=out)


def _fastloss_value_and_grad(x, y):
    loss, out = fl.SmoothL1Loss(beta=BETA), np.ones_like(x)
    return lambda: loss.value_and_grad(x, y, out=out)


def _fastloss_linear(X, y, w):
    objective = fl.LinearObjective(X, y, fl.SmoothL1Loss(beta=BETA))
    return lambda: objective(w)


# NumPy: the expressions that people write.


def _values(r, a):
    return np.where(a < BETA, 0.5 * r**2 / BETA, a - 0.5 * BETA)


def _slopes(r, a):
    return np.where(a < BETA, r / BETA, np.sign(r)) / r.size


def _numpy_mean(x, y):
    def call():
        r = x - y
        return _values(r, np.abs(r)).mean()

    return call


def _numpy_none(x, y):
    def call():
        r = x - y
        return _values(r, np.abs(r))

    return call


def _numpy_grad(x, y):
    def call():
        r = x - y
        return _slopes(r, np.abs(r))

    return call


def _numpy_value_and_grad(x, y):
    def call():
        r = x - y
        a = np.abs(r)
        return _values(r, a).mean(), _slopes(r, a)

    return call


def _numpy_linear(X, y, w):
    w = w.astype(X.dtype)  # mixed precisions would copy X at each product

    def call():
        r = X @ w - y
        a = np.abs(r)
        return _values(r, a).mean(), X.T @ _slopes(r, a)

    return call


# torch: eager mode, its gradient by autograd, which needs the forward pass in any case.


def _torch_forward(reduction):
    def prepare(x, y):
        x, y = torch.from_numpy(x), torch.from_numpy(y)

        def call():
            with torch.no_grad():
                value = torch.nn.functional.smooth_l1_loss(x, y, reduction=reduction, beta=BETA)
            return value.numpy()

        return call

    return prepare


def _torch_value_and_grad(x, y):
    leaf, y = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)

    def call():
        leaf.grad = None
        value = torch.nn.functional.smooth_l1_loss(leaf, y, beta=BETA)
        value.backward()
        return value.item(), leaf.grad.numpy()

    return call


def _torch_grad(x, y):
    both = _torch_value_and_grad(x, y)
    return lambda: both()[1]


def _torch_linear(X, y, w):
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    leaf = torch.tensor(w, dtype=X.dtype, requires_grad=True)

    def call():
        leaf.grad = None
        value = torch.nn.functional.smooth_l1_loss(X @ leaf, y, beta=BETA)
        value.backward()
        return value.item(), leaf.grad.numpy()

    return call


def _peers() -> tuple[Peer, ...]:
    found = [
        Peer(
            "fastloss",
            {
                "mean": _fastloss_mean,
                "none": _fastloss_none,
                "grad": _fastloss_grad,
                "value_and_grad": _fastloss_value_and_grad,
            },
            _fastloss_linear,
        ),
        Peer(
            "numpy",
            {
                "mean": _numpy_mean,
                "none": _numpy_none,
                "grad": _numpy_grad,
                "value_and_grad": _numpy_value_and_grad,
            },
            _numpy_linear,
        ),
    ]
    if torch is not None:
        torch.set_num_threads(numba.get_num_threads())
        kinds = {
            "mean": _torch_forward("mean"),
            "none": _torch_forward("none"),
            "grad": _torch_grad,
            "value_and_grad": _torch_value_and_grad,
        }
        found.append(Peer("torch", kinds, _torch_linear))
    return tuple(found)


PEERS = _peers()
FASTLOSS = PEERS[0]


def elementwise_data(n: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give input and target whose residuals lie on both sides of the threshold."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(n, dtype), rng.standard_normal(n, dtype)


def linear_data(n: int, p: int, dtype: Any, order: str) -> tuple[np.ndarray, ...]:
    """Give X, y and coefficients at which residuals lie on both sides of the threshold."""
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((n, p), dtype), order=order)
    truth = rng.standard_normal(p) / np.sqrt(p)
    y = (X @ truth.astype(dtype) + rng.standard_normal(n, dtype)).astype(dtype)
    return X, y, np.zeros(p)


def agree(what: str, ours: Any, theirs: Any, dtype: Any) -> None:
    """Raise AssertionError unless two results are equal to rounding in this precision.

    Elements may differ by a few roundings of their own. A sum of n terms (a mean, a product with
    X) carries its peer's own error, which grows with n, and is compared at a thousand roundings.
    """
    eps = float(np.finfo(dtype).eps)
    if what in ("value_and_grad", "linear"):
        agree("mean", ours[0], theirs[0], dtype)
        agree("grad" if what == "value_and_grad" else "mean", ours[1], theirs[1], dtype)
        return
    ours, theirs = np.ravel(ours), np.ravel(theirs)
    assert ours.size == theirs.size, f"{what}: {ours.size} and {theirs.size} elements"
    if what == "mean":
        limit = 1000 * eps * float(np.abs(ours).max())
        error = float(np.abs(ours - theirs).max())
        assert error <= limit, f"{what}: differs by {error:.2g}, more than {limit:.2g}"
        return
    piece = 1 << 18  # temporaries of this size stay in the cache
    for low in range(0, ours.size, piece):
        a, b = ours[low : low + piece], theirs[low : low + piece]
        wrong = ~(np.abs(a - b) <= 8 * eps * np.abs(a))  # also where one of them is NaN
        i = int(wrong.argmax())
        assert not wrong[i], f"{what}: element {low + i} is {a[i]!r} and {b[i]!r}"

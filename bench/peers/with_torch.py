"""torch: eager mode, its gradient by autograd, which needs the forward pass in any case."""

import numba
import torch

from peers.problem import BETA, Peer

torch.set_num_threads(numba.get_num_threads())


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


PEER = Peer(
    "torch",
    {
        "mean": _torch_forward("mean"),
        "none": _torch_forward("none"),
        "grad": _torch_grad,
        "value_and_grad": _torch_value_and_grad,
    },
    _torch_linear,
    torch.__version__,
)

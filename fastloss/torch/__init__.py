"""The losses for PyTorch: modules and functions with autograd, on the kernels of fastloss.

Names, arguments and results are those of ``torch.nn`` and ``torch.nn.functional``. Where a gradient
will be needed, the forward pass computes it together with the value, and the backward pass has
nothing left to do but scale it.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        'fastloss.torch needs PyTorch: pip install "fastloss[torch]"', name="torch"
    ) from error

from fastloss.torch.functional import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from fastloss.torch.losses import HuberLoss, L1Loss, Loss, MSELoss, SmoothL1Loss
from fastloss.torch.memory import release_memory

__all__ = [
    "HuberLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "SmoothL1Loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "release_memory",
    "smooth_l1_loss",
]

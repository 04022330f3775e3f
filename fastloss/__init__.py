"""Robust regression losses over large arrays at the speed of memory."""

from fastloss import formulas
from fastloss.functional import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from fastloss.loss import Loss
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from fastloss.optimize import LinearObjective
from fastloss.parallelism import get_num_threads, set_num_threads, threads
from fastloss.regression import ConvergenceWarning, fit
from fastloss.warming import warmup

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning",
    "HuberLoss",
    "L1Loss",
    "LinearObjective",
    "Loss",
    "MSELoss",
    "SmoothL1Loss",
    "__version__",
    "fit",
    "formulas",
    "get_num_threads",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "set_num_threads",
    "smooth_l1_loss",
    "threads",
    "warmup",
]

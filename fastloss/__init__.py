"""Robust regression losses over large arrays at the speed of memory."""

from typing import TYPE_CHECKING, Any

from fastloss import formulas
from fastloss.functional import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from fastloss.interrupts import import_whole
from fastloss.loss import Loss
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from fastloss.parallelism import get_num_threads, set_num_threads, threads
from fastloss.warming import warmup

if TYPE_CHECKING:
    from fastloss import optimize as optimize
    from fastloss.optimize import LinearObjective
    from fastloss.regression import ConvergenceWarning, fit

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

# Where what is imported when first asked for comes from: 15 of the 45 ms that all takes.
_LATER = {
    "ConvergenceWarning": "fastloss.regression",
    "LinearObjective": "fastloss.optimize",
    "fit": "fastloss.regression",
    "optimize": "fastloss.optimize",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_whole(_LATER[name])
    found = module if name == "optimize" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})

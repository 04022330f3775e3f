"""What options take, from text to values."""

import argparse
import csv
import io
import re
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from types import MappingProxyType

from fastloss.cli.errors import CommandError
from fastloss.loss import Loss
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss, Threshold
from fastloss.optimize import LEAST_MEMORY

WITH_THRESHOLD: Mapping[str, tuple[str, Callable[[Threshold], Loss]]] = MappingProxyType(
    {
        "smooth_l1": ("beta", lambda beta: SmoothL1Loss(beta=beta)),
        "huber": ("delta", lambda delta: HuberLoss(delta=delta)),
    }
)
WITHOUT_THRESHOLD: Mapping[str, Callable[[], Loss]] = MappingProxyType(
    {"l1": L1Loss, "mse": MSELoss}
)

UNITS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def file(text: str) -> Path:
    """Give the path of a file or folder to read; what never ends, or waits, is none."""
    path = Path(text)
    if not text or (path.exists() and not (path.is_file() or path.is_dir())):
        raise argparse.ArgumentTypeError(f"must name a file or a folder of files, got {text!r}")
    return path


def names(text: str) -> list[str]:
    """Give names that are separated by commas, those with a comma in quotes."""
    return next(csv.reader(io.StringIO(text, newline="")), [])


def threshold(text: str) -> Threshold:
    """Give a threshold, which may be 'auto'."""
    if text == "auto":
        return "auto"
    return _not_negative(text, "a finite number of at least 0, or auto")


def strength(text: str) -> float:
    """Give the strength of a penalty."""
    return _not_negative(text, "a finite number of at least 0")


def size(text: str) -> int:
    """Give bytes from such as ``500MB``, ``2GiB`` or plain digits."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?) ?([kMGT]?)(i?)B?", text)
    # An i without a prefix is no unit.
    found = int(float(match[1]) * (1024 if match[3] else 1000) ** UNITS[match[2]]) if match else 0
    if match is None or (match[3] and not match[2]) or found < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(
            f"must be bytes, at least {shown(LEAST_MEMORY)}, such as 500MB or 2GiB, got {text!r}"
        )
    return found


def shown(count: int) -> str:
    """Give bytes in a unit that is easy to read."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


def loss(name: str, beta: Threshold | None) -> Loss:
    """Give the loss of that name.

    Raises
    ------
    CommandError
        If it has no such threshold.
    """
    if name in WITHOUT_THRESHOLD:
        if beta is not None:
            raise CommandError(f"--beta is for {' and '.join(WITH_THRESHOLD)}, not for {name}")
        return WITHOUT_THRESHOLD[name]()
    try:
        return WITH_THRESHOLD[name][1](1.0 if beta is None else beta)
    except ValueError:
        raise CommandError(f"--beta must be above 0 for {name}, got {beta}") from None


def _not_negative(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
    return value

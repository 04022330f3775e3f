"""``fastloss fit``: a robust linear model of one column of a file."""

import argparse
import csv
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

import fastloss
from fastloss.cli import save, tables
from fastloss.cli.errors import INSTALL, CommandError, say
from fastloss.cli.progress import status_line
from fastloss.cli.tables import Data
from fastloss.loss import Loss
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss, Threshold

HELP = "fit a robust linear model to a file"
DESCRIPTION = (
    "Fit a linear model of one column of a file by the others, by a loss that outliers do not "
    "dominate. FILE is CSV with a header, Parquet (or a folder of it), .npy (a 2-D array, whose "
    "columns are 0, 1, ..., or one with field names) or .npz (1-D arrays; a 2-D array K gives K0, "
    "K1, ...)."
)

WITH_THRESHOLD: dict[str, tuple[str, Callable[[Threshold], Loss]]] = {
    "smooth_l1": ("beta", lambda beta: SmoothL1Loss(beta=beta)),
    "huber": ("delta", lambda delta: HuberLoss(delta=delta)),
}
WITHOUT_THRESHOLD: dict[str, Callable[[], Loss]] = {"l1": L1Loss, "mse": MSELoss}

INTERCEPT = "intercept"
# Rows whose residuals are counted at once.
BLOCK = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = parser.add_argument
    add("file", metavar="FILE", type=Path)
    add("--target", metavar="NAME", required=True, help="the column to predict")
    add(
        "--features",
        metavar="A,B,...",
        type=_names,
        help="the columns to predict it from, a name with a comma in quotes; default all others",
    )
    add("--loss", choices=[*WITH_THRESHOLD, *WITHOUT_THRESHOLD], default="smooth_l1")
    add(
        "--beta",
        metavar="NUMBER|auto",
        type=_threshold,
        help="residual from which smooth_l1 and huber grow linearly, in the target's units "
        "(default 1); auto finds it from the residuals' scale",
    )
    add(
        "--l2",
        metavar="NUMBER",
        type=_strength,
        default=0.0,
        help="penalty on squared coefficients (default 0)",
    )
    add("--no-intercept", dest="intercept", action="store_false", help="fit no intercept")
    add(
        "--drop-missing",
        action="store_true",
        help="leave out rows with missing, NaN or infinite values",
    )
    add("--json", action="store_true", help="print one JSON object")
    add("--output", metavar="MODEL.json", type=Path, help="also write that object to a file")


def run(arguments: argparse.Namespace) -> int:
    """Read, fit, report.

    Parameters
    ----------
    arguments : argparse.Namespace
        What :func:`add_arguments` asks for.

    Returns
    -------
    int
        The exit code: 0, or 1 if the fit has not converged.

    Raises
    ------
    CommandError, MemoryError
        If it cannot be done.
    """
    loss = _loss(arguments.loss, arguments.beta)
    if arguments.output is not None:
        save.check_output(arguments.output, arguments.file)
    if not arguments.json and find_spec("rich") is None:
        raise CommandError(f"tables need rich: {INSTALL} (or give --json)")
    with status_line() as show:
        show(f"reading {arguments.file}")
        data = tables.read(
            arguments.file,
            arguments.target,
            arguments.features,
            drop_missing=arguments.drop_missing,
        )
        if arguments.intercept and INTERCEPT in data.features:
            raise CommandError(
                f"a feature is called {INTERCEPT!r}, which is the fitted intercept's name: rename "
                "it or give --no-intercept"
            )
        result, seconds = _fit(data, loss, arguments, show)
        model = _model(data, result, arguments)
    text = _json(model)
    if arguments.output is not None:
        save.write(arguments.output, _json(model, indent=2) + "\n")
    if arguments.json:
        sys.stdout.write(text + "\n")
    else:
        from fastloss.cli.report import show as show_tables

        show_tables(model["coefficients"], _figures(model, seconds, arguments.drop_missing))
    if not result.success:
        sys.stdout.flush()
        say(f"warning: the fit has not converged: {result.message}")
        return 1
    return 0


def _names(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline="")), [])


def _threshold(text: str) -> Threshold:
    if text == "auto":
        return "auto"
    return _not_negative(text, "a finite number of at least 0, or auto")


def _strength(text: str) -> float:
    return _not_negative(text, "a finite number of at least 0")


def _not_negative(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
    return value


def _loss(name: str, beta: Threshold | None) -> Loss:
    if name in WITHOUT_THRESHOLD:
        if beta is not None:
            raise CommandError(f"--beta is for {' and '.join(WITH_THRESHOLD)}, not for {name}")
        return WITHOUT_THRESHOLD[name]()
    try:
        return WITH_THRESHOLD[name][1](1.0 if beta is None else beta)
    except ValueError:
        raise CommandError(f"--beta must be above 0 for {name}, got {beta}") from None


def _fit(
    data: Data, loss: Loss, arguments: argparse.Namespace, show: Callable[[str], None]
) -> tuple[Any, float]:
    """Give what ``fastloss.fit`` finds, and the seconds it took."""
    steps = 0

    def report(state: Any) -> None:
        nonlocal steps
        steps += 1
        show(f"fitting {len(data.y):,} rows: step {steps}, loss {state.fun:.8g}")

    fit = partial(
        fastloss.fit,
        data.X,
        data.y,
        loss,
        l2=arguments.l2,
        fit_intercept=arguments.intercept,
    )
    try:
        # Where numbers overflow, the fit or _json says so; NumPy's warnings would come on top.
        with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", fastloss.ConvergenceWarning)
            show("compiling")
            fit(max_iter=1)  # else the first fit of a new installation would seem to take 10 s
            show(f"fitting {len(data.y):,} rows")
            start = time.perf_counter()
            result = fit(callback=report)
    except (ValueError, ArithmeticError) as error:
        raise CommandError(f"cannot fit {arguments.file}: {error}") from error
    return result, time.perf_counter() - start


def _model(data: Data, result: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    coefficients = {INTERCEPT: float(result.intercept)} if arguments.intercept else {}
    coefficients.update(zip(data.features, map(float, result.coef), strict=True))
    threshold = None
    if arguments.loss in WITH_THRESHOLD:
        threshold = float(getattr(result.loss.formula, WITH_THRESHOLD[arguments.loss][0]))
    return {
        "coefficients": coefficients,
        "loss": arguments.loss,
        "beta": threshold,
        "fun": float(result.fun),
        "scale": float(result.scale),
        "n_rows": len(data.y),
        "n_dropped": data.dropped,
        "n_outliers": None if threshold is None else _beyond(threshold, data, result),
        "n_iter": int(result.nit),
        "success": bool(result.success),
    }


def _beyond(threshold: float, data: Data, result: Any) -> int:
    """Count the rows whose residual exceeds the threshold, without a copy of X."""
    count = 0
    for low in range(0, len(data.y), BLOCK):
        rows = slice(low, low + BLOCK)
        residuals = data.X[rows] @ result.coef + result.intercept - data.y[rows]
        count += int(np.count_nonzero(np.abs(residuals) > threshold))
    return count


def _json(model: dict[str, Any], indent: int | None = None) -> str:
    try:
        return json.dumps(model, allow_nan=False, indent=indent)
    except ValueError:
        raise CommandError(
            "the fit overflowed to numbers that are not finite: rescale the columns"
        ) from None


def _figures(
    model: dict[str, Any], seconds: float, drop_missing: bool
) -> Iterator[tuple[str, str]]:
    rows: int = model["n_rows"]
    loss: str = model["loss"]
    yield "rows", f"{rows:,}"
    if drop_missing:
        yield "rows dropped", f"{model['n_dropped']:,}"
    if model["beta"] is not None:
        yield "outliers", f"{model['n_outliers']:,} ({model['n_outliers'] / rows:.2%})"
        loss += f", {WITH_THRESHOLD[loss][0]} {model['beta']:.6g}"
    yield "loss", loss
    yield "loss value", f"{model['fun']:.8g}"
    yield "scale", f"{model['scale']:.6g}"
    yield "iterations", f"{model['n_iter']}"
    yield "fit time", f"{seconds:.3g} s, {rows / seconds:,.0f} rows per second"
    yield "converged", "yes" if model["success"] else "no"

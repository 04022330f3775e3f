"""A fit of a file's rows, timed, watched, and not lost when it is interrupted."""

import argparse
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

import fastloss
from fastloss.cli import streamed
from fastloss.cli.errors import CommandError
from fastloss.cli.model import Found
from fastloss.cli.progress import watched
from fastloss.cli.tables import Data
from fastloss.cli.values import WITH_THRESHOLD
from fastloss.definition import is_auto
from fastloss.loss import Loss
from fastloss.progress import watching

# Rows that kernels are compiled with, and their bytes: enough for those of several threads.
WARM_ROWS = 1 << 17
WARM_BYTES = 1 << 24


def warm_up(data: Data, loss: Loss, arguments: argparse.Namespace) -> None:
    """Compile, by the first rows; else the first fit of an installation would seem to take 10 s."""
    _fitting(data, data.head(WARM_ROWS, WARM_BYTES), loss, arguments, max_iter=1)


def fitted(
    data: Data, loss: Loss, arguments: argparse.Namespace, show: Callable[[str], None]
) -> Found:
    """Fit; if interrupted after a step, give the best point so far.

    Parameters
    ----------
    data : Data
        The rows.
    loss : Loss
        What is minimised.
    arguments : argparse.Namespace
        See :mod:`fastloss.cli.fit`.
    show : callable
        Is told each step, as a line.

    Raises
    ------
    CommandError
        If it cannot be done.
    KeyboardInterrupt
        If it is interrupted before the first step.
    """
    from scipy.optimize import OptimizeResult

    steps = 0

    def report(state: Any) -> None:
        nonlocal steps
        steps += 1
        show(f"fitting {data.rows:,} rows: step {steps}, loss {state.fun:.8g}")

    show(f"fitting {data.rows:,} rows")
    start = time.perf_counter()
    bar = data.streamed and watched()
    try:
        result = _fitting(data, data, loss, arguments, callback=report, progress=bar)
    except KeyboardInterrupt as interrupt:
        best = getattr(interrupt, "best", None)
        if best is None:
            raise
        ended = {"nit": steps, "success": False, "message": "interrupted"}
        # The scale, and a threshold that follows from it, would take another pass.
        known = None if is_auto(loss) else _threshold_of(loss, arguments.loss)
        return Found(OptimizeResult(best | ended), known, None, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    threshold, outliers = _threshold_of(result.loss, arguments.loss), None
    if threshold is not None:
        with suppress(KeyboardInterrupt):  # the fit is there without their number
            outliers = _outliers(data, result.x, threshold, arguments, bar)
    return Found(result, threshold, outliers, seconds)


def _threshold_of(loss: Loss, name: str) -> float | None:
    if name not in WITH_THRESHOLD:
        return None
    return float(getattr(loss.formula, WITH_THRESHOLD[name][0]))


def _outliers(
    data: Data, w: Any, threshold: float, arguments: argparse.Namespace, bar: bool
) -> int:
    """Count the rows whose residual exceeds the threshold."""
    objective = fastloss.LinearObjective(
        data.X,
        data.y,
        fit_intercept=arguments.intercept,
        memory_limit=arguments.memory_limit,
    )
    with watching(bar) as objective.model.watch:
        return data.rows - objective.within(w, float(np.nextafter(threshold, np.inf)))


def _fitting(
    data: Data, rows: Data, loss: Loss, arguments: argparse.Namespace, **options: Any
) -> Any:
    """Fit some rows of the data without a warning, or say why it cannot be done."""
    try:
        # Where numbers overflow, the fit or as_json says so; NumPy's warnings would come on top.
        with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", fastloss.ConvergenceWarning)
            return fastloss.fit(
                rows.X,
                rows.y,
                loss,
                l2=arguments.l2,
                fit_intercept=arguments.intercept,
                memory_limit=arguments.memory_limit,
                **options,
            )
    except (ValueError, ArithmeticError, RuntimeError) as error:
        if (files := data.by_rows) is not None:
            names = data.features, arguments.target
            streamed.check_finite(files, *names, arguments.memory_limit)
        raise CommandError(f"cannot fit {arguments.file}: {error}") from error

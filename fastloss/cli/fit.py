"""``fastloss fit``: a robust linear model of one column of a file."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fastloss
from fastloss.cli import cluster, save, streamed, tables, values
from fastloss.cli.errors import INSTALL, CommandError, say
from fastloss.cli.fitting import fitted, warm_up
from fastloss.cli.model import INTERCEPT, Found, as_json, described, figures
from fastloss.cli.progress import status_line
from fastloss.cli.tables import Data
from fastloss.cli.values import WITH_THRESHOLD, WITHOUT_THRESHOLD
from fastloss.loss import Loss

HELP = "fit a robust linear model to a file"
DESCRIPTION = (
    "Fit a linear model of one column of a file by the others, by a loss that outliers do not "
    "dominate. FILE is CSV with a header, Parquet (or a folder of it), .npy (a 2-D array, whose "
    "columns are 0, 1, ..., or one with field names) or .npz (1-D arrays; a 2-D array K gives K0, "
    "K1, ...). Parquet and 2-D .npy that are larger than the memory limit are read block by block. "
    "Ctrl-C ends a fit with the best point so far, and exit code 130."
)

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = parser.add_argument
    add("file", metavar="FILE", type=values.file)
    add("--target", metavar="NAME", required=True, help="the column to predict")
    add(
        "--features",
        metavar="A,B,...",
        type=values.names,
        help="the columns to predict it from, a name with a comma in quotes; default all others",
    )
    add("--loss", choices=[*WITH_THRESHOLD, *WITHOUT_THRESHOLD], default="smooth_l1")
    add(
        "--beta",
        metavar="NUMBER|auto",
        type=values.threshold,
        help="residual from which smooth_l1 and huber grow linearly, in the target's units "
        "(default 1); auto finds it from the residuals' scale",
    )
    add(
        "--l2",
        metavar="NUMBER",
        type=values.strength,
        default=0.0,
        help="penalty on squared coefficients (default 0)",
    )
    add("--no-intercept", dest="intercept", action="store_false", help="fit no intercept")
    add(
        "--drop-missing",
        action="store_true",
        help="leave out rows with missing, NaN or infinite values; only of what fits memory",
    )
    add(
        "--memory-limit",
        metavar="SIZE",
        type=values.size,
        default=fastloss.optimize.MEMORY_LIMIT,
        help="such as 500MB, 2GiB or bytes (default 1GB): what takes more is read block by block",
    )
    cluster.add_arguments(parser)
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
        The exit code: 0, 1 if the fit has not converged, or 130 if it was interrupted.

    Raises
    ------
    CommandError, MemoryError
        If it cannot be done.
    KeyboardInterrupt
        If it is interrupted before the first step.
    """
    loss = values.loss(arguments.loss, arguments.beta)
    if arguments.output is not None:
        save.check_output(arguments.output, arguments.file)
    if not arguments.json and find_spec("rich") is None:
        raise CommandError(f"tables need rich: {INSTALL} (or give --json)")
    with cluster.connected(arguments.scheduler, arguments.workers) as client:
        data, found = _fit(client, loss, arguments)
    model = described(data, found, arguments.loss, arguments.intercept)
    text = as_json(model)
    if arguments.output is not None:
        save.write(arguments.output, as_json(model, indent=2) + "\n")
    if arguments.json:
        sys.stdout.write(text + "\n")
    else:
        from fastloss.cli.report import show as show_tables

        rest = figures(model, found.seconds, arguments.drop_missing)
        show_tables(model["coefficients"], rest)
    return _code(found.result)


def _code(result: Any) -> int:
    """Say how a fit has ended, and give the exit code for that."""
    if result.success:
        return 0
    sys.stdout.flush()
    if result.message == "interrupted":
        say(f"interrupted: this is the best point after {result.nit} steps")
        return INTERRUPTED
    say(f"warning: the fit has not converged: {result.message}")
    return 1


def _fit(client: Any, loss: Loss, arguments: argparse.Namespace) -> tuple[Data, Found]:
    with status_line() as show:
        show(f"reading {arguments.file}")
        data = _read(client, arguments)
        if client is None:  # workers compile for themselves
            show("compiling")
            warm_up(data, loss, arguments)
        if not data.streamed:
            return data, fitted(data, loss, arguments, show)
    # The bar of a pass takes the place of the line.
    return data, fitted(data, loss, arguments, lambda line: None)


def _read(client: Any, arguments: argparse.Namespace) -> Data:
    path, target, features = arguments.file, arguments.target, arguments.features
    drop, memory = arguments.drop_missing, arguments.memory_limit
    if client is not None:
        if drop:
            raise CommandError("--drop-missing needs the columns in memory, not on a cluster")
        data: Data | None = cluster.open_rows(client, path, target, features)
    else:
        data = streamed.open_rows(path, target, features, drop_missing=drop, memory=memory)
    if data is None:
        data = tables.read(path, target, features, drop_missing=drop)
    if arguments.intercept and INTERCEPT in data.features:
        raise CommandError(
            f"a feature is called {INTERCEPT!r}, which is the fitted intercept's name: rename "
            "it or give --no-intercept"
        )
    return data

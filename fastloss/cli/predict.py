"""``fastloss predict``: what a model of ``fit --output`` says of the rows of a file."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fastloss.cli import save, stored, tables, values
from fastloss.cli.errors import CommandError, needs_pyarrow, say
from fastloss.columns import check_once
from fastloss.typing import Vector

HELP = "apply a model that fit has written to a file"
DESCRIPTION = (
    "Predict the target for each row of a file by a model that `fit --output` has written. FILE "
    "has the model's features among its columns, in any of the formats that fit reads. A row with "
    "a missing value gets none (NaN)."
)
COLUMN = "prediction"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = parser.add_argument
    add("model", metavar="MODEL.json", type=values.file)
    add("file", metavar="FILE", type=values.file)
    add(
        "--output",
        metavar="PREDICTIONS",
        type=Path,
        required=True,
        help=f"a file of one column, {COLUMN!r}: {', '.join(WRITERS)}",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, predict, write.

    Parameters
    ----------
    arguments : argparse.Namespace
        What :func:`add_arguments` asks for.

    Returns
    -------
    int
        The exit code, 0.

    Raises
    ------
    CommandError, MemoryError
        If it cannot be done.
    """
    path, output = arguments.file, arguments.output
    write = WRITERS.get(output.suffix.lower())
    if write is None:
        raise CommandError(f"--output {output} must end in {', '.join(WRITERS)}")
    for source in (path, arguments.model):
        save.check_output(output, source)
    found = predicted(stored.load(arguments.model), path)
    if missing := int(np.count_nonzero(np.isnan(found))):
        say(f"warning: {missing:,} of {found.size:,} rows have no prediction: a value is missing")
    save.replace(output, lambda temporary: write(temporary, found))
    return 0


def predicted(model: stored.Model, path: Path) -> Vector:
    """Give the model's prediction for each row, one column held at a time.

    Parameters
    ----------
    model : Model
        The coefficients.
    path : Path
        Where the features are.

    Raises
    ------
    CommandError
        If they cannot be read.
    """
    table = tables.open_table(path)
    try:
        check_once(path, table.names, list(model.coefficients))
    except ValueError as error:
        raise CommandError(str(error)) from None
    found: Any = None
    columns = table.columns(list(model.coefficients))
    for column, coefficient in zip(columns, model.coefficients.values(), strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            term = np.multiply(column, coefficient, dtype=np.float64)
            found = term + model.intercept if found is None else np.add(found, term, out=found)
    if not found.size:
        raise CommandError(f"{path} has no rows")
    return np.asarray(found)


def _write_csv(path: Path, found: Vector) -> None:
    try:
        from pyarrow import csv, table
    except ImportError:
        raise needs_pyarrow(".csv") from None
    csv.write_csv(table({COLUMN: found}), path)


def _write_npy(path: Path, found: Vector) -> None:
    np.save(path, found)


def _write_parquet(path: Path, found: Vector) -> None:
    try:
        from pyarrow import parquet, table
    except ImportError:
        raise needs_pyarrow(".parquet") from None
    parquet.write_table(table({COLUMN: found}), path)


WRITERS: Mapping[str, Callable[[Path, Vector], None]] = MappingProxyType(
    {".csv": _write_csv, ".npy": _write_npy, ".parquet": _write_parquet}
)

"""``fastloss bench``: how fast the losses are on this machine, beside its memory and NumPy."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import fastloss
from fastloss.cli.errors import INSTALL, CommandError
from fastloss.cli.expressions import ELEMENTS, value_and_grad
from fastloss.cli.info import cpu
from fastloss.cli.progress import status_line
from fastloss.cli.timing import interleave, repeats
from fastloss.cli.warmup import LOSSES
from fastloss.cpu.sizes import BLOCK
from fastloss.parallelism import get_num_threads

HELP = "measure the losses on this machine"
DESCRIPTION = (
    "Measure value and gradient of each loss on this machine, beside the speed of its memory and "
    "the same in NumPy, each in turn. Takes less than 20 seconds."
)

SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
DTYPES = ("float32", "float64")
# Input, target and gradient: what has to be moved.
STREAMS = 3
ROUNDS = 11
# For the rounds of one loss and size; with compilation, 16 of them stay under 20 s on two cores.
SECONDS = 0.2

OURS, NUMPY, MEMORY = "fastloss", "numpy", "memory"


class Row(NamedTuple):
    """Value and gradient of one loss over one number of elements."""

    loss: str
    n: int
    seconds: float
    gb_per_second: float
    share: float
    """Of the speed of memory in the same rounds; above 1 where the arrays stay in a cache."""
    times_numpy: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument(
        "--sizes",
        metavar="N,N,...",
        type=_sizes,
        default=SIZES,
        help=f"numbers of elements (default {','.join(map(str, SIZES))})",
    )
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measure and report.

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
    if not arguments.json and find_spec("rich") is None:
        raise CommandError(f"tables need rich: {INSTALL} (or give --json)")
    with status_line() as show:
        rows = list(measure(arguments.sizes, arguments.dtype, show))
    about = machine()
    if arguments.json:
        found = {**about, "dtype": arguments.dtype, "rows": [row._asdict() for row in rows]}
        sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    else:
        _write(rows, arguments.dtype, about)
    return 0


def measure(sizes: Sequence[int], dtype: str, show: Callable[[str], None]) -> Iterator[Row]:
    """Give the rows, loss by loss.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of elements.
    dtype : str
        Of the arrays.
    show : callable
        Takes a line that says what is being done.

    Yields
    ------
    Row
    """
    from fastloss.cli import memory

    show("compiling")
    others = _compilers(dtype, max(sizes))
    traffic = memory.writer(dtype)
    traffic.call()
    for other in others:
        other.wait()
    for loss in ELEMENTS:
        for n in sizes:
            show(f"{loss}, {n:,} elements")
            yield _row(loss, n, dtype, traffic)


def _compilers(dtype: str, largest: int) -> "list[subprocess.Popen[bytes]]":
    """Start processes that leave kernels on disk: a process compiles one at a time.

    With no cache, the whole command takes 18 s on two cores, 28 without them; with one, 8.
    """
    names, count = list(LOSSES), min(os.cpu_count() or 1, len(LOSSES))
    options = ["--dtype", dtype, "--method", "value_and_grad"]
    options += ["--small"] if largest <= BLOCK else []
    command = [sys.executable, "-m", "fastloss", "warmup", *options, "--loss"]
    quiet = subprocess.DEVNULL
    return [
        subprocess.Popen([*command, *names[k::count]], stdout=quiet, stderr=quiet)
        for k in range(count)
    ]


def _row(loss: str, n: int, dtype: str, memory: Any) -> Row:
    rng = np.random.default_rng(0)
    # Residuals on both sides of the thresholds.
    x, y = rng.standard_normal((2, n), np.dtype(dtype))
    out, ours = np.ones_like(x), getattr(fastloss, loss)()
    calls: dict[str, Callable[[], Any]] = {
        OURS: lambda: ours.value_and_grad(x, y, out=out),
        NUMPY: lambda: value_and_grad(loss, x, y),
        MEMORY: memory.call,
    }
    for name in (OURS, NUMPY):
        calls[name]()  # compiles
    times = interleave(
        calls, ROUNDS, {name: repeats(call) for name, call in calls.items()}, SECONDS
    )
    seconds = {name: statistics.median(samples) for name, samples in times.items()}
    speed = STREAMS * x.nbytes / seconds[OURS]
    return Row(
        loss,
        n,
        seconds[OURS],
        speed / 1e9,
        speed * seconds[MEMORY] / memory.bytes,
        seconds[NUMPY] / seconds[OURS],
    )


def machine() -> dict[str, Any]:
    """Say what the figures were taken on.

    Returns
    -------
    dict
        The processor, the threads and the versions that count.
    """
    import numba

    return {
        "cpu": cpu(),
        "threads": get_num_threads(),
        "fastloss": fastloss.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(map(int, text.split(",")))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"must be whole numbers above 0 with commas between them, got {text!r}"
        )
    return sizes


def _write(rows: Sequence[Row], dtype: str, about: dict[str, Any]) -> None:
    from rich.table import Table

    from fastloss.cli.report import PLAIN, duration, write

    table = Table("loss", box=PLAIN)
    for head in ("elements", "time", "GB/s", "of memory", "times NumPy"):
        table.add_column(head, justify="right", no_wrap=True)
    last = None
    for row in rows:
        table.add_row(
            "" if row.loss == last else row.loss,
            f"{row.n:,}",
            duration(row.seconds),
            f"{row.gb_per_second:.1f}",
            f"{row.share:.0%}",
            f"{row.times_numpy:.1f}",
        )
        last = row.loss
    title = f"Value and gradient of the mean, {dtype}; {about['cpu']}, {about['threads']} threads"
    versions = f"fastloss {about['fastloss']}, numba {about['numba']}, NumPy {about['numpy']}"
    write(
        title,
        versions,
        table,
        "GB/s: of input, target and gradient. Of memory: two arrays read and one written, in",
        "the same rounds; above 100% the arrays stay in a cache, or the gradient goes past it.",
        "Times NumPy: its time over fastloss's.",
    )

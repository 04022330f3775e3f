"""``fastloss warmup``: compile kernels ahead, for images whose first call is not to wait."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastloss.cli.errors import CommandError
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from fastloss.warming import DTYPES, KINDS

HELP = "compile kernels ahead of their first call"
DESCRIPTION = (
    "Compile the CPU kernels ahead of their first call and keep them on disk, in the folder that "
    "`fastloss info` names: NUMBA_CACHE_DIR, or beside the package."
)

LOSSES: dict[str, Any] = {
    "smooth_l1": SmoothL1Loss,
    "huber": HuberLoss,
    "l1": L1Loss,
    "mse": MSELoss,
}

Progress = Callable[[int, int, str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    for name, choices, default in (
        ("--loss", tuple(LOSSES), tuple(LOSSES)),
        ("--dtype", DTYPES, DTYPES),
        ("--method", tuple(KINDS), ("value", "grad", "value_and_grad")),
    ):
        parser.add_argument(
            name, nargs="+", choices=choices, default=default, help=f"default: {' '.join(default)}"
        )
    parser.add_argument("--weights", action="store_true", help="the kernels for weights too")
    parser.add_argument("--small", action="store_true", help="only those for small arrays")


def run(arguments: argparse.Namespace) -> int:
    """Compile; give the exit code."""
    import fastloss
    from fastloss import kept
    from fastloss.cpu import elementwise

    kernel = elementwise.serial
    if kept.folder(getattr(kernel, "py_func", kernel)) is None:
        raise CommandError("no folder can be written: set NUMBA_CACHE_DIR to one that can")
    start = time.perf_counter()
    with _bar() as progress:
        count = fastloss.warmup(
            [LOSSES[name]() for name in arguments.loss],
            dtypes=arguments.dtype,
            methods=arguments.method,
            weights=arguments.weights,
            large=not arguments.small,
            progress=progress,
        )
    sys.stdout.write(f"{count} kernels ready in {time.perf_counter() - start:.1f} s\n")
    return 0


@contextmanager
def _bar() -> Iterator[Progress | None]:
    """Give what shows a bar on stderr, or None where that is no terminal or rich is missing."""
    try:
        from rich.console import Console
        from rich.progress import Progress as Bar
    except ImportError:
        yield None
        return
    if not sys.stderr.isatty():
        yield None
        return
    with Bar(console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def show(done: int, count: int, name: str) -> None:
            bar.update(task, completed=done, total=count, description=name)

        yield show

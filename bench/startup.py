"""What a process waits for fastloss: its import, and the first call with and without a cache.

Each program runs in a process of its own, once a round, in turn; the figures are medians of the
difference to the program that does the same without fastloss, taken within a round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from rich.console import Console
from rich.table import Table

ROUNDS = 11
CALL = "import numba, numpy, fastloss; x = numpy.ones(100); fastloss.SmoothL1Loss(){}(x, x)"
MEAN, GRADIENT = CALL.format(""), CALL.format(".value_and_grad")
# What is measured: the program, the one that it is compared with, and whether kernels are on disk.
PROGRAMS = {
    "import fastloss, after numpy": ("import fastloss", "import numpy", True),
    "first mean, after numba": (MEAN, "import numba", True),
    "first value and gradient, after numba": (GRADIENT, "import numba", True),
    "first mean, no cache, after numba": (MEAN, "import numba", False),
    "first value and gradient, no cache, after numba": (GRADIENT, "import numba", False),
}

Row = dict[str, Any]


def seconds_of(program: str, cache: str) -> float:
    """Run a program in a process of its own."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    return time.perf_counter() - start


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Give the seconds that each program takes more than the other one."""
    more: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as kept:
        for program, _, _ in PROGRAMS.values():
            seconds_of(program, kept)
        for _ in range(rounds):
            for name, (program, other, warm) in PROGRAMS.items():
                with tempfile.TemporaryDirectory() as empty:
                    without = seconds_of(other, kept)
                    more[name].append(seconds_of(program, kept if warm else empty) - without)
    return [
        {"what": name, "seconds": statistics.median(times), "least": min(times)}
        for name, times in more.items()
    ]


def cells(rows: list[Row]) -> list[list[str]]:
    """Give the rows as text."""
    return [
        [row["what"], f"{row['seconds'] * 1e3:.0f}", f"{row['least'] * 1e3:.0f}"] for row in rows
    ]


HEADS = ["", "median", "least"]
TITLE = "Start of a process: milliseconds more than without fastloss"


def main() -> int:
    table = Table(*HEADS, title=TITLE)
    for row in cells(measure()):
        table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

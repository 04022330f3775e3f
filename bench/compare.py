"""fastloss against each peer side by side: every implementation once a round, in turn.

The ratio of two medians from interleaved rounds holds on a busy machine, where times do not: what
slows the machine down for a while slows all of them.

``--quick`` times the value and gradient of 4,000,000 float32 elements alone and fails when
fastloss is not at least four times as fast as NumPy.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from peers import FASTLOSS, PEERS, STREAMS, agree, elementwise_data, linear_data
from rich.console import Console
from rich.table import Table
from roofline import reader, writer

from fastloss.cli.info import cpu
from fastloss.cli.timing import interleave

ROUNDS = 11
# A pool of threads waits actively for a moment after its work: the next call is not to pay for it.
PAUSE = 0.01
REQUIRED = 4.0  # times NumPy, with --quick


@dataclass(frozen=True)
class Figure:
    """One implementation of one computation."""

    what: str
    name: str
    seconds: float
    quartiles: tuple[float, float]
    gb_per_second: float
    fraction_of_roofline: float
    ratio: float
    """Its median over fastloss's."""


def compare(what: str, calls: dict[str, Callable[[], Any]], moved: int, roofline, rounds: int):
    """Give the figures of each implementation; ``moved`` is the bytes that have to be moved."""
    memory = roofline.call
    memory()  # compiles
    seconds = interleave({**calls, "roofline": memory}, rounds)
    peak = roofline.bytes / statistics.median(seconds.pop("roofline"))
    ours = statistics.median(seconds[FASTLOSS.name])
    figures = []
    for name, times in seconds.items():
        median = statistics.median(times)
        low, _, high = statistics.quantiles(times, n=4)
        speed = moved / median
        figures.append(
            Figure(what, name, median, (low, high), speed / 1e9, speed / peak, median / ours)
        )
    return figures


def elementwise(kind: str, n: int, rounds: int, peers=PEERS) -> list[Figure]:
    x, y = elementwise_data(n, np.float32)
    calls = {peer.name: peer.elementwise[kind](x, y) for peer in peers if kind in peer.elementwise}
    ours = calls[FASTLOSS.name]()
    for call in calls.values():
        agree(kind, ours, call(), x.dtype)
    roofline = (reader if kind == "mean" else writer)(x.dtype)
    return compare(f"{kind}, {n:,} float32", calls, STREAMS[kind] * x.nbytes, roofline, rounds)


def linear(n: int, p: int, rounds: int) -> list[Figure]:
    X, y, w = linear_data(n, p, np.float64, "C")
    calls = {peer.name: peer.linear(X, y, w) for peer in PEERS if peer.linear}
    ours = calls[FASTLOSS.name]()
    for call in calls.values():
        agree("linear", ours, call(), X.dtype)
    roofline = reader(X.dtype)
    return compare(f"linear objective, {n:,} x {p} float64", calls, X.nbytes, roofline, rounds)


def machine() -> dict[str, Any]:
    """Say what the figures were taken on."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": numba.threading_layer(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        **{peer.name: peer.version for peer in PEERS},
    }


def show(figures: list[Figure], rounds: int) -> None:
    about = machine()
    table = Table(
        title=f"{about['cpu']}, {about['threads']} of {about['cores']} cores; median of {rounds}",
        caption="GB/s of the bytes that have to be moved; ratio of the medians to fastloss's",
    )
    table.add_column("")
    table.add_column("")
    for column in ("ms", "quartiles", "GB/s", "of roofline", "ratio"):
        table.add_column(column, justify="right")
    last = None
    for figure in figures:
        if last not in (None, figure.what):
            table.add_section()
        low, high = figure.quartiles
        table.add_row(
            "" if figure.what == last else figure.what,
            figure.name,
            f"{figure.seconds * 1e3:.2f}",
            f"{low * 1e3:.2f} - {high * 1e3:.2f}",
            f"{figure.gb_per_second:.1f}",
            f"{figure.fraction_of_roofline:.0%}",
            f"{figure.ratio:.2f}",
        )
        last = figure.what
    # A pipe or a log has no width of its own: rich's default of 80 would cut the columns.
    console = Console()
    Console(width=max(console.width, 120)).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one comparison, which can fail")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default %(default)s")
    given = parser.parse_args()
    if given.rounds < 2:
        parser.error("--rounds must be at least 2")
    if given.quick:
        figures = elementwise("value_and_grad", 4_000_000, given.rounds)
    else:
        figures = [
            *elementwise("value_and_grad", 16_000_000, given.rounds),
            *linear(1_000_000, 32, given.rounds),
        ]
        for kind in ("mean", "none", "grad"):
            figures += elementwise(kind, 16_000_000, given.rounds)
    show(figures, given.rounds)
    if given.json:
        document = {
            "machine": machine(),
            "rounds": given.rounds,
            "figures": [asdict(figure) for figure in figures],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    if given.quick:
        ratio = next(figure.ratio for figure in figures if figure.name == "numpy")
        if ratio < REQUIRED:
            print(f"value_and_grad: {ratio:.2f} times NumPy, under {REQUIRED}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

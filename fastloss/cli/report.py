"""A fit as tables for people."""

import sys
from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Console
from rich.table import Table

# Wide enough that nothing wraps where another program reads.
PIPE_WIDTH = 1_000_000


def show(coefficients: Mapping[str, float], figures: Iterable[tuple[str, str]]) -> None:
    """Write coefficients, then figures, to stdout.

    Parameters
    ----------
    coefficients : mapping of str to float
        By name, in the order to be shown.
    figures : iterable of pairs of str
        What, and how much.
    """
    terms = Table("coefficient", box=box.SIMPLE_HEAD)
    terms.columns[0].overflow = "fold"
    terms.add_column("value", justify="right", no_wrap=True)
    for name, value in coefficients.items():
        terms.add_row(name, f"{value:.8g}")
    summary = Table(box=None, show_header=False, padding=(0, 1))
    for what, how_much in figures:
        summary.add_row(what, how_much)
    # No markup: a column may be called "[b]" or ":smile:".
    console = Console(
        markup=False,
        emoji=False,
        highlight=False,
        width=None if sys.stdout.isatty() else PIPE_WIDTH,
    )
    # rich would end the process by itself where the pipe is broken.
    with console.capture() as text:
        console.print(terms, summary)
    sys.stdout.write(text.get())

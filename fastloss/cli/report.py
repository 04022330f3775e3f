"""Tables for people."""

import sys
from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

PLAIN = box.SIMPLE_HEAD
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
    terms = Table("coefficient", box=PLAIN)
    terms.columns[0].overflow = "fold"
    terms.add_column("value", justify="right", no_wrap=True)
    for name, value in coefficients.items():
        # A name may hold what a terminal obeys.
        terms.add_row(name if name.isprintable() else ascii(name), f"{value:.8g}")
    summary = Table(box=None, show_header=False, padding=(0, 1))
    for what, how_much in figures:
        summary.add_row(what, how_much)
    write(terms, summary)


def write(*parts: RenderableType) -> None:
    """Write tables and lines of text to stdout.

    Parameters
    ----------
    *parts : str or rich renderable
        Each on lines of its own.
    """
    # No markup: a column may be called "[b]" or ":smile:".
    console = Console(
        markup=False,
        emoji=False,
        highlight=False,
        width=None if sys.stdout.isatty() else PIPE_WIDTH,
    )
    # rich would end the process by itself where the pipe is broken.
    with console.capture() as text:
        console.print(*parts, sep="\n")
    sys.stdout.write(text.get())


def duration(seconds: float) -> str:
    """Give seconds in the unit that leaves three digits, such as ``"1.23 ms"``."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g} {unit}"
    return f"{seconds:#.3g} s"

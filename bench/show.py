"""What the benchmarks that make tables share: their command line, and the tables on a terminal."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Tables = Iterable[tuple[str, list[str], list[list[str]]]]


def tables(found: Tables) -> None:
    """Print tables, each a title, heads and rows."""
    console = Console(width=max(Console().width, 120))
    for title, heads, rows in found:
        table = Table(*heads, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def main(
    description: str | None,
    measure: Callable[..., Any],
    tables_of: Callable[[Any], Tables],
    quick: str | None = None,
) -> int:
    """Measure, then print or write a file; ``quick`` says what ``--quick`` does, if there is it."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file instead")
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help=quick)
    given = parser.parse_args()
    document = measure() if quick is None else measure(given.quick)
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    else:
        tables(tables_of(document))
    return 0

"""Everything that might break a process that uses fastloss, tried again and again.

    python bench/hazards.py [--quick | --times 10] [--only TEXT] [--write docs/reliability.md]

Each attempt is a process of its own, with a deadline; ``tests/hazards/registry.py`` lists them. The
exit status is 1 if an answer is wrong, a process dies or does not end.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numba
from rich.console import Console
from rich.table import Table

from bench.page import MACHINE, put, table
from tests.foreground import hear_interrupts
from tests.hazards.attempt import attempt
from tests.hazards.outcome import Outcome
from tests.hazards.registry import HAZARDS

MARK = "<!-- what bench/hazards.py --write puts here -->"
COUNTS = ["tried", "right", "wrong", "warnings", "aborts", "hangs", "seconds, at most"]


class Row(NamedTuple):
    """What came of all attempts at a hazard; another program's rows may stand beside these."""

    name: str
    tried: str
    whole: Outcome
    skipped: list[str]

    @property
    def good(self):
        """A hazard that could not be tried is named below the table, not counted as withstood."""
        return self.whole.good or not self.tried

    def cells(self):
        whole = self.whole
        counts = [whole.right, whole.wrong, whole.warnings, whole.aborts, whole.hangs]
        longest = f"{max(whole.seconds):.2f}" if whole.seconds else ""
        return [self.name, self.tried or "skipped", *map("{:,}".format, counts), longest]


def row_of(hazard, times):
    whole, tried, skipped = Outcome(), [], []
    for layer in hazard.layers:
        count = 0
        for _ in range(times):
            outcome = attempt(hazard, layer)
            if outcome.skipped:
                skipped.append(outcome.skipped)
                break
            count += 1
            whole.plus(outcome)
        if count:
            tried.append(f"{count}" if layer is None else f"{layer} {count}")
    return Row(hazard.name, ", ".join(tried), whole, skipped)


def rows(options):
    """Give a row for each hazard; several are tried side by side, but for those that are timed."""

    def row(hazard):
        start = time.monotonic()
        found = row_of(hazard, hazard.quick if options.quick else options.times or hazard.times)
        lines = [f"{found.name}: {'good' if found.good else 'BROKEN'}"]
        lines[0] += f", {time.monotonic() - start:.0f} s"
        lines += [f"  {note}" for note in found.whole.notes]
        print("\n".join(lines), file=sys.stderr)
        return found

    chosen = [hazard for hazard in HAZARDS if options.only in hazard.name]
    together = [hazard for hazard in chosen if not hazard.alone]
    together.sort(key=lambda hazard: -hazard.deadline)  # the longest first
    with ThreadPoolExecutor(options.processes) as pool:
        found = dict(zip(together, pool.map(row, together), strict=True))
    return [found[hazard] if hazard in found else row(hazard) for hazard in chosen]


def report(found):
    printed = Table("hazard", *COUNTS)
    for row in found:
        printed.add_row(*row.cells())
    console = Console()
    console.print(printed)
    for reason in skipped(found):
        console.print(f"skipped: {reason}", markup=False)


def skipped(found):
    """Give each reason once, with the hazards that it kept from being tried."""
    reasons = {}
    for row in found:
        for reason in row.skipped:
            reasons.setdefault(reason, []).append(row.name)
    return [
        f"{reason} ({len(names)} hazards)" if len(names) > 1 else f"{names[0]}: {reason}"
        for reason, names in reasons.items()
    ]


def write(path, found):
    lines = table(["hazard", *COUNTS], [row.cells() for row in found], right=len(COUNTS) - 1)
    lines += ["", f"{MACHINE}, numba {numba.__version__}."]
    lines += [f"Skipped: {reason}." for reason in skipped(found)]
    put(path, MARK, lines)


def main():
    hear_interrupts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one attempt at each: three minutes")
    parser.add_argument("--times", type=int, help="attempts at each")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="side by side")
    parser.add_argument("--only", default="", metavar="TEXT", help="hazards whose name has it")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    found = rows(options)
    report(found)
    if options.write:
        write(options.write, found)
    sys.exit(0 if all(row.good for row in found) else 1)


if __name__ == "__main__":
    main()

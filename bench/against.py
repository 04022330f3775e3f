"""This checkout against another revision, side by side: has anything become slower?

    python bench/against.py main~1

The other revision is checked out into a temporary worktree. Both run in processes of their own,
kept alive and driven in turn, case by case, so that whatever slows the machine slows both. A case
whose least time is over 1.10 times the other's is measured again; twice over makes the exit
status 1. ``--self-test`` makes one case of this checkout slower and demands that it is found.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
LIMIT = 1.10
ROUNDS = 15
SIZES = (100, 10_000, 1_000_000, 16_000_000)
CASES = [
    f"{method} {dtype} {size}"
    for method in ("value", "grad", "value_and_grad")
    for dtype in ("float32", "float64")
    for size in SIZES
]
# Run by both revisions: whatever it uses must have been there for long.
WORKER = """
import json, sys, time
import numpy as np
import fastloss as fl
slow = sys.argv[1]
loss, arrays = fl.SmoothL1Loss(), {}
def prepare(case):
    method, dtype, size = case.split()
    if (dtype, size) not in arrays:
        arrays.clear()
        x, y = np.random.default_rng(0).standard_normal((2, int(size))).astype(dtype)
        arrays[dtype, size] = x, y, np.empty_like(x)
    x, y, out = arrays[dtype, size]
    if method == "value":
        return lambda: loss(x, y)
    return lambda: getattr(loss, method)(x, y, out=out)
for line in sys.stdin:
    case = line.strip()
    call = prepare(case)
    call()
    start = time.perf_counter()
    call()
    count = max(1, int(2e-3 / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(count):
        call()
        if case == slow:
            call()
    print(json.dumps((time.perf_counter() - start) / count), flush=True)
"""


class Revision:
    """A process that times cases with the fastloss of one checkout."""

    def __init__(self, root: Path, slow: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, slow],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
            cwd=tempfile.gettempdir(),
        )

    def time(self, case: str) -> float:
        self.process.stdin.write(f"{case}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a process ended while it ran {case}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def ratio(here: Revision, there: Revision, case: str) -> float:
    """Give the least time here over the least time there."""
    least = [float("inf")] * 2
    for _ in range(ROUNDS):
        for k, revision in enumerate((here, there)):
            least[k] = min(least[k], revision.time(case))
    return least[0] / least[1]


def compare(other: Path, cases, slow="") -> list[str]:
    """Give the cases that have become slower."""
    here, there = Revision(ROOT, slow), Revision(other)
    table = Table("case", title=f"least time of {ROUNDS}, over the other revision's")
    table.add_column("ratio", justify="right")
    slower = []
    for case in cases:
        found = ratio(here, there, case)
        if found > LIMIT:
            found = min(found, ratio(here, there, case))
        if found > LIMIT:
            slower.append(case)
        table.add_row(case, f"{found:.2f}{' slower' if found > LIMIT else ''}")
    here.close()
    there.close()
    Console(width=max(Console().width, 80)).print(table)
    return slower


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="default %(default)s")
    parser.add_argument("--self-test", action="store_true", help="whether it finds a slow case")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", other, given.revision], check=True)
        try:
            if given.self_test:
                return 0 if compare(other, CASES[:3], slow=CASES[1]) == [CASES[1]] else 1
            slower = compare(other, CASES)
        finally:
            subprocess.run([*git, "remove", "--force", other], check=True)
    if slower:
        print(f"slower than {given.revision}: {', '.join(slower)}", file=sys.stderr)
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())

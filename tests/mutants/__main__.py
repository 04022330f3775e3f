"""Is every operator and constant of the formulas held by a test? Change each, and see one fail.

    python -m tests.mutants [--only TEXT] [--write docs/testing.md]

The exit status is 1 if a mutant survives the tests of its module that ``EQUIVALENT`` does not list,
or if one of these is killed, or not made any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.page import MACHINE, put, table
from tests.mutants.change import mutants
from tests.mutants.registry import EQUIVALENT, MODULES

ROOT = Path(__file__).parents[2]
COPIED = ("fastloss", "tests", "bench", "conftest.py", "pyproject.toml")
MARK = "<!-- what tests.mutants --write puts here -->"
PASSED, FAILED, BROKEN = 0, 1, 2  # what pytest ends with


def survives(mutant):
    """Whether all tests of the module pass on a copy of this checkout with the mutant in it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copied(ROOT / name, Path(folder, name))
        Path(folder, mutant.module).write_text(mutant.source)
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider"]
            + MODULES[mutant.module],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder, "NUMBA_CACHE_DIR": f"{folder}/kernels"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if result.returncode not in (PASSED, FAILED, BROKEN):
        raise RuntimeError(f"{mutant.name}: pytest ended with {result.returncode}\n{result.stdout}")
    return result.returncode == PASSED


def faults(made, found):
    """Say what is not as it should be."""
    known = {(module, name) for module, names in EQUIVALENT.items() for name in names}
    alive = {(mutant.module, mutant.name) for mutant, lives in found.items() if lives}
    killed = {(mutant.module, mutant.name) for mutant, lives in found.items() if not lives}
    kinds = {
        "survives": alive - known,
        "killed, but held to be equivalent": killed & known,
        "not made any more": known - {(mutant.module, mutant.name) for mutant in made},
    }
    return [
        f"{kind}: {module}, {name}"
        for kind, pairs in kinds.items()
        for module, name in sorted(pairs)
    ]


def page(found):
    """Give the lines of docs/testing.md."""
    rows = []
    for module in MODULES:
        lives = [alive for mutant, alive in found.items() if mutant.module == module]
        rows.append([f"`{module}`", *map(str, (len(lives), len(lives) - sum(lives), sum(lives)))])
    lines = table(["module", "mutants", "killed", "equivalent"], rows, right=3)
    lines += [
        "",
        f"{MACHINE}. What no test can tell from the original, as it computes the same:",
        "",
    ]
    for module, names in EQUIVALENT.items():
        lines += [f"- `{module}`, `{name}`: {reason}" for name, reason in names.items()]
    return lines


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose name has it")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    made = [each for name in MODULES for each in mutants(name, (ROOT / name).read_text())]
    chosen = [mutant for mutant in made if options.only in mutant.name]
    with ThreadPoolExecutor(options.processes) as pool:
        results = pool.map(survives, chosen)
        watched = track(results, "mutants", len(chosen), console=Console(stderr=True))
        found = dict(zip(chosen, watched, strict=True))
    bad = faults(made, found)
    sys.stdout.write("\n".join(bad or page(found)) + "\n")
    if options.write and not bad and len(chosen) == len(made):
        put(options.write, MARK, page(found))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

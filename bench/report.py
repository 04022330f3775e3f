"""Every peer beside fastloss and the machine's memory, and the page that says so.

``run`` measures all of them in one process, each once a round, in turn, then fastloss by itself at
its limits (``limits.py``) and at its start (``startup.py``), then linear models in processes of
their own (``linear.py``, ``large.py``, ``clusters.py``), and writes a JSON file; ``write`` makes
docs/benchmarks.md and its figures from such a file. Nobody edits figures by hand.

    python bench/report.py run figures.json      22 minutes
    python bench/report.py write figures.json
"""

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import clusters
import large
import limits
import linear
import numpy as np
import startup
from compare import machine
from peers import FASTLOSS, KINDS, PEERS, STREAMS, agree, elementwise_data
from rich.progress import track
from roofline import reader, writer

from fastloss.cli.timing import interleave, repeats

DOCS = Path(__file__).parents[1] / "docs"
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 30_000_000)
QUICK = (100, 10_000, 1_000_000)
DTYPES = ("float32", "float64")
ROUNDS = 15
# Seconds for the rounds of one kind, precision and size.
SECONDS = 2.5
# What is measured in a process of its own.
APART = {"linear": linear, "large": large, "clusters": clusters}
TITLES = {
    "mean": "the mean of the losses",
    "none": "the losses",
    "grad": "the gradient of the mean",
    "value_and_grad": "mean and gradient",
}


def measure(sizes, seconds):
    cases = [(kind, dtype, n) for kind in KINDS for dtype in DTYPES for n in sizes]
    return [row for case in track(cases, "measuring") for row in _rows(*case, seconds)]


def _rows(kind, dtype, n, seconds):
    x, y = elementwise_data(n, np.dtype(dtype))
    calls = {p.name: p.elementwise[kind](x, y) for p in PEERS if kind in p.elementwise}
    ours = calls[FASTLOSS.name]()
    for call in calls.values():
        agree(kind, ours, call(), x.dtype)
    memory = (reader if kind == "mean" else writer)(dtype)
    memory.call()
    calls["memory"] = memory.call
    samples = {name: repeats(call) for name, call in calls.items()}
    times = interleave(calls, ROUNDS, samples, seconds)
    speed = memory.bytes / statistics.median(times.pop("memory"))
    moved = STREAMS[kind] * x.nbytes
    for name, values in times.items():
        median = statistics.median(values)
        yield {
            "kind": kind,
            "dtype": dtype,
            "n": n,
            "peer": name,
            "seconds": median,
            "least": min(values),
            "rounds": len(values),
            "share": moved / median / speed,
            "limit": moved / speed,
        }


def _apart(module):
    """Measure in a process of its own, whose BLAS has to be told something first."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        program = Path(module.__file__)
        subprocess.run([sys.executable, program, "--json", file], check=True)
        return json.loads(file.read_text())


def page(document, command) -> str:
    about, rows = document["machine"], document["rows"]
    names = list(dict.fromkeys(row["peer"] for row in rows))
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    parts = [
        "# Benchmarks",
        "",
        f"Taken on {document['date']} by `{command}` in one process: {about['cpu']}, "
        f"{about['threads']} threads of {about['cores']} cores ({about['threading_layer']}), "
        f"{about['system']}, Python {about['python']}, Numba {about['numba']}; {versions}.",
        "",
        "Every implementation runs once a round, in turn, on the same arrays, with results",
        "compared before. Figures are medians. Smooth L1 with a threshold of 1, which is Huber's",
        "loss there; `bench/peers/` has each implementation as a user would write it.",
        "",
        "![Time per element](figures/time_per_element.png)",
        "",
        "The line is the machine's own memory: two arrays read, and where there is an output, one",
        "written by ordinary stores, beyond the caches, in the same rounds.",
    ]
    for kind in KINDS:
        for dtype in DTYPES:
            parts += ["", f"## {TITLES[kind].capitalize()}, {dtype}", ""]
            parts += _table([r for r in rows if (r["kind"], r["dtype"]) == (kind, dtype)], names)
    for title, heads, cells in limits.tables(document["limits"]):
        parts += ["", f"## {title}", "", *_lines(heads, cells)]
    for name, module in APART.items():
        for title, heads, cells in module.tables(document[name]):
            parts += ["", f"## {title}", "", *_lines(heads, cells)]
    parts += ["", "![Time and memory against rows](figures/rows.png)"]
    cells = startup.cells(document["startup"])
    parts += ["", f"## {startup.TITLE}", "", *_lines(startup.HEADS, cells)]
    return "\n".join(parts) + "\n"


def _table(rows, names):
    cells = {(row["n"], row["peer"]): row for row in rows}
    names = [name for name in names if any(row["peer"] == name for row in rows)]
    others = [name for name in names if name != FASTLOSS.name]
    lines = []
    for n in dict.fromkeys(row["n"] for row in rows):
        ours = cells[n, FASTLOSS.name]
        times = [f"{cells[n, name]['seconds'] / ours['seconds']:.1f}" for name in others]
        lines.append([f"{n:,}", _time(ours["seconds"]), f"{ours['share']:.0%}", *times])
    return _lines(["elements", "fastloss", "of memory", *(f"{n}, times" for n in others)], lines)


def _lines(heads, rows):
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---:|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _time(seconds) -> str:
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def figure(document, path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rows = document["rows"]
    names = list(dict.fromkeys(row["peer"] for row in rows))
    colours = {name: f"C{k}" for k, name in enumerate(names)}
    drawing, axes = plt.subplots(2, 2, figsize=(11, 8), sharex=True, sharey=True)
    for axis, kind in zip(axes.flat, KINDS, strict=True):
        here = [r for r in rows if r["kind"] == kind and r["dtype"] == "float32"]
        for name in dict.fromkeys(row["peer"] for row in here):
            points = [(r["n"], r["seconds"] / r["n"] * 1e9) for r in here if r["peer"] == name]
            strong = name == FASTLOSS.name
            line = {"color": colours[name], "lw": 3 if strong else 1, "ms": 3, "label": name}
            axis.loglog(*zip(*points, strict=True), "o-", **line)
        limits = [r for r in here if r["peer"] == FASTLOSS.name]
        limit = statistics.median(r["limit"] / r["n"] * 1e9 for r in limits)
        axis.axhline(limit, color="black", ls=":", label="memory")
        axis.set_title(f"{TITLES[kind]}, float32")
        axis.grid(alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel("elements")
    for axis in axes[:, 0]:
        axis.set_ylabel("nanoseconds per element")
    axes[0, 0].legend(fontsize=8)
    drawing.tight_layout()
    path.parent.mkdir(exist_ok=True)
    drawing.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure")
    run.add_argument("file", type=Path)
    run.add_argument("--quick", action="store_true", help="three sizes, in half a minute")
    write = commands.add_parser("write", help="make the page")
    write.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        rows = measure(QUICK, 0.5) if given.quick else measure(SIZES, SECONDS)
        document = {
            "machine": machine(),
            "date": dt.date.today().isoformat(),
            "rows": rows,
            "limits": limits.measure(),
            "startup": startup.measure(),
            **{name: _apart(module) for name, module in APART.items()},
        }
        given.file.write_text(json.dumps(document, indent=1) + "\n")
        return 0
    document = json.loads(given.file.read_text())
    figure(document, DOCS / "figures" / "time_per_element.png")
    large.figure(document["large"], DOCS / "figures" / "rows.png")
    command = "python bench/report.py run"
    (DOCS / "benchmarks.md").write_text(page(document, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())

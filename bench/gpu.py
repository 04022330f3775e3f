"""fastloss on a GPU beside the speed of its memory, and beside torch and CuPy.

The measure is a copy on the device: a kernel that moves the same number of bytes can hardly be
faster. Times are taken by CUDA events, every implementation once a round, in turn; results are
compared before anything is timed. Elementwise calls are enqueued while the device still copies
something else, for as long as the host takes to enqueue them: their time is the device's alone, and
the host's stands in a table of its own. A linear objective waits for its value, so its time is that
of the whole call. Needs PyTorch for CUDA; CuPy's rows are left out where it is not
installed. Without a GPU it says so and exits with status 2.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-gpu.md"
SIZES = [1_000_000, 10_000_000, 100_000_000]
LARGE = 1_000_000_000
DTYPES = ["float16", "float32", "float64"]
LINEAR = [(10_000_000, 32), (1_000_000, 100)]
# Columns for which X read once is set beside products, of matrices of so many bytes: rows of 16
# bytes and others, up to what a block has room for.
COLUMNS = [1, 3, 8, 32, 101, 128, 512, 1024]
BYTES_OF_X = 1 << 30
PRODUCTS = "fastloss, products of the library"
ROUNDS = 21
OURS = "fastloss"
# Calls to an event: a single one of some microseconds is below what events resolve.
REPEATS = {1_000_000: 20, 10_000_000: 5}
# Arrays that have to be moved, each once: input, target and what is written.
STREAMS = {"none": 3, "grad": 3, "grad_and_hess": 4, "mean": 2, "value_and_grad": 3}
# How far peers may be off, of the largest element: torch rounds each step of float16 to float16.
TOLERANCE = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-12}
# The smallest numbers of float16 are so far apart that a gradient of a mean has a bit or two.
SMALLEST = {"float16": 1e-6, "float32": 0.0, "float64": 0.0}
# A copy of more bytes is not faster, and takes memory that the arrays need.
MOST_COPIED = 1 << 32
# Keeps a device busy for half a millisecond.
BUSY_BYTES = 1 << 31

Call = Callable[[], Any]


class Row(NamedTuple):
    """One implementation of one computation."""

    what: str
    size: str
    dtype: str
    name: str
    seconds: float
    gb_per_second: float
    share: float
    """Of the speed of a copy."""
    ratio: float
    """Its median over fastloss's."""


def why_not() -> str | None:
    """Say what is missing; None where everything is there."""
    try:
        import torch
    except ImportError:
        return "PyTorch for CUDA is not installed"
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    try:
        from fastloss.cuda import driver
    except ImportError as error:
        return str(error)
    return driver.why_not()


# Timing


def interleave(
    calls: dict[str, Call], rounds: int, repeats: int = 1, queued: bool = False
) -> dict[str, float]:
    """Give the median seconds of each call, timed once a round on the device's own clock.

    If they are queued, the device is kept busy until they are.
    """
    import torch

    seconds: dict[str, list[float]] = {name: [] for name in calls}
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):  # compiles, and lets pools keep the memory that is asked for
        for call in calls.values():
            call()
    torch.cuda.synchronize()
    busy, _ = copy_of(BUSY_BYTES)
    before = dict.fromkeys(calls, 0)
    if queued:
        for name, call in calls.items():
            taken = [enqueued(call, repeats) for _ in range(5)]
            before[name] = ceil(2 * statistics.median(taken) / done(busy))
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(before[name]):
                busy()
            start.record()
            for _ in range(repeats):
                call()
            end.record()
            end.synchronize()
            seconds[name].append(start.elapsed_time(end) / 1e3 / repeats)
    return {name: statistics.median(times) for name, times in seconds.items()}


def enqueued(call: Call, repeats: int) -> float:
    """Give the seconds until the host has enqueued calls on an idle device."""
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def done(call: Call) -> float:
    """Give the seconds until the device has done what a call enqueues."""
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def copy_of(size: int) -> tuple[Call, int]:
    """Give a copy on the device that moves about ``size`` bytes, and the bytes it moves."""
    import torch

    source = torch.ones(min(size, MOST_COPIED) // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel()


# What is timed: each maker gives the calls of one computation, by name


def ours(kind: str, x: Any, y: Any) -> Call:
    import torch

    import fastloss as fl

    loss = fl.SmoothL1Loss(reduction="none" if kind == "none" else "mean")
    out, slot = torch.empty_like(x), torch.empty((), dtype=x.dtype, device=x.device)
    if kind == "none":
        return lambda: loss(x, y, out=out)
    if kind == "mean":
        return lambda: loss(x, y, out=slot)
    if kind == "grad":
        return lambda: loss.grad(x, y, out=out)
    if kind == "value_and_grad":
        return lambda: loss.value_and_grad(x, y, out=out, total=slot)
    second = torch.empty_like(x)
    return lambda: loss.grad_and_hess(x, y, out=(out, second))


def of_torch(kind: str, x: Any, y: Any, compiled: bool) -> Call | None:
    """Give torch's own call: its gradient by autograd, which needs the forward pass."""
    import torch

    def function(x: Any, y: Any, reduction: str = "mean") -> Any:
        return torch.nn.functional.smooth_l1_loss(x, y, reduction=reduction)

    if compiled:
        torch.compiler.reset()  # after eight sizes and dtypes it would stop compiling
        function = torch.compile(function, dynamic=False)
    if kind in ("none", "mean"):

        def forward() -> Any:
            with torch.no_grad():
                return function(x, y, reduction=kind)

        return forward
    if kind == "grad_and_hess":
        return None
    leaf = x.detach().requires_grad_()

    def both() -> Any:
        leaf.grad = None
        value = function(leaf, y)
        value.backward()
        return leaf.grad if kind == "grad" else (value.detach(), leaf.grad)

    return both


def of_cupy(kind: str, x: Any, y: Any) -> dict[str, Call]:
    """Give CuPy's call: an elementwise kernel of one's own, where one pass is enough."""
    try:
        import cupy
    except ImportError:
        return {}
    if kind not in ("none", "grad"):
        return {}
    x, y = cupy.asarray(x), cupy.asarray(y)
    # Halves are computed in float32, as everywhere else.
    real = "double" if x.dtype == "float64" else "float"
    code = {
        "none": "out = a < 1 ? 0.5f * r * r : a - 0.5f;",
        "grad": f"out = (a < 1 ? r : ({real})((r > 0) - (r < 0))) / {x.size};",
    }[kind]
    kernel = cupy.ElementwiseKernel(
        "T x, T y",
        "T out",
        f"{real} r = ({real})x - ({real})y, a = r < 0 ? -r : r; {code}",
        f"smooth_l1_{kind}",
    )
    out = cupy.empty_like(x)
    return {"CuPy ElementwiseKernel": lambda: kernel(x, y, out)}


def elementwise(kind: str, n: int, dtype: str, rounds: int, compiled: bool) -> list[Row]:
    import torch

    generator = torch.Generator("cuda").manual_seed(0)
    x, y = (
        torch.randn(n, generator=generator, device="cuda", dtype=torch.float32).to(
            getattr(torch, dtype)
        )
        for _ in range(2)
    )
    calls = {OURS: ours(kind, x, y)}
    if n < LARGE:
        call = of_torch(kind, x, y, False)
        if call is not None:
            calls["torch"] = call
        calls |= of_cupy(kind, x, y)
        call = of_torch(kind, x, y, True) if compiled else None
        if call is not None:
            calls["torch.compile"] = call
        check(calls, dtype)
    moved = STREAMS[kind] * x.element_size() * n
    return rows(kind, f"{n:,}", dtype, calls, moved, rounds, REPEATS.get(n, 1), queued=True)


def rows(
    what: str,
    size: str,
    dtype: str,
    calls: dict[str, Call],
    moved: int,
    rounds: int,
    repeats: int = 1,
    queued: bool = False,
) -> list[Row]:
    copy, copied = copy_of(moved)
    times = interleave({**calls, "copy": copy}, rounds, repeats, queued)
    peak = copied / times["copy"]
    found = []
    for name, seconds in times.items():
        speed = (copied if name == "copy" else moved) / seconds
        ratio = seconds / times[OURS]
        found.append(Row(what, size, dtype, name, seconds, speed / 1e9, speed / peak, ratio))
    return found


def check(calls: dict[str, Call], dtype: str) -> None:
    """Raise AssertionError unless all give what fastloss gives, to rounding."""
    wanted = parts(calls[OURS]())
    for name, call in calls.items():
        for a, b in zip(parts(call()), wanted, strict=True):
            assert a.dtype == b.dtype, f"{name}: {a.dtype} for {b.dtype}"
            limit = max(TOLERANCE[dtype] * float(b.abs().max()), SMALLEST[dtype])
            error = float((a - b).abs().max())
            assert error <= limit, f"{name} differs by {error:.2g}, more than {limit:.2g}"


def parts(result: Any) -> list[Any]:
    import torch

    results = result if isinstance(result, tuple) else (result,)
    return [torch.as_tensor(part, device="cuda").clone() for part in results]


# The linear model


def linear(n: int, p: int, dtype: str, rounds: int) -> list[Row]:
    import numpy as np
    import torch

    import fastloss as fl

    generator = torch.Generator("cuda").manual_seed(0)
    kind = getattr(torch, dtype)
    X = torch.randn((n, p), generator=generator, device="cuda", dtype=kind)
    truth = torch.randn(p, generator=generator, device="cuda", dtype=kind) / p**0.5
    y = X @ truth + torch.randn(n, generator=generator, device="cuda", dtype=kind)
    objective = fl.LinearObjective(X, y, fl.SmoothL1Loss())
    w = np.full(p, 0.01)
    leaf = torch.tensor(w, dtype=kind, device="cuda", requires_grad=True)

    def autograd() -> Any:
        leaf.grad = None
        value = torch.nn.functional.smooth_l1_loss(X @ leaf, y)
        value.backward()
        return value.item(), leaf.grad.cpu().numpy()

    calls = {OURS: lambda: objective(w), "torch": autograd}
    (value, gradient), (other, theirs) = (call() for call in calls.values())
    # Torch multiplies and adds in the precision of X, fastloss in float64.
    limit = 1e-3 if dtype == "float32" else 1e-9
    assert abs(value - other) <= limit * value, f"values {value} and {other}"
    np.testing.assert_allclose(theirs, gradient, rtol=limit, atol=limit * abs(gradient).max())
    moved = X.element_size() * n * p
    return rows("linear objective", f"{n:,} x {p}", dtype, calls, moved, rounds)


def once(p: int, dtype: str, rounds: int) -> list[Row]:
    """Set the kernel that reads X once beside the library's products, for the same objective.

    Where the ratio of the products is below 1, ``tiling`` in ``fastloss/cuda/model.py`` should
    leave the matrix to them.
    """
    import numpy as np
    import torch

    import fastloss as fl

    generator = torch.Generator("cuda").manual_seed(0)
    kind = getattr(torch, dtype)
    n = BYTES_OF_X // (p * kind.itemsize)
    X = torch.randn((n, p), generator=generator, device="cuda", dtype=kind)
    y = torch.randn(n, generator=generator, device="cuda", dtype=torch.float64)
    ours, products = (fl.LinearObjective(X, y, fl.SmoothL1Loss()) for _ in range(2))
    if ours.model.rows is None:
        return []
    products.model.rows = None
    w = np.full(p, 0.01)
    figures = []
    for what, method in (("linear objective", "__call__"), ("Hessian product", "hessp")):
        arguments = (w,) if method == "__call__" else (w, w)
        calls: dict[str, Call] = {
            OURS: partial(getattr(ours, method), *arguments),
            PRODUCTS: partial(getattr(products, method), *arguments),
        }
        found, wanted = (np.hstack(call()) for call in calls.values())
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10 * abs(wanted).max())
        figures += rows(what, f"{n:,} x {p}", dtype, calls, BYTES_OF_X + 8 * n, rounds)
    return figures


# Launch overhead


def overhead(rounds: int) -> list[tuple[str, float]]:
    """Give the microseconds of a call's own on 1,000 elements: enqueued, and until a number."""
    import torch

    import fastloss as fl

    x, y = torch.randn(2, 1000, device="cuda")
    out, slot = torch.empty_like(x), torch.empty((), device="cuda")
    none, mean = fl.SmoothL1Loss(reduction="none"), fl.SmoothL1Loss()
    function = torch.nn.functional.smooth_l1_loss
    calls = {
        "fastloss, every element into out": lambda: none(x, y, out=out),
        "fastloss, gradient into out": lambda: mean.grad(x, y, out=out),
        "fastloss, mean into out": lambda: mean(x, y, out=slot),
        "fastloss, mean as a number": lambda: mean(x, y),
        "torch, every element": lambda: function(x, y, reduction="none"),
        "torch, mean": lambda: function(x, y),
        "torch, mean as a number": lambda: function(x, y).item(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(50 + 20 * rounds):
        for name, call in calls.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if k >= 50:  # the first ones compile
                seconds[name].append(elapsed)
    return [(name, statistics.median(times) * 1e6) for name, times in seconds.items()]


# What is said of it


def about() -> list[str]:
    """Name the machine and the versions."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    import fastloss as fl

    names = ["numba", "numba-cuda", "numpy", "torch", "cupy-cuda12x", "cupy-cuda13x"]
    versions = [f"fastloss {fl.__version__}"]
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    device = torch.cuda.get_device_properties(0)
    return [
        f"{device.name}, {device.total_memory / 2**30:.0f} GiB, "
        f"{device.multi_processor_count} multiprocessors",
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"CUDA {torch.version.cuda} in torch",
        ", ".join(versions),
    ]


HEADS = ["", "elements", "dtype", "", "ms", "GB/s", "of a copy", "times fastloss"]


def cells(row: Row) -> list[str]:
    last = "" if row.name == "copy" else f"{row.ratio:.2f}"
    return [
        row.what,
        row.size,
        row.dtype,
        row.name,
        f"{row.seconds * 1e3:.3f}",
        f"{row.gb_per_second:.0f}",
        f"{row.share:.0%}",
        last,
    ]


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    rule = ["---:" if head in HEADS[4:] or head == "µs" else "---" for head in heads]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rule, *lines])


def page(figures: list[Row], launches: list[tuple[str, float]], rounds: int) -> str:
    command = " ".join(["python bench/gpu.py", *sys.argv[1:]])
    return "\n\n".join(
        [
            "# Speed on a GPU",
            f"Taken by `{command}`; median of {rounds} rounds, every implementation in turn, by "
            "CUDA events.",
            "\n".join(f"- {line}" for line in about()),
            "Elementwise calls are enqueued while the device is busy, so that the time is its own; "
            "the host's stands below. A linear objective is timed as a whole, until its value and "
            "gradient are on the host. "
            "GB/s counts the bytes that a computation has to move, whoever moves them more often; "
            "the share is of the speed at which torch copies as many bytes on the device, in the "
            "same rounds. Arrays of some tens of megabytes stay in the second-level cache. The "
            "gradient of torch is a forward and a backward pass. A linear objective is computed by "
            "a kernel that reads X once; beside it stands the same objective by the library's "
            "matrix products.",
            markdown(HEADS, [cells(row) for row in figures]),
            "## A call on 1,000 elements",
            "Until the call returns, on an idle device: a number is waited for, an array is not.",
            markdown(["", "µs"], [[name, f"{us:.1f}"] for name, us in launches]),
        ]
    )


def show(figures: list[Row], launches: list[tuple[str, float]], rounds: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="\n".join(about()), caption=f"median of {rounds}")
    for head in HEADS:
        table.add_column(head, justify="right" if head in HEADS[4:] else "left")
    for row in figures:
        table.add_row(*cells(row), end_section=row.name == "copy")
    calls = Table(title="A call on 1,000 elements")
    calls.add_column("")
    calls.add_column("µs", justify="right")
    for name, us in launches:
        calls.add_row(name, f"{us:.1f}")
    console = Console()
    console = Console(width=max(console.width, 120))
    console.print(table)
    console.print(calls)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} elements too")
    parser.add_argument("--quick", action="store_true", help="10,000,000 elements of float32 alone")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default %(default)s")
    given = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(f"nothing to measure: {reason}", file=sys.stderr)
        return 2
    import torch

    sizes = [10_000_000] if given.quick else SIZES + [LARGE] * given.large
    most = max(n for n in sizes if n < LARGE)  # torch.compile takes seconds for each
    dtypes = ["float32"] if given.quick else DTYPES
    jobs = [
        partial(elementwise, kind, n, dtype, given.rounds, n == most)
        for dtype in dtypes
        for kind in STREAMS
        for n in sizes
    ]
    jobs += [
        partial(linear, n, p, dtype, given.rounds)
        for n, p in (LINEAR[-1:] if given.quick else LINEAR)
        for dtype in ("float32", "float64")
    ]
    jobs += [
        partial(once, p, dtype, given.rounds)
        for p in ([32] if given.quick else COLUMNS)
        for dtype in ("float32", "float64")
    ]
    figures = []
    for job in jobs:
        try:
            figures += job()
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            print(f"left out, no room: {job.args}: {error}", file=sys.stderr)
        torch.cuda.empty_cache()
    launches = overhead(given.rounds)
    show(figures, launches, given.rounds)
    if given.write:
        PAGE.write_text(page(figures, launches, given.rounds) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

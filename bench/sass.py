"""Whether the GPU's kernels are as they should be, read off their machine code: needs no GPU.

The calls of ``calls()`` run through the back end with arrays that only look as if they were on a
GPU; where it would launch a kernel, the kernel and its arguments are noted. Each specialisation is
compiled and linked with the options of a launch, for compute capability 8.0 and 9.0, and passes
when

- it has no subroutine (IEEE division is one) and nothing in local memory or on a stack;
- it has at most 64 registers, with which four blocks fit a multiprocessor;
- no instruction is a minimum or maximum: these drop NaN;
- a kernel that computes in float32 and sums nothing has no float64 arithmetic and no conversion;
- no product is fused into a sum: the compiler could choose another one of two products on another
  GPU, or beside a gradient, and the sum would have other bits;
- a kernel of vectors moves 16 bytes at a time, ``UNROLL`` times for each array, without a jump, and
  loads all before its first store; so does that of the linear model with X, where rows allow it;
- it has as many multiply-adds on both architectures.

A fused product is looked for where the arithmetic is float32 and the sum float64, as in float64
formulas fuse on purpose. What becomes of NaN is not looked at any further: that needs a GPU.

All outputs of all formulas and precisions are checked in the kernels of vectors, of contiguous
scalars, of folded gradients and of the linear model. For strided arrays it is all outputs of one
formula, and value and gradient of the others: where an element lies has nothing to do with what is
computed from it. Of scalars, sm_80 has one formula.

Exit status 1 lists what failed. ``--self-test`` compiles kernels that are bad, each in one way, and
demands that the check rejects each of them for that, and accepts a good one.
"""

import argparse
import inspect
import math
import multiprocessing
import os
import re
import struct
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
    sys.exit("NUMBA_ENABLE_CUDASIM is set: the simulator has no machine code")

import numba.cuda.dispatcher
from cuda import pathfinder
from cuda.core import Linker, LinkerOptions, ObjectCode
from numba import cuda, float32, float64, int64, typeof, types
from numba.cuda import libdevice

from fastloss import Loss, binding, dispatch
from fastloss.cuda import backend, elementwise, launch, linear, parts
from fastloss.cuda.arrays import Device
from fastloss.cuda.lanes import load, store
from fastloss.cuda.model import Rows
from fastloss.formulas import FORMULAS, Formula, SmoothL1
from fastloss.place import Host

# What a launch on a GPU of that compute capability compiles for.
ARCHITECTURES = {"sm_80": (8, 0), "sm_90a": (9, 0, "a")}
NEWEST = "sm_90a"
REGISTERS = 64
DTYPES = ("float16", "float32", "float64")


class Case(NamedTuple):
    """One specialisation of a kernel, by arguments like those that it is launched with."""

    kernel: str
    call: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kernel}: {self.call}"


class Demand(NamedTuple):
    """What the machine code may have and has to have."""

    float64: bool = False
    fused: bool = True
    loads: int = 0
    stores: int = 0
    registers: int = REGISTERS


class Code(NamedTuple):
    """The machine code of one kernel for one architecture."""

    resources: dict[str, int]
    operations: list[str]


# --- what the back end launches -------------------------------------------------------------


class Pretended(Host, Device):
    """A GPU whose memory is the host's."""

    def __init__(self) -> None:
        Host.__init__(self)
        self.index = 0
        self.library = SimpleNamespace(stream=lambda index: 0, finish=lambda: None)


class Call(NamedTuple):
    """A call of a loss."""

    formula: type[Formula]
    dtype: str
    reduction: str
    method: str
    layout: str
    weight: bool

    def __str__(self) -> str:
        weighted = ", weight" if self.weight else ""
        return (
            f"{self.formula.__name__} {self.dtype} {self.method} {self.reduction}, "
            f"{self.layout}{weighted}"
        )


class Careless(NamedTuple):
    """A formula of a user's whose numbers are of other types than the residual."""

    scale: float = 2.0

    def value(self, r: float) -> float:
        return math.log(2.0) * abs(r)

    def grad(self, r: float) -> float:
        return np.float64(r)

    def hess(self, r: float) -> float:
        return 1


METHODS = ("__call__", "grad", "value_and_grad", "grad_and_hess")
STRIDED = {"1 axis": (8,), "2 axes": (8, 8), "3 axes": (8, 8, 8)}
FOLDED = {
    "folded to an axis": ((8, 1), (8, 8)),
    "folded to a number": ((1,), (8,)),
    "folded along 2 axes": ((1, 8, 1), (8, 8, 8)),
}


def calls() -> Iterator[Call]:
    layouts = ("vectors", "contiguous", *STRIDED, *FOLDED)
    reductions = ("none", "sum", "mean")
    for each in product(FORMULAS, DTYPES, reductions, METHODS, layouts, (False, True)):
        call = Call(*each)
        representative = call.formula is SmoothL1 and call.dtype == "float32"
        usual = call.weight == (call.reduction == "mean")
        if call.layout in STRIDED:
            wanted = representative or (usual and call[2:4] == ("mean", "value_and_grad"))
        elif call.layout in FOLDED:
            # What the others launch is their sum, in scalars.
            wanted = call.method in ("grad", "grad_and_hess")
            wanted &= representative or call.layout == "folded to an axis"
        else:
            wanted = usual or call.layout == "vectors"
        if wanted:
            yield call
    for dtype, method in product(DTYPES, METHODS):
        yield Call(Careless, dtype, "mean", method, "vectors", False)


def arrays(call: Call) -> tuple[Any, Any, Any]:
    """Make input, target and weight as the call's layout says."""
    dtype = np.dtype(call.dtype)
    shape: tuple[int, ...] = (8,)
    x = y = np.ones(shape, dtype)
    if call.layout == "contiguous":
        # Of several dtypes; float16 is computed with in vectors unless its address is odd.
        other = {"float16": "float16", "float32": "float16", "float64": "int32"}[call.dtype]
        x, y = np.ones(9, dtype)[1:], np.ones(9, other)[1:]
    elif call.layout in STRIDED:
        shape = STRIDED[call.layout]
        x = np.ones([2 * n for n in shape], dtype)[(slice(None, None, 2),) * len(shape)]
        y = np.ones(shape, dtype)
    elif call.layout in FOLDED:
        own, shape = FOLDED[call.layout]
        x, y = np.ones(own, dtype), np.ones(shape, dtype)
    return x, y, np.ones(shape, dtype) if call.weight else None


def elementwise_calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    for call in calls():
        loss = Loss(call.formula(), call.reduction)
        yield str(call), partial(getattr(loss, call.method), *arrays(call))


def linear_calls(place: Pretended) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Evaluate linear models: rows from multiples of 16 bytes on, or not."""
    layouts = {"rows of 16 bytes": 8, "rows": 7}
    products = (False, True)
    for formula, dtype, layout, hessp in product(FORMULAS, DTYPES[1:], layouts, products):
        for weighted in (False, True) if formula is SmoothL1 else (True,):
            p = layouts[layout]
            X, y = np.ones((8, p), dtype), np.ones(8)
            model = Rows.of(place, X, y, y if weighted else None)
            assert model is not None
            w = np.ones(p + 1)
            what = ("Hessian product" if hessp else "gradient") + ", weight" * weighted
            name = f"linear model, {formula.__name__} {dtype} {layout}, {what}"
            yield name, partial(model.evaluate, formula(), w, w if hessp else None)


def cases() -> list[Case]:
    """Note what the calls launch, each specialisation once."""
    found: dict[Any, Case] = {}
    place = Pretended()
    noting: list[tuple[str, tuple[Any, ...]]] = []

    def note(kernel: Any, blocks: int, stream: Any, *arguments: Any) -> None:
        noting.append((kernel.py_func.__name__, arguments))

    with (
        patch.multiple(
            launch,
            active=lambda index: nullcontext(),
            vector=lambda address, count, dtype: np.empty(1, dtype),
            stream_at=lambda address: 0,
            run=note,
            send_to=lambda address, array, stream: None,
            fetch_at=lambda address, count, dtype, stream: np.ones(count, dtype),
        ),
        patch.object(dispatch, "elementwise", lambda *arguments: (backend, place)),
        # A class of its own for a user's formula could not be sent to another process.
        patch.object(binding, "BUILT_IN", binding.BUILT_IN | {Careless}),
        warnings.catch_warnings(),
    ):
        for name, call in (*elementwise_calls(), *linear_calls(place)):
            noting.clear()
            call()
            for kernel, arguments in noting:
                case = Case(kernel, name, arguments)
                found.setdefault((kernel, *map(typeof, arguments)), case)
    return list(found.values())


def demand(case: Case) -> Demand:
    """Say what a kernel may have and has to have, by its arguments."""
    if case.kernel in ("finish", "outputs"):
        return Demand(float64=True)
    given = dict(
        zip(inspect.signature(kernel(case).py_func).parameters, case.arguments, strict=True)
    )

    def present(*names: str) -> int:
        return sum(not isinstance(given[name], tuple) for name in names)

    if case.kernel == "rows":
        return Demand(float64=True, loads=parts.UNROLL if given["tiling"][0] == () else 0)
    wide = given["scale"].dtype == np.float64
    sums = case.kernel == "folded" or bool(present("partials"))
    careless = isinstance(case.arguments[0], Careless)
    allowed = Demand(float64=wide or sums or careless, fused=wide or careless or not sums)
    if case.kernel in ("folded", "scalars"):
        return allowed
    loads, stores = present("x", "y", "w"), present("value_out", "grad_out", "hess_out")
    return allowed._replace(loads=loads * elementwise.UNROLL, stores=stores * elementwise.UNROLL)


def architectures(case: Case) -> list[str]:
    """Say what to compile a case for; scalars of one formula are enough for the older GPU."""
    if case.kernel == "scalars" and not isinstance(case.arguments[0], SmoothL1):
        return [NEWEST]
    return list(ARCHITECTURES)


def kernel(case: Case) -> Any:
    return getattr(linear if case.kernel in ("rows", "outputs") else elementwise, case.kernel)


# --- compilation ----------------------------------------------------------------------------

# The one private name of numba-cuda that is touched: device functions ask the current GPU what to
# compile for, also when the architecture is given.
current: SimpleNamespace = SimpleNamespace(compute_capability=(9, 0))
numba.cuda.dispatcher.get_current_device = lambda: current


def cubin(function: Any, arguments: tuple[Any, ...], architecture: str) -> bytes:
    """Compile and link a kernel as its launch does."""
    code, _ = cuda.compile(
        function.py_func,
        types.void(*map(typeof, arguments)),
        device=False,
        abi="numba",
        cc=ARCHITECTURES[architecture],
        output="ltoir",
        launch_bounds=function.targetoptions.get("launch_bounds"),
    )
    options = LinkerOptions(arch=architecture, link_time_optimization=True)
    return bytes(Linker(ObjectCode.from_ltoir(code), options=options).link("cubin").code)


def read(cubins: list[bytes], architecture: str) -> list[Code]:
    """Disassemble kernels together: the disassembler takes 0.3 s to start."""
    texts = [text(cubin) for cubin in cubins]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "code")
        used = []
        for cubin in cubins:
            write(path, cubin)
            used.append(resources(tool("cuobjdump", "-res-usage", path)))
        write(path, b"".join(texts))
        listing = tool("nvdisasm", "-b", architecture.replace("sm_", "SM"), path)
    codes = [Code(resources, []) for resources in used]
    ends = np.cumsum([len(text) for text in texts])
    for found in INSTRUCTION.finditer(listing):
        codes[np.searchsorted(ends, int(found[1], 16), side="right")].operations.append(found[2])
    return codes


# An address, perhaps a predicate, the operation.
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", re.M)


def resources(listing: str) -> dict[str, int]:
    """Read what cuobjdump says of the one kernel in a cubin."""
    return {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", listing)}


def text(cubin: bytes) -> bytes:
    """Take the instructions out of an ELF file of one kernel."""
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<HHH", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + k * size) for k in range(count)]
    start = sections[names][4]
    (found,) = [s for s in sections if cubin[start + s[0] :].startswith(b".text.")]
    return cubin[found[4] : found[4] + found[5]]


def tool(name: str, *arguments: str) -> str:
    path = pathfinder.find_nvidia_binary_utility(name)
    if path is None:
        sys.exit(f'{name} is not installed: pip install -e ".[sass]"')
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout


def write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


# --- what the code has ----------------------------------------------------------------------

LOCAL = re.compile("LDL|STL")
LEAST = re.compile(r"[DFH]\w*MNMX")
FLOAT64 = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)|MUFU\.\w*64|[FI]2F\.(\w+\.)*F64|F2I\.(\w+\.)*F64")
FUSED = re.compile("[DF]FMA")
WIDE = re.compile(r"(LDG|STG)\..*128")
JUMP = re.compile("BRA|BRX|CALL|EXIT|RET|BSYNC")


def faults(code: Code, demand: Demand) -> list[str]:
    """Say what the machine code has amiss; nothing for code that is as it should be."""
    found = []
    stack = [
        f"{name} {code.resources[name]}" for name in ("STACK", "LOCAL") if code.resources[name]
    ]
    if local := ", ".join([*stack, *counts(code.operations, LOCAL)]):
        found.append(f"local memory: {local}")
    if code.resources["REG"] > demand.registers:
        found.append(f"{code.resources['REG']} registers")
    # A call without any return is how sm_80 leaves a loop.
    if returns := counts(code.operations, re.compile("RET")):
        found.append(f"a subroutine: {returns[0]}")
    if least := counts(code.operations, LEAST):
        found.append(f"drops NaN: {', '.join(least)}")
    if not demand.float64 and (wide := counts(code.operations, FLOAT64)):
        found.append(f"float64 arithmetic: {', '.join(wide)}")
    if not demand.fused and (fused := counts(code.operations, re.compile("DFMA"))):
        found.append(f"a product fused into a sum: {fused[0]}")
    if demand.loads:
        found += access_faults(code.operations, demand)
    return found


def access_faults(operations: list[str], demand: Demand) -> list[str]:
    wide = [k for k, name in enumerate(operations) if WIDE.match(name)]
    path = operations[wide[0] : wide[-1]] if wide else []
    kinds = "".join(operations[k][0] for k in wide)
    loads, stores = kinds.count("L"), kinds.count("S")
    found = []
    if (loads, stores) != (demand.loads, demand.stores):
        found.append(
            f"{loads} loads and {stores} stores of 16 bytes in place of {demand.loads} and "
            f"{demand.stores}"
        )
    if "SL" in kinds:
        found.append("stores before all is loaded")
    if jumps := counts(path, JUMP):
        found.append(f"jumps between its loads and stores: {', '.join(jumps)}")
    return found


def counts(operations: list[str], pattern: re.Pattern[str]) -> list[str]:
    """Count the operations that start with a pattern, as text."""
    found = Counter(filter(pattern.match, operations))
    return [f"{name} {count}" for name, count in sorted(found.items())]


def unlike(codes: dict[str, Code]) -> list[str]:
    """Say where not as many products are fused for each architecture.

    Single operations are not counted: some are done twice where registers are short.
    """
    seen = {name: counts(code.operations, FUSED) for name, code in codes.items()}
    if len({tuple(fused) for fused in seen.values()}) < 2:
        return []
    return [f"fused otherwise: {name} {', '.join(fused)}" for name, fused in seen.items()]


def examine(chosen: list[Case]) -> list[tuple[Case, dict[str, Code]]]:
    """Compile a few kernels for their architectures."""
    found: list[dict[str, Code]] = [{} for _ in chosen]
    for name in ARCHITECTURES:
        here = [k for k, case in enumerate(chosen) if name in architectures(case)]
        cubins = [cubin(kernel(chosen[k]), chosen[k].arguments, name) for k in here]
        for k, code in zip(here, read(cubins, name), strict=True):
            found[k][name] = code
    return list(zip(chosen, found, strict=True))


# --- kernels that are bad -------------------------------------------------------------------


@elementwise.kernel
def _good(x, y, out):
    i = 4 * int64(cuda.grid(1))
    a, b = load(x, i), load(y, i)
    store(out, i, (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]))


@elementwise.kernel
def _one_by_one(x, y, out):
    i = 4 * int64(cuda.grid(1))
    for k in range(4):
        out[i + k] = x[i + k] - y[i + k]


@elementwise.kernel
def _in_turns(x, y, out):
    i = 8 * int64(cuda.grid(1))
    a, b = load(x, i), load(y, i)
    store(out, i, (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]))
    a, b = load(x, i + 4), load(y, i + 4)
    store(out, i + 4, (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]))


@elementwise.kernel
def _local(x, y, out):
    i = cuda.grid(1)
    table = cuda.local.array(64, float32)
    for k in range(64):
        table[k] = x[i + k]
    out[i] = table[int64(y[i]) & 63]


@elementwise.kernel
def _hoarding(x, y, out):
    i = int64(cuda.grid(1))
    a, b, c, d, e = load(x, i), load(x, i + 4), load(x, i + 8), load(x, i + 12), load(x, i + 16)
    f, g, h, j, k = load(y, i), load(y, i + 4), load(y, i + 8), load(y, i + 12), load(y, i + 16)
    m, n, o, p, q = load(x, -i), load(x, 4 - i), load(x, 8 - i), load(x, 12 - i), load(x, 16 - i)
    r, s, t, u, v = load(y, -i), load(y, 4 - i), load(y, 8 - i), load(y, 12 - i), load(y, 16 - i)
    for lanes in (a, b, c, d, e, f, g, h, j, k, m, n, o, p, q, r, s, t, u, v):
        store(out, i, lanes)  # x and y may be written to here, so all has been loaded before
        i += 256


@elementwise.kernel
def _float64(x, y, out):
    i = cuda.grid(1)
    out[i] = 0.1 * (x[i] - y[i])


@elementwise.kernel
def _dividing(x, y, out):
    i = cuda.grid(1)
    out[i] = x[i] / y[i]


@elementwise.kernel
def _least(x, y, out):
    i = cuda.grid(1)
    out[i] = libdevice.fminf(x[i], y[i])


@elementwise.kernel
def _fusing(x, y, out):
    i = cuda.grid(1)
    out[i] += float64(x[i]) * float64(y[i])


def self_test() -> list[str]:
    """Give the kernels about which the check is wrong."""
    array = np.ones(1, np.float32)
    vectors = Demand(loads=2, stores=1)
    wrong = []
    for function, demand, reason in (
        (_good, vectors, None),
        (_good, Demand(loads=4, stores=2), "2 loads and 1 stores"),
        (_one_by_one, vectors, "0 loads and 0 stores"),
        (_in_turns, Demand(loads=4, stores=2), "stores before"),
        (_local, Demand(), "local memory"),
        (_hoarding, Demand(), "registers"),
        (_float64, Demand(), "float64 arithmetic"),
        (_dividing, Demand(), "a subroutine"),
        (_least, Demand(), "drops NaN"),
        (_fusing, Demand(float64=True), None),
        (_fusing, Demand(float64=True, fused=False), "a product fused"),
    ):
        for name in ARCHITECTURES:
            code = read([cubin(function, (array, array, array), name)], name)[0]
            found = faults(code, demand)
            verdict = "accepted" if not found else f"rejected ({'; '.join(found)})"
            print(f"{function.py_func.__name__} {name}: {verdict}")
            right = len(found) == 1 and found[0].find(reason) >= 0 if reason else not found
            if not right:
                wrong.append(f"{function.py_func.__name__} {name}: wrongly {verdict}")
    good = {name: Code({}, ["FADD", "FMUL", "FFMA"]) for name in ARCHITECTURES}
    if unlike(good) or not unlike({**good, "other": Code({}, ["FMUL", "FMUL", "FADD"])}):
        wrong.append("products fused on one architecture only: wrongly judged")
    return wrong


def summary(results: list[tuple[Case, dict[str, Code]]]) -> None:
    seen: dict[tuple[str, str], list[Code]] = {}
    for case, codes in results:
        for name, code in codes.items():
            seen.setdefault((name, case.kernel), []).append(code)
    print("                   checked   registers at most   instructions at most")
    for (name, kernel_name), codes in sorted(seen.items()):
        registers = max(code.resources["REG"] for code in codes)
        longest = max(len(code.operations) for code in codes)
        print(f"{name:8} {kernel_name:9} {len(codes):8} {registers:19} {longest:22}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="show that the check can fail")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    given = parser.parse_args()
    if given.self_test:
        failed = self_test()
    else:
        chosen = [case for case in cases() if given.only in str(case)]
        # Few enough in a part that the processes end together.
        parts = [part for k in range(24) if (part := chosen[k::24])]
        results = []
        with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
            for part in pool.imap_unordered(examine, parts):
                results += part
        summary(results)
        failed = [f"{case}: {fault}" for case, codes in results for fault in unlike(codes)]
        for case, codes in results:
            for name, code in codes.items():
                failed += [f"{name} {case}: {fault}" for fault in faults(code, demand(case))]
        print(f"{len(chosen)} kernels, {len(failed)} faults")
    for line in sorted(failed):
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

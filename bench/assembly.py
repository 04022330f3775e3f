"""Whether every kernel's loops are vectorised, read off the machine code: a check without noise.

For each kernel, loss, precision and kind of call, the specialisation is compiled and its innermost
loops are looked up in the assembly text. A kernel passes when

- the loop over the elements, which starts with ``input - target``, subtracts packed numbers of its
  precision and stores packed results to all its outputs, in the same loop;
- a kernel that sums has its running sums (Knuth's two-sum) in packed float64 additions;
- the linear model's products with X are packed float64 multiply-adds;
- a kernel for outputs beyond the cache stores each of them past it;
- nothing is gathered or scattered element by element.

The scalar loops for the last few elements are there beside the packed ones and are not looked at.
Exit status 1 lists what failed. ``--self-test`` compiles loops that cannot be vectorised, and
demands that the check rejects each of them and accepts its vectorising twin.
"""

import argparse
import multiprocessing
import platform
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core.caching import NullCache

from fastloss.cpu import elementwise, linear, sums
from fastloss.cpu.formula import bind
from fastloss.cpu.jit import OPTIONS
from fastloss.cpu.quick import QuickSmoothL1
from fastloss.formulas import FORMULAS, SmoothL1

# Fewer elements than a line has, which an output stored past the cache must begin with.
SIZE, COLUMNS = 7, 9
DTYPES = ("float32", "float64")
# kind: (outputs of the element's loop, whether values are summed). A sum's terms are an output.
ELEMENTWISE = {
    "none": (("value",), False),
    "sum": ((), True),
    "grad": (("grad",), False),
    "value_and_grad": (("grad",), True),
    "grad_and_hess": (("grad", "hess"), False),
}


class Case(NamedTuple):
    """One specialisation of a kernel."""

    kernel: str
    formula: str
    dtype: str
    kind: str
    weight: bool

    def __str__(self) -> str:
        weighted = ", weight" if self.weight else ""
        return f"{self.kernel} {self.formula} {self.dtype} {self.kind}{weighted}"


class Demand(NamedTuple):
    """What the machine code has to have."""

    dtype: str
    outputs: int
    sums: bool
    products: bool = False
    streamed: int = 0
    """The outputs that are stored past the cache."""
    ahead: bool = False
    """Whether memory is brought before it is read."""
    divides: bool = True
    """Whether loops may divide."""


def cases() -> list[Case]:
    kernels = [("elementwise", kind) for kind in ELEMENTWISE]
    # What is stored past the cache does not depend on the formula: one will do.
    streamed = [
        Case("streamed", SmoothL1.__name__, dtype, kind, weight)
        for kind, dtype, weight in product(ELEMENTWISE, DTYPES, (False, True))
        if ELEMENTWISE[kind][0]
    ]
    kernels += [(f"linear {order}", kind) for order in "CF" for kind in ("value_and_grad", "hessp")]
    # The slow ones first, so that two processes end together.
    kernels.reverse()
    names = [formula.__name__ for formula in FORMULAS]
    return streamed + [
        Case(kernel, formula, dtype, kind, weight)
        for (kernel, kind), formula, dtype, weight in product(kernels, names, DTYPES, (False, True))
    ]


# --- the machine code as text ---------------------------------------------------------------

X86 = {"x86_64", "amd64", "i386", "i686"}
ARM = {"aarch64", "arm64"}
LABEL = re.compile(r"(\.?L[\w.$]+):")
# x86: jne .LBB0_5; ARM: b.ne .LBB0_5, cbnz x8, .LBB0_5, tbz w8, #0, .LBB0_5
JUMP = re.compile(r"(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:[^#\s]+,\s*)?(?:#\w+,\s*)?(\.?L[\w.$]+)$")
ELEMENT_BY_ELEMENT = re.compile(r"^\s*(v?p?gather\w+|vp?scatter\w+|ld1[swd]\s.*\[\w+, z)", re.M)

BROUGHT = re.compile(r"^\s*(prefetch\w*|prfm)\b", re.M)
DIVISION = re.compile(r"\s*(v?div[ps][sd]|fdiv)\b")
PAST_THE_CACHE = re.compile(r"^\s*(v?movntp[sd]|stnp)\b", re.M)


def x86_operation(line: str) -> str | None:
    """Name a packed operation on xmm, ymm or zmm registers: 'sub ps', 'fma pd', 'store to rdi'."""
    word, _, operands = line.partition("\t")
    if re.fullmatch(r"v?mov(?:nt|[au])p[sd]|v?movdq[au]\d*|vmaskmovp[sd]", word):
        # To memory, masked or not; (%rdi,%rax,8) and 64(%rdi,%rax,8) are one output.
        stored = re.search(r"mm\d+, *[\w.-]*\(%(\w+)[^()]*\)(?: *\{%k\d\})?\s*$", operands)
        return f"store to {stored[1]}" if stored and stored[1] != "rsp" else None
    if found := re.fullmatch(r"v?(add|sub|mul)(p[sd])", word):
        return f"{found[1]} {found[2]}"
    if found := re.fullmatch(r"vfn?m(?:add|sub)\d*(p[sd])", word):
        return f"fma {found[1]}"
    return None


def arm_operation(line: str) -> str | None:
    """Name a packed operation on 4 float32 or 2 float64 numbers, in either spelling."""
    word, _, operands = line.partition("\t")
    if word in ("str", "stur", "stp") and operands.startswith("q"):
        stored = re.search(r"\[(\w+)", operands)
        return f"store to {stored[1]}" if stored and stored[1] != "sp" else None
    shape = re.search(r"\.(4s|2d)\b", line)
    found = re.match(r"f(add|sub|mul|mla|mls)(?=\.|$)", word)
    if not shape or not found:
        return None
    name = "fma" if found[1] in ("mla", "mls") else found[1]
    return f"{name} {'ps' if shape[1] == '4s' else 'pd'}"


@cache
def operation():
    """Give this machine's reader of a line, or None for one that is not known here."""
    machine = platform.machine().lower()
    return x86_operation if machine in X86 else arm_operation if machine in ARM else None


def packed_loops(assembly: str) -> list[Counter]:
    """Count the packed operations of every innermost loop."""
    read = operation()
    counts = [Counter(filter(None, map(read, loop))) for loop in innermost(assembly)]
    return [count for count in counts if count]


def looped(assembly: str) -> list[str]:
    """Give the lines of all innermost loops."""
    return [line for loop in innermost(assembly) for line in loop]


def innermost(assembly: str) -> list[list[str]]:
    """Give the lines of every innermost loop."""
    lines = [line.strip() for line in assembly.splitlines()]
    labels = {found[1]: i for i, line in enumerate(lines) if (found := LABEL.match(line))}
    ends: dict[int, int] = {}  # a loop's first line -> the last jump back to it
    for i, line in enumerate(lines):
        found = JUMP.match(line)
        if found and labels.get(found[1], i) < i:
            ends[labels[found[1]]] = i
    inner = [
        (first, last)
        for first, last in ends.items()
        if not any(first < a and b <= last for a, b in ends.items())
    ]
    return [lines[a : b + 1] for a, b in inner]


def packed_blocks(assembly: str) -> list[Counter]:
    """Count the packed operations of every run of lines between two labels or jumps."""
    blocks, read = [Counter()], operation()
    for line in map(str.strip, assembly.splitlines()):
        if LABEL.match(line) or JUMP.match(line):
            blocks.append(Counter())
        elif found := read(line):
            blocks[-1][found] += 1
    return blocks


def faults(assembly: str, demand: Demand) -> list[str]:
    """Say what the machine code lacks; nothing for code that is as it should be."""
    packed = "ps" if demand.dtype == "float32" else "pd"
    loops = packed_loops(assembly)
    found = []
    if not any(
        loop[f"sub {packed}"] and not _adds_up(loop) and _outputs(loop) >= demand.outputs
        for loop in loops
    ):
        found.append(f"no loop with packed {demand.dtype} subtraction and {demand.outputs} outputs")
    if demand.sums and not any(_adds_up(block) for block in packed_blocks(assembly)):
        found.append("no running sums in packed float64")
    if demand.products and not any(_multiplies(loop) for loop in loops):
        found.append("no packed float64 multiply-add")
    if len(PAST_THE_CACHE.findall(assembly)) < demand.streamed:
        found.append(f"no {demand.streamed} outputs stored past the cache")
    if demand.ahead and not BROUGHT.search(assembly):
        found.append("nothing is brought before it is read")
    if not demand.divides and any(map(DIVISION.match, looped(assembly))):
        found.append("divides within a loop")
    if gathers := sorted({g[0].split()[0] for g in ELEMENT_BY_ELEMENT.finditer(assembly)}):
        found.append(f"goes element by element: {', '.join(gathers)}")
    return found


def _outputs(loop: Counter) -> int:
    """Count the arrays that a loop writes to."""
    return sum(operation.startswith("store") for operation in loop)


def _adds_up(code: Counter) -> bool:
    """Whether it adds terms to running sums: three additions for each two subtractions.

    They may be products with weights, one for each subtraction. No loss looks like that, so a
    packed sum does not pass for the loop over the elements; nor do the sums as they are combined in
    the end, which add once for each subtraction.
    """
    additions, subtractions = code["add pd"] + code["fma pd"], code["sub pd"]
    products = code["mul pd"] + code["fma pd"]
    return 2 * additions >= 3 * subtractions > 0 and products <= subtractions


def _multiplies(loop: Counter) -> bool:
    """Whether it is a product with X; without FMA, a multiplication and an addition."""
    return bool(loop["fma pd"] or (loop["mul pd"] and loop["add pd"])) and not loop["sub pd"]


# --- compilation ----------------------------------------------------------------------------


def compiled(case: Case) -> tuple[str, Demand]:
    """Compile a case by running it on tiny arrays."""
    dtype = np.dtype(case.dtype)
    formula = next(f for f in FORMULAS if f.__name__ == case.formula)()
    weight = np.ones(SIZE, dtype) if case.weight else None
    target = np.zeros(SIZE, dtype)
    if not case.kernel.startswith("linear"):
        return _compiled_elementwise(case, formula, weight, target)
    X = np.ones((SIZE, COLUMNS), dtype, order=case.kernel[-1])
    direction = curvature = None
    if case.kind == "hessp":
        direction, curvature = np.ones(COLUMNS + 1), np.empty(SIZE)
    rows, w = (linear.Design.of(X), target, weight), np.ones(COLUMNS + 1)
    text = fresh(
        linear.BLOCKS[0],
        lambda: linear.evaluate(formula, *rows, w, 1.0, direction, curvature),
    )
    # Whatever X's precision, the losses are computed in float64.
    summed = direction is None
    return text, Demand("float64", 1 + summed, summed, products=True)


def _compiled_elementwise(case: Case, formula, weight, target) -> tuple[str, Demand]:
    dtype = np.dtype(case.dtype)
    names, summed = ELEMENTWISE[case.kind]
    outputs = [
        np.empty(SIZE, dtype) if name in names else None for name in ("value", "grad", "hess")
    ]
    arguments = (bind(formula, dtype), np.ones(SIZE, dtype), target, weight, dtype.type(1))
    quick = type(arguments[0]) is QuickSmoothL1
    demand = Demand(case.dtype, len(names) + summed, summed, ahead=summed, divides=not quick)
    if case.kernel == "streamed":
        pairs = np.empty((1, 2)) if summed else None
        kernel, rest = elementwise.serial, (pairs, None, True, None)
        demand = demand._replace(streamed=len(names), ahead=True)
    else:
        kernel = elementwise.single_summed if summed else elementwise.single_filled
        rest = (True if summed else None, None, None)
    return fresh(kernel, lambda: kernel(*arguments, *outputs, *rest)), demand


def fresh(dispatcher: Any, call: Callable[[], Any]) -> str:
    """Give the text of the one specialisation that a call compiles."""
    dispatcher._cache = NullCache()  # a kernel from the disk has no text
    before = set(dispatcher.overloads)
    call()
    (signature,) = set(dispatcher.overloads) - before
    return dispatcher.inspect_asm(signature)


def examine(case: Case) -> tuple[Case, list[str]]:
    return case, faults(*compiled(case))


# --- loops that cannot be vectorised --------------------------------------------------------


@njit(**OPTIONS)
def _straight(formula, x, y, order, scale, out):
    for i in range(x.size):
        out[i] = elementwise.scaled_grad(formula, x[i] - y[i], scale)


@njit(**OPTIONS)
def _wrapping(formula, x, y, order, scale, out):
    for i in range(order[0], order[1]):  # may be negative: each access tests and adds the size
        out[i] = elementwise.scaled_grad(formula, x[i] - y[i], scale)


@njit(**OPTIONS)
def _gathering(formula, x, y, order, scale, out):
    for i in range(x.size):
        out[i] = elementwise.scaled_grad(formula, x[order[i]] - y[order[i]], scale)


@njit(**OPTIONS)
def _sum_straight(formula, x, y, order, terms):
    for i in range(x.size):
        terms[i] = elementwise.value(formula, x[i] - y[i])
    return sums.combine(sums.add(sums.start(), terms))


@njit(**OPTIONS)
def _sum_of_wrapping(formula, x, y, order, terms):
    """Its sum is packed, and subtracts: the loop over the elements has to be told from it."""
    for i in range(order[0], order[1]):
        terms[i] = elementwise.value(formula, x[i] - y[i])
    return sums.combine(sums.add(sums.start(), terms))


def self_test() -> list[str]:
    """Give the loops about which the check is wrong."""
    wrong = []
    for name in DTYPES:
        dtype = np.dtype(name)
        size = 4 * SIZE
        x, y, out = np.ones((3, size), dtype)
        order = np.arange(size)
        formula = bind(SmoothL1(), dtype)
        loop = formula, x, y, order, dtype.type(1), out
        summed = formula, x, y, order, np.zeros(size)
        # A threshold without an ordinary reciprocal.
        dividing = bind(SmoothL1(0.0), dtype), *loop[1:]
        for function, arguments, demand, good in (
            (_straight, loop, Demand(name, 1, sums=False), True),
            (_straight, loop, Demand(name, 2, sums=False), False),
            (_straight, loop, Demand(name, 1, sums=True), False),
            (_wrapping, loop, Demand(name, 1, sums=False), False),
            (_gathering, loop, Demand(name, 1, sums=False), False),
            (_sum_straight, summed, Demand(name, 1, sums=True), True),
            (_sum_of_wrapping, summed, Demand(name, 1, sums=True), False),
            (_sum_straight, summed, Demand(name, 1, sums=True, ahead=True), False),
            (_straight, dividing, Demand(name, 1, sums=False), True),
            (_straight, dividing, Demand(name, 1, sums=False, divides=False), False),
        ):
            function._cache = NullCache()
            function(*arguments)
            text = function.inspect_asm(function.signatures[-1])
            found = faults(text, demand)
            verdict = "accepted" if not found else f"rejected ({'; '.join(found)})"
            print(f"{function.__name__} {name}, {demand.outputs} outputs: {verdict}")
            if good != (not found):
                wrong.append(f"{function.__name__} {name}: wrongly {verdict}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="show that the check can fail")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    given = parser.parse_args()
    if operation() is None:
        print(f"not checked: the machine code of {platform.machine()} is not known here")
        return 0
    if given.self_test:
        failed = self_test()
    else:
        chosen = [case for case in cases() if given.only in str(case)]
        with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
            results = list(pool.imap_unordered(examine, chosen, chunksize=2))
        failed = [f"{case}: {'; '.join(found)}" for case, found in sorted(results) if found]
        print(f"{len(chosen)} kernels, {len(failed)} not vectorised as they should be")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

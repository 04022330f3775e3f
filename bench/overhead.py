"""What a call on device arrays costs the host before the driver's own work: needs no GPU.

``no_driver.c`` is built into a CUDA driver that does nothing, and loaded in the place of the real
one. All that lies above it is real: fastloss, numba-cuda, cuda.core, the bindings, kernels compiled
for compute capability 9.0. So a figure is the time from a public call to its return, less

- the driver's own ``cuLaunchKernel``, some 2 to 4 us for each launch on a machine with a GPU, and
  its far cheaper question for the current context;
- what the library's allocator takes more than ``torch.empty`` on the CPU, where a call makes an
  array or sums; some 1 us.

Tensors are tensors of the CPU that say they live on a GPU: what they are asked costs what it costs
of torch, but ``__cuda_array_interface__`` and ``get_device``, which are Python here. CuPy's arrays
are Python objects here and Cython there.

A time is that of one call in a loop of ``--calls``; the loops of all rows take turns for
``--rounds`` rounds, and the median and the least are given. The first of the three parts is the
call with nothing launched: arguments looked at, checked, outputs made. The last is the bare call
of the launch that is used, as often as the call launches. Marshalling is what is left.

It needs Linux, a C compiler and, for its first table, torch; ``NUMBA_ENABLE_CUDASIM`` must not be
set. ``--check`` measures nothing: it launches every kernel as fastloss and as numba-cuda does, and
fails unless the same kernel, grid, stream and bytes of parameters reach the driver, unless fastloss
launches all of them itself, and unless what is kept of them on disk is what was compiled.
"""

import argparse
import ctypes
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
    sys.exit("NUMBA_ENABLE_CUDASIM is set: the simulator launches nothing")

SIZE = 4096
SOURCE = Path(__file__).with_name("no_driver.c")


def load_driver() -> ctypes.CDLL:
    """Build the driver and load it first: whoever asks for the real one by name is given it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "libcuda.so.1")
        how = ["cc", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", str(SOURCE)]
        subprocess.run([*how, "-o", path], check=True)
        return ctypes.CDLL(path, ctypes.RTLD_GLOBAL)


# --- arrays that say they live on a GPU -----------------------------------------------------


def fake_torch() -> tuple[Any, Any]:
    """Give the patches that make torch have a GPU, and a function that makes a tensor on it."""
    import torch

    class Tensor(torch.Tensor):
        __module__ = "torch"
        __torch_function__ = torch._C._disabled_torch_function_impl
        is_cuda = True
        device = torch.device("cuda:0")

        def get_device(self) -> int:
            return 0

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, self.device.index or 0

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            if self.requires_grad:
                raise RuntimeError
            size = self.dtype.itemsize
            contiguous = self.is_contiguous()
            return {
                "typestr": {torch.float32: "<f4", torch.float64: "<f8", torch.uint8: "|u1"}[
                    self.dtype
                ],
                "shape": tuple(self.shape),
                "strides": None if contiguous else tuple(s * size for s in self.stride()),
                "data": (self.data_ptr() if self.numel() else 0, False),
                "version": 2,
            }

    empty, empty_like = torch.empty, torch.empty_like

    def make(*shape: Any, dtype: Any, device: Any) -> Any:
        return empty(*shape, dtype=dtype).as_subclass(Tensor)

    class Stream:
        def __init__(self, index: int) -> None:
            self.cuda_stream = 0x77

    @contextmanager
    def patched() -> Iterator[None]:
        with (
            patch.object(torch, "Tensor", Tensor),
            patch.object(torch, "as_tensor", lambda a, device: a),
            patch.object(torch, "empty", make),
            patch.object(torch, "empty_like", lambda a: empty_like(a).as_subclass(Tensor)),
            patch.object(torch.cuda, "current_stream", Stream),
            patch.object(torch._C, "_cuda_getCurrentRawStream", lambda i: 0x77, create=True),
        ):
            yield

    return patched, lambda a: torch.from_numpy(a).as_subclass(Tensor)


def fake_cupy() -> tuple[Any, Any]:
    """Give the patches that make CuPy be installed, and a function that makes its array."""
    import numpy as np

    class ndarray:  # noqa: N801
        __module__ = "cupy"

        def __init__(self, array: Any) -> None:
            self.array = array
            self.shape, self.dtype, self.flags = array.shape, array.dtype, array.flags
            self.data = SimpleNamespace(ptr=array.ctypes.data, device_id=0)
            self.device = SimpleNamespace(id=0)

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, self.device.id

        def astype(self, dtype: Any, copy: bool) -> "ndarray":
            return self

        def min(self) -> float:
            return float(self.array.min())

        def sum(self) -> float:
            return float(self.array.sum())

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            contiguous = self.flags.c_contiguous
            return {
                "shape": self.shape,
                "typestr": self.dtype.str,
                "descr": self.dtype.descr,
                "stream": 1,
                "version": 3,
                "strides": None if contiguous else self.array.strides,
                "data": (self.data.ptr, False),
            }

    class Device:
        def __init__(self, index: int) -> None:
            self.id = index

        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

    stream = SimpleNamespace(ptr=0x77)
    module = SimpleNamespace(
        ndarray=ndarray,
        asarray=lambda a: a,
        empty=lambda shape, dtype=float, order="C": ndarray(np.empty(shape, dtype, order)),
        cuda=SimpleNamespace(Device=Device, get_current_stream=lambda: stream),
    )

    @contextmanager
    def patched() -> Iterator[None]:
        with patch.dict(sys.modules, {"cupy": module}):
            yield

    return patched, ndarray


# --- what is called -------------------------------------------------------------------------


def rows(array: Any) -> dict[str, Callable[[], Any]]:
    """Give the public calls of one library's arrays by name."""
    import numpy as np

    import fastloss as fl

    mean, none = fl.SmoothL1Loss(), fl.SmoothL1Loss(reduction="none")
    # Some allocations are aligned to 16 bytes only by chance.
    x, y, w, g, h = (array(aligned(SIZE)) for _ in range(5))
    slot = array(np.zeros((), np.float32))
    strided = array(np.ones((SIZE, 2), np.float32)[:, 0])
    return {
        "loss.grad(x, y, out=g)": lambda: mean.grad(x, y, out=g),
        "loss.grad(x, y)": lambda: mean.grad(x, y),
        "loss(x, y, out=slot)": lambda: mean(x, y, out=slot),
        "loss.value_and_grad(x, y, out=g, total=slot)": lambda: mean.value_and_grad(
            x, y, out=g, total=slot
        ),
        "none(x, y, out=g)": lambda: none(x, y, out=g),
        "none(x, y)": lambda: none(x, y),
        "none(x, y, w, out=g)": lambda: none(x, y, w, out=g),
        "loss.grad_and_hess(x, y, out=(g, h))": lambda: mean.grad_and_hess(x, y, out=(g, h)),
        "loss.grad(x, y, w, out=g)": lambda: mean.grad(x, y, w, out=g),
        "loss.value_and_grad(x, y, w, out=g, total=slot)": lambda: mean.value_and_grad(
            x, y, w, out=g, total=slot
        ),
        "objective(coefficients), 500 x 8": objective(array),
        "the long way: loss.grad(strided, y, out=g)": lambda: mean.grad(strided, y, out=g),
        "the long way: loss.grad(x, 0.0, out=g)": lambda: mean.grad(x, 0.0, out=g),
    }


def objective(array: Callable[[Any], Any]) -> Callable[[], Any]:
    """Give an evaluation of a linear model's loss and gradient, which the host waits for."""
    import numpy as np

    import fastloss as fl

    X, w = aligned(SIZE)[:4000].reshape(500, 8), np.ones(8)
    evaluated = fl.LinearObjective(array(X), array(np.zeros(500)), fl.SmoothL1Loss())
    return lambda: evaluated(w)


def aligned(size: int) -> Any:
    """Give ones at an address that vectors can be loaded from."""
    import numpy as np

    memory = np.ones(size + 64, np.float32)
    low = -memory.ctypes.data // 4 % 16
    return memory[low : low + size]


def timed(call: Callable[[], Any], calls: int) -> float:
    """Give the microseconds of one call in a loop."""
    start = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - start) / calls * 1e6


def measured(
    calls: dict[str, Callable[[], Any]], driver: ctypes.CDLL, rounds: int, count: int
) -> dict[str, tuple[list[float], list[float], int]]:
    """Give for each call its times, its times with nothing launched, and how often it launches."""
    from fastloss.cuda import launch

    launches = ctypes.c_long.in_dll(driver, "launches")
    found: dict[str, tuple[list[float], list[float], int]] = {}
    for name, call in calls.items():
        call()  # compiles
        before = launches.value
        call()
        found[name] = [], [], launches.value - before
    for _ in range(rounds):
        for name, call in calls.items():
            whole, checks, _ = found[name]
            whole.append(timed(call, count))
            with patch.object(launch, "run", lambda *arguments: None):
                checks.append(timed(call, count))
    return found


def bare_launch(rounds: int, count: int) -> float:
    """Give the median time of the launch that is used, with parameters that are ready."""
    from fastloss.cuda import prepared

    one = prepared.Prepared(prepared.driver.CUfunction(1), "q")
    return statistics.median(timed(lambda: one.launch(1, 0, [0]), count) for _ in range(rounds))


# --- whether launches are right -------------------------------------------------------------


class Scaled(NamedTuple):
    """A formula with a parameter that is no float."""

    times: int = 3

    def value(self, r: float) -> float:
        return r * r * type(r)(self.times)

    def grad(self, r: float) -> float:
        return r * type(r)(2 * self.times)

    def hess(self, r: float) -> float:
        return type(r)(2 * self.times)


def wrong_launches(driver: ctypes.CDLL) -> Iterator[str]:
    """Launch each kernel as fastloss and as numba-cuda does, and say where these differ."""
    import numpy as np

    import fastloss as fl
    from fastloss.cuda import launch, prepared
    from fastloss.formulas import FORMULAS

    sizes = (ctypes.c_ubyte * 256).in_dll(driver, "parameter_sizes")
    parameters = ((ctypes.c_ubyte * 8) * 256).in_dll(driver, "launched_parameters")
    count = ctypes.c_int.in_dll(driver, "parameter_count")
    ours, seen, wrong = prepared.launch, set(), []

    def last() -> dict[str, Any]:
        found: dict[str, Any] = {
            name: kind.in_dll(driver, f"launched_{name}").value
            for name, kind in (
                ("kernel", ctypes.c_size_t),
                ("stream", ctypes.c_size_t),
                ("blocks", ctypes.c_uint),
            )
        }
        found["parameters"] = [bytes(parameters[k][: sizes[k]]) for k in range(count.value)]
        return found

    def both(kernel: Any, blocks: int, stream: int, arguments: tuple[Any, ...]) -> None:
        kinds: list[Any] = []
        prepared._flatten(arguments, kinds, [])
        layout = "".join(map(prepared._layout, kinds))
        count.value = len(layout)
        for k, letter in enumerate(layout):
            sizes[k] = struct.calcsize(letter)
        found = []
        for run in (ours, prepared.by_numba):
            ctypes.memset(parameters, 0xFF, ctypes.sizeof(parameters))
            run(kernel, blocks, stream, arguments)
            found.append(last())
        count.value = 0
        seen.add((kernel.py_func.__name__, *kinds))
        wrong.extend(
            f"{kernel.py_func.__name__}{tuple(kinds)}: {name} {found[0][name]}, by numba-cuda "
            f"{found[1][name]}"
            for name in found[0]
            if found[0][name] != found[1][name]
        )

    patched, array = fake_cupy()
    x, y, w, g, h = (aligned(SIZE).reshape(8, -1) + k for k in range(5))
    with (
        patched(),
        patch.object(prepared, "launch", both),
        patch.object(launch, "fetch_at", lambda at, count, dtype, stream: np.ones(count, dtype)),
    ):
        for formula in (*(formula() for formula in FORMULAS), Scaled(5), Scaled(2**63)):
            for reduction in ("none", "mean"):
                loss = fl.Loss(formula, reduction)
                for weight in (None, array(w)):
                    loss.value_and_grad(array(x), array(y), weight, out=array(g))
                    loss.grad_and_hess(array(x[:1]), array(y), weight, out=(None, array(h[:1])))
                    loss.grad(array(x[:, ::2]), 0.5, None if weight is None else 2)
        fl.L1Loss()(array(x.astype(np.float64)), array(y), out=array(np.zeros((), np.float32)))
        for X, weight in product((x, x[:, 1:]), (None, array(np.ones(8)))):
            loss, ones = fl.SmoothL1Loss(), np.ones(X.shape[1])
            model = fl.LinearObjective(array(X), array(np.ones(8)), loss, weight=weight)
            model(ones)
            model.hessp(ones, ones)
    print(f"{len(seen)} combinations of types, {len(wrong)} launched otherwise than by numba-cuda")
    yield from wrong
    for (kernel, _, *kinds), found in prepared._prepared.items():
        if found is None:
            yield f"{kernel.py_func.__name__}{tuple(kinds)}: left to numba-cuda, which takes 150 us"
    yield from wrong_files({key[0] for key in prepared._prepared})


def wrong_files(kernels: set[Any]) -> Iterator[str]:
    """Load what was kept on disk of each kernel, and say where it is not what was compiled."""
    found = 0
    for kernel in kernels:
        for signature, compiled in kernel.overloads.items():
            loaded = kernel._cache.load_overload(signature, kernel.targetctx)
            if loaded is None:  # of a user's formula
                continue
            found += 1
            codes = [k.library._cubin_cache for k in (compiled, loaded)]
            same = [{at: bytes(code.code) for at, code in kept.items()} for kept in codes]
            if same[0] != same[1] or not same[0] or compiled.entry_name != loaded.entry_name:
                yield f"{kernel.py_func.__name__}{signature}: another one on disk"
    print(f"{found} kernels kept on disk")
    if not found:
        yield "no kernel was kept on disk"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="default %(default)s")
    parser.add_argument("--calls", type=int, default=300, help="in a round, default %(default)s")
    parser.add_argument("--check", action="store_true", help="compare launches, measure nothing")
    given = parser.parse_args()
    driver = load_driver()
    if given.check:
        # An empty folder: what is loaded from it is compared with what was compiled.
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NUMBA_CACHE_DIR"] = folder
            wrong = list(wrong_launches(driver))
        print("\n".join(wrong), end="\n" if wrong else "")
        return 1 if wrong else 0
    from numba import cuda

    fakes = {"torch": fake_torch} if find_spec("torch") else {}
    for name, fake in (*fakes.items(), ("CuPy", fake_cupy)):
        patched, array = fake()
        # The libraries keep their device's context current.
        with patched(), cuda.gpus[0]:
            found = measured(rows(array), driver, given.rounds, given.calls)
            bare = bare_launch(given.rounds, given.calls)
        print(f"{name + ', us':48}  median   least | checks  marshalling  launch   launches")
        for row, (whole, checks, launches) in found.items():
            median, before = statistics.median(whole), statistics.median(checks)
            launch = bare * launches
            print(
                f"{row:48} {median:7.1f} {min(whole):7.1f} | {before:6.1f} "
                f"{median - before - launch:12.1f} {launch:7.1f} {launches:10}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

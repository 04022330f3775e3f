"""Which back end computes: the one where the arrays live.

Back ends load at the first call, so that ``import fastloss`` costs no more than ``import numpy``.
"""

import re
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastloss import forked  # noqa: F401 - watches forks from the start
from fastloss.arrays import NATIVE
from fastloss.interrupts import import_whole
from fastloss.model import Model
from fastloss.place import HOST, Home, Host, Place, home_of, is_foreign, library

NO_NUMBA_CUDA = (
    'kernels for it need numba-cuda: pip install "fastloss[cuda13]", or "fastloss[cuda12]" for a '
    "driver of CUDA 12"
)


def elementwise(
    input: object, target: object, weight: object, device: str | None = None
) -> tuple[ModuleType, Place]:
    """Give the module whose ``compute`` runs on these arrays, and the place they live in.

    Raises
    ------
    TypeError
        If the arrays live in several places, or where no back end is.
    ValueError
        If ``device`` is no device's name.
    ImportError
        If a back end needs a package that is not installed.
    """
    if device is None and type(input) is type(target) is np.ndarray and _is_plain(weight):
        return _host(), HOST
    found = locate({"input": input, "target": target, "weight": weight}, device)
    if found.home == "cpu":
        return _host(), found.place()
    from fastloss.cuda import backend as cuda_backend
    from fastloss.cuda import ordinary  # noqa: F401 - which the next call finds

    return cuda_backend, found.place()


def _host() -> ModuleType:
    return import_whole("fastloss.cpu.backend")


def at_once(
    loss: Any,
    mean: bool,
    arguments: tuple[Any, Any, Any],
    device: object,
    outs: tuple[Any, Any, Any],
    total: bool = False,
    slot: Any = None,
) -> tuple[Any, Any, Any, Any] | None:
    """Compute with ordinary device arrays, see :mod:`fastloss.cuda.ordinary`; None for others.

    The first call on a device goes the general way, which loads the back end or says why not.
    """
    found = sys.modules.get("fastloss.cuda.ordinary")
    if found is None or device is not None:
        return None
    result: tuple[Any, Any, Any, Any] | None = found.compute(
        loss, mean, arguments, outs, total, slot
    )
    return result


def lazily(given: tuple[Any, Any, Any]) -> ModuleType | None:
    """Give the module that computes when asked to, if an argument is a Dask array."""
    array = sys.modules.get("dask.array")
    if array is None or not any(isinstance(value, array.Array) for value in given):
        return None
    from fastloss.dask import elementwise

    return elementwise


def linear(X: Any, y: Any, weight: Any, device: str | None, memory: int) -> Model:
    """Give the data of a linear model, checked, where it lives; ``memory`` bytes may be used.

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`elementwise`, or if the data does not fit together.
    """
    if lazily((X, y, weight)) is not None:
        from fastloss.dask.model import DaskModel

        return DaskModel(X, y, weight, device)
    if not (type(X) is np.ndarray and X.flags.forc and X.dtype in NATIVE):
        from fastloss.stream import sources

        if device is None or device == "cpu":
            streamed = sources.model(X, y, weight, memory)
            if streamed is not None:
                return streamed
        elif sources.is_on_disk(X):
            raise ValueError(f"device must be None or 'cpu' for an X on disk, got {device!r}")
        X, y, weight = (sources.held(value) for value in (X, y, weight))
    found = locate({"X": X, "y": y, "weight": weight}, device)
    if found.home == "cpu":
        import_whole("fastloss.cpu.model")
        from fastloss.cpu.model import HostModel
        from fastloss.cpu.sparse import is_sparse

        if is_sparse(X):
            from fastloss.cpu.sparse_model import SparseModel

            return SparseModel(found.place(), X, y, weight)
        return HostModel(found.place(), X, y, weight)
    from fastloss.cuda.model import DeviceModel

    return DeviceModel(found.place(), X, y, weight)


class Located(NamedTuple):
    """Where a call runs."""

    home: Home
    """Where it computes."""
    sample: Any
    """The first argument of the library that results are given in; None is NumPy."""
    moves: bool
    """Whether arguments live elsewhere and are copied."""

    def place(self) -> Place:
        """Give the place, of this library."""
        on_device = self.sample is not None and home_of("", self.sample) != "cpu"
        if self.home == "cpu" and not self.moves:
            return Host(self.sample) if self.sample is not None else HOST
        from fastloss.cuda import driver

        driver.require(self.home)
        if self.home == "cpu":
            from fastloss.cuda.arrays import Fetched

            return Fetched(None if on_device else self.sample)
        from fastloss.cuda.arrays import Device, Visit
        from fastloss.cuda.libraries import Numba, library_of

        index = int(self.home.partition(":")[2])
        if on_device:
            return Device(index, library_of(self.sample))
        return Visit(index, Numba(), self.sample)


def locate(arguments: dict[str, Any], device: str | None) -> Located:
    """Find out where arguments live and where their call runs."""
    homes = {
        name: home_of(name, value)
        for name, value in arguments.items()
        if value is not None and not isinstance(value, bool | int | float | np.generic)
    }
    foreign = [
        arguments[name]
        for name, home in homes.items()
        if home != "cpu" or is_foreign(arguments[name])
    ]
    distinct = list(dict.fromkeys(homes.values()))
    if device is not None:
        home = _parse(device, distinct)
        on_device = [v for v in foreign if home_of("", v) != "cpu"]
        sample = next(iter(on_device or foreign), None)
        moves = any(other != home for other in distinct) or (home != "cpu" and not distinct)
    else:
        if len(distinct) > 1:
            names = [next(n for n, h in homes.items() if h == home) for home in distinct[:2]]
            raise TypeError(
                f"{names[0]} lives on {distinct[0]} and {names[1]} on {distinct[1]}: copy one of "
                "them, or say device='cpu' or device='cuda'"
            )
        home = distinct[0] if distinct else "cpu"
        sample, moves = next(iter(foreign), None), False
    needed = next((h for h in (home, *distinct) if h != "cpu"), None)
    if needed is not None:
        _require_cuda(next((n for n, h in homes.items() if h == needed), None), needed)
    return Located(home, sample, moves)


def _parse(device: object, homes: list[Home]) -> Home:
    text = device if isinstance(device, str) else ""
    if library(device) == "torch":  # torch.device
        text = str(device)
    match = re.fullmatch(r"cpu|cuda(:\d+)?", text)
    if match is None:
        raise ValueError(f"device must be None, 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    if match[0] != "cuda":
        return match[0]
    return next((home for home in homes if home != "cpu"), "cuda:0")


def _require_cuda(name: str | None, home: Home) -> None:
    reason = without_cuda()
    if reason is not None:
        what = f"device={home!r}" if name is None else f"{name} is on {home}"
        raise ImportError(f"{what}: {reason}")


def without_cuda() -> str | None:
    """Say why nothing can be compiled for a GPU; None where numba-cuda can be imported."""
    if find_spec("numba_cuda") is None:
        return NO_NUMBA_CUDA
    try:
        import_whole("numba.cuda")
    except Exception as error:  # whatever versions that do not go together make of it
        from importlib.metadata import version

        found = ", ".join(f"{name} {version(name)}" for name in ("numba-cuda", "numba", "numpy"))
        return f"numba-cuda cannot be imported ({found}): {error}"
    return None


def _is_plain(weight: object) -> bool:
    return weight is None or type(weight) is np.ndarray

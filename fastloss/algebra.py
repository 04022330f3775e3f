"""What the linear model asks of a library of matrices, for those that are known."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from fastloss.place import Place, library
from fastloss.typing import Array


class Algebra(Protocol):
    """A library of matrices, on one device."""

    def take(self, value: Any) -> Any:
        """Give an array as one of this library, without a copy where it lies on the device."""

    def host(self, array: Any) -> Array:
        """Copy an array to the host."""

    def wide(self, array: Any) -> Any:
        """Give an array as float64."""

    def is_wide(self, array: Any) -> bool:
        """Whether an array is float64."""

    def zeros(self, size: int) -> Any:
        """Give a vector of float64 zeros."""

    def finite(self, array: Any) -> Array:
        """Say on the host which entries are finite."""

    @property
    def where(self) -> Any:
        """The library's ``where``."""


class Arrays:
    """CuPy, or NumPy itself, which CuPy follows."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def take(self, value: Any) -> Any:
        """Give an array as one of this library."""
        return self._module.asarray(value)

    def host(self, array: Any) -> Array:
        """Copy an array to the host."""
        copied: Array = array.get() if hasattr(array, "get") else np.asarray(array)
        return copied

    def wide(self, array: Any) -> Any:
        """Give an array as float64."""
        return array.astype(np.float64, copy=False)

    def is_wide(self, array: Any) -> bool:
        """Whether an array is float64."""
        return bool(array.dtype == np.float64)

    def zeros(self, size: int) -> Any:
        """Give a vector of float64 zeros."""
        return self._module.zeros(size)

    def finite(self, array: Any) -> Array:
        """Say on the host which entries are finite."""
        return self.host(self._module.isfinite(array))

    @property
    def where(self) -> Any:
        """The library's ``where``."""
        return self._module.where


class Torch:
    """PyTorch."""

    def __init__(self, device: str) -> None:
        self._torch = import_module("torch")
        self._device = device

    def take(self, value: Any) -> Any:
        """Give an array as a tensor."""
        return self._torch.as_tensor(value, device=self._device)

    def host(self, array: Any) -> Array:
        """Copy a tensor to the host."""
        copied: Array = array.cpu().numpy()
        return copied

    def wide(self, array: Any) -> Any:
        """Give a tensor as float64."""
        return array.double()

    def is_wide(self, array: Any) -> bool:
        """Whether a tensor is float64."""
        return bool(array.dtype == self._torch.float64)

    def zeros(self, size: int) -> Any:
        """Give a vector of float64 zeros."""
        return self._torch.zeros(size, dtype=self._torch.float64, device=self._device)

    def finite(self, array: Any) -> Array:
        """Say on the host which entries are finite."""
        return self.host(self._torch.isfinite(array))

    @property
    def where(self) -> Any:
        """The library's ``where``."""
        return self._torch.where


def algebra_of(X: Any, place: Place) -> Algebra:
    """Give the library of a matrix, or one that can see its memory.

    Raises
    ------
    ImportError
        If none is installed.
    """
    own = library(X)
    if own == "torch":
        return Torch(str(place))
    if own == "cupy" or (own == "numpy" and str(place) == "cpu"):
        return Arrays(sys.modules[own])
    if find_spec("cupy") is not None:
        return Arrays(import_module("cupy"))
    if find_spec("torch") is not None and import_module("torch").cuda.is_available():
        return Torch(str(place))
    raise ImportError(
        "the linear model on a GPU multiplies matrices by CuPy or PyTorch: pip install "
        "cupy-cuda13x (cupy-cuda12x for a driver of CUDA 12), or torch"
    )

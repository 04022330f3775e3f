"""Matrices of our own whose rows are copied into Fortran order, where slices would be arrays."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fastloss.typing import Array


class Copied(ABC):
    """A matrix in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    beside: int
    """Bytes of the file that are mapped while rows are copied."""
    block_bytes: int
    """Bytes of a block that suit it."""

    @abstractmethod
    def read(self, low: int, high: int, out: Array) -> None:
        """Copy rows from ``low`` to before ``high``."""

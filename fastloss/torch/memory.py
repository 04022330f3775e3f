"""The memory of the last gradient, used again once nobody holds it.

Autograd has no ``out=``: each training step asks for a fresh gradient and drops the last. For
10,000,000 float32 the system's pages for it cost more time than a third of the kernel that fills
them, so the memory of one gradient is kept.
"""

import sys
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from fastloss.typing import Vector

# Smaller arrays come from the allocator's own store; of larger ones, so much is too much to keep.
SMALLEST = 1 << 20
LARGEST = 1 << 28


class Kept:
    """One vector, given out again when all that was made of it is gone."""

    def __init__(self) -> None:
        self._vector: Vector = np.empty(0)
        self._lock = Lock()
        # How many references there are where nobody else holds one.
        self._own = self._references()

    def _references(self) -> int:
        return sys.getrefcount(self._vector)

    def like(self, *tensors: Tensor) -> Tensor | None:
        """Give an uninitialised tensor like these; None where keeping one is not worth it."""
        first = tensors[0]
        size = first.numel() * first.element_size()
        if not SMALLEST <= size <= LARGEST or not all(t.is_contiguous() for t in tensors):
            return None
        with self._lock:
            dtype = np.dtype(str(first.dtype).removeprefix("torch."))
            fits = self._vector.size == first.numel() and self._vector.dtype == dtype
            if not fits or self._references() > self._own:
                self._vector = np.empty(first.numel(), dtype)
            return torch.from_numpy(self._vector).view(first.shape)

    def release(self) -> None:
        """Give the memory back to the system."""
        with self._lock:
            self._vector = np.empty(0)


kept = Kept()


def release_memory() -> None:
    """Give back to the system the memory that is kept for the next gradient, at most 256 MB.

    Examples
    --------
    >>> import fastloss.torch
    >>> fastloss.torch.release_memory()
    """
    kept.release()

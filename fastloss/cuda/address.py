"""Where in memory an array lies."""

import numpy as np

from fastloss.typing import Array


def addresses(array: Array) -> tuple[int, int]:
    """Give the address of the first byte in memory, and the number of bytes to the last."""
    if array.flags.forc:  # without the time that the general case takes
        return int(array.__array_interface__["data"][0]), array.nbytes
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high - low

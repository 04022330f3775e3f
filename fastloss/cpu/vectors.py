"""The lanes of this process: vector registers, or plain NumPy under ``NUMBA_DISABLE_JIT=1``."""

from numba import config

if config.DISABLE_JIT:
    from fastloss.cpu.plain_lanes import (
        add,
        add_to,
        drop,
        load,
        load_vector,
        multiply_add,
        store,
        total,
        zeros,
    )
else:
    from fastloss.cpu.lanes import (
        add,
        add_to,
        drop,
        load,
        load_vector,
        multiply_add,
        store,
        total,
        zeros,
    )

__all__ = [
    "WIDTH",
    "add",
    "add_to",
    "drop",
    "load",
    "load_vector",
    "multiply_add",
    "store",
    "total",
    "zeros",
]

WIDTH = 8  # of a vector of lanes

"""The lanes of this process: vector registers, or plain NumPy under ``NUMBA_DISABLE_JIT=1``."""

from numba import config

if config.DISABLE_JIT:
    from fastloss.cpu import plain_lanes as lanes
else:
    from fastloss.cpu import lanes  # type: ignore[no-redef]

WIDTH = 8  # of a vector of lanes

add = lanes.add
add_some_to = lanes.add_some_to
add_to = lanes.add_to
add_totals = lanes.add_totals
drop = lanes.drop
entry = lanes.entry
keep = lanes.keep
load = lanes.load
load_some = lanes.load_some
load_some_of_vector = lanes.load_some_of_vector
load_vector = lanes.load_vector
multiply_add = lanes.multiply_add
spread = lanes.spread
store = lanes.store
total = lanes.total
zeros = lanes.zeros

"""A kernel that takes long, to see who waits for it."""

from functools import cache

import numpy as np

# Dependent steps of one thread: some tenths of a second, where a call takes less than a thousandth.
STEPS = 50_000_000
THREADS = 256
# numba-cuda warns of fewer.
BLOCKS = 128
SIZE = THREADS * BLOCKS


@cache
def _kernel():
    from numba import cuda

    @cuda.jit
    def fill(out, number, steps):
        i = cuda.grid(1)
        y = 0.5
        for _ in range(steps):  # stays within 2, which the compiler does not know
            y = y * y - 1.2
        if i < out.size:
            out[i] = number if y < 10.0 else y

    return fill


def fill(array, number, address, steps=STEPS):
    """Fill ``SIZE`` elements late, on the stream of this address; give an event at its end."""
    from numba import cuda

    stream = cuda.external_stream(address)
    _kernel()[BLOCKS, THREADS, stream](cuda.as_cuda_array(array, sync=False), number, steps)
    event = cuda.event(timing=False)
    event.record(stream)
    return event


def compile_for(array):
    """Compile and load the kernel, which would wait for the device later."""
    from numba import cuda

    stream = cuda.stream()
    fill(array, np.float32(0), int(stream.handle), 1)
    stream.synchronize()

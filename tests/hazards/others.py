"""Somebody else's parallel function of Numba, as code that a process runs."""

KERNEL = """
import numba

@numba.njit(parallel=True)
def total(count):
    found = 0
    for i in numba.prange(count):
        found += i
    return found

total(1000)
"""

"""Kernels for arrays in main memory, compiled by Numba at first use."""

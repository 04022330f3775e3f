"""The CUDA back end, and the only package that imports ``numba.cuda``."""

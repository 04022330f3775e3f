"""Kernels as Python, under NUMBA_DISABLE_JIT=1, which ``tests/test_uncompiled.py`` sets."""

from numba import config

collect_ignore_glob = [] if config.DISABLE_JIT else ["test_*.py"]

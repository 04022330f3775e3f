"""Kernels are the functions that they look like: as Python they compute the same."""

import pytest

from tests import child

pytestmark = pytest.mark.slow


def test_kernels_that_run_as_python_agree_with_numpy():
    child.passes("tests/uncompiled", NUMBA_DISABLE_JIT="1")

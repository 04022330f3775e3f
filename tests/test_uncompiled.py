"""Kernels are the functions that they look like: as Python they compute the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_kernels_that_run_as_python_agree_with_numpy():
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/uncompiled"],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert re.search(r"=+ \d+ passed in", ended.stdout), ended.stdout[-1000:]

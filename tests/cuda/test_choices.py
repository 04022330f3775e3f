"""What kernels are compiled from agrees with what the simulator runs."""

import os
import re
import subprocess
import sys
from pathlib import Path


def test_outside_the_simulator_the_choices_by_types_compute_the_same():
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--noconftest", "-p", "no:cacheprovider"),
            "tests/cuda/choices.py",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "0"},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert re.search(r"=+ \d+ passed in", ended.stdout), ended.stdout[-1000:]

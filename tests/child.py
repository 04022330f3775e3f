"""Tests that run in a process of their own, under another environment."""

import os
import re
import subprocess
import sys
from pathlib import Path


def passes(*arguments, **variables):
    """Run pytest there, and demand that there are tests and that all of them pass."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert re.search(r"=+ \d+ passed in", ended.stdout), ended.stdout[-1000:]

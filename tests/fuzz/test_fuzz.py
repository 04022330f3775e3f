"""No arguments crash the interpreter, give a wrong answer or the wrong exception."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = 2000


def test_arguments_of_every_kind_are_answered_or_refused():
    seed = os.environ.get("FASTLOSS_FUZZ_SEED", "0")
    command = [sys.executable, "-m", "tests.fuzz", f"--examples={EXAMPLES}", f"--seed={seed}"]
    child = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert child.returncode == 0, f"{' '.join(command)}: {child.returncode}\n{child.stderr[-6000:]}"
    found = json.loads(child.stdout)
    assert found["examples"] >= EXAMPLES
    assert found["answered"] > EXAMPLES / 2
    assert found["refused"] > EXAMPLES / 10

"""One attempt at a hazard: a process of its own, with a deadline."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.hazards.others import KERNEL
from tests.hazards.outcome import Outcome

ROOT = Path(__file__).parents[2]
DEADLINE = 180.0


def attempt(hazard, layer, deadline=None):
    """Try a hazard once under a threading layer, or under none in particular."""
    deadline = hazard.deadline if deadline is None else deadline
    reason = "" if layer is None else absent(layer)
    if reason:
        return Outcome(skipped=reason)
    ended = process(["-m", "tests.hazards", hazard.name, undisturbed()], layer, deadline)
    if ended is None:
        return Outcome(hangs=1, notes=[f"no end after {deadline:.0f} s"])
    status, out, errors = ended
    try:
        outcome = Outcome(**json.loads(out.splitlines()[-1]))
    except (IndexError, TypeError, ValueError):
        return Outcome(aborts=1, notes=[f"exit status {status}: {errors[-2000:]}"])
    if status:
        outcome.aborts += 1
        outcome.notes.append(f"exit status {status}: {errors[-2000:]}")
    outcome.warnings += warnings(errors)
    return outcome


def warnings(errors):
    """Count the warnings; Python's own one about forks with threads is not ours to prevent."""
    return sum("Warning:" in one and "DeprecationWarning" not in one for one in errors.splitlines())


@cache
def undisturbed():
    """Give the answers of a process with one thread and nothing that disturbs it."""
    ended = process(["-m", "tests.hazards", "undisturbed"], None, DEADLINE, NUMBA_NUM_THREADS="1")
    if ended is None or ended[0]:
        raise RuntimeError(f"the undisturbed process failed: {ended}")
    return ended[1].strip()


@cache
def absent(layer):
    """Say why a threading layer cannot be used here, in one line; nothing where it can."""
    ended = process(["-c", KERNEL], layer, DEADLINE)
    if ended is None:
        return f"{layer}: a first parallel loop did not end"
    status, _, errors = ended
    return f"{layer}: {' '.join(errors.rpartition('Error: ')[2].split())}" if status else ""


def process(arguments, layer, deadline, **variables):
    """Give exit status, output and errors, or None after the deadline; leave no process behind."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    variables["PYTHONWARNINGS"] = "always::RuntimeWarning"
    if layer is not None:
        variables["NUMBA_THREADING_LAYER"] = layer
        # Where pip puts TBB, and the loader does not look.
        paths = [f"{sys.prefix}/lib", os.environ.get("LD_LIBRARY_PATH", "")]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    running = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | variables,
        start_new_session=True,
    )
    ended = None
    try:
        out, errors = running.communicate(timeout=deadline)
        ended = running.returncode, out, errors
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    return ended

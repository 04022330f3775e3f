"""Ctrl-C during calls on 1,000,000,000 elements; ``python -m tests.hazards.interrupts KIND``.

Memory that nobody wrote to is zeros without pages of its own, so that the inputs take none.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial

from tests.hazards import work
from tests.hazards.outcome import Outcome

FIRST = "first"
ELEMENTS = 1_000_000_000
COMPILED = 50_000_000  # more than any cache holds: large calls' kernels
COLUMNS = 20
INTERRUPTS = 3
LONGEST_WAIT = 1.0
# A busy machine may take longer than what is promised; a call that runs to its end takes more.
DEADLINE = 5.0


def made(kind, elements):
    """Give a call without arguments."""
    import numpy as np

    import fastloss as fl

    loss = fl.SmoothL1Loss()
    if kind == FIRST:
        return work.answers
    if kind == "linear":
        X = np.zeros((elements // COLUMNS, COLUMNS), np.float32)
        objective = fl.LinearObjective(X, np.zeros(len(X), np.float32), loss)
        return lambda: objective(np.ones(COLUMNS))
    x = np.zeros(elements, np.float16 if kind == "pieces" else np.float32)
    if kind == "gradient":
        # Pages come as they are written, which takes longer than the wait.
        return lambda: loss.value_and_grad(x, x, out=np.zeros(elements, np.float32))
    if kind == "one thread":
        fl.set_num_threads(1)
    return lambda: loss(x, x)


def main(kind):
    call = made(kind, ELEMENTS)
    if kind != FIRST:  # compiled, where that is not what is interrupted
        made(kind, COMPILED)()
        work.answers()
    for _ in range(1 if kind == FIRST else INTERRUPTS):
        try:
            print("ready", flush=True)
            while True:
                call()
        except KeyboardInterrupt:
            print(time.monotonic(), work.answers(), flush=True)


def interrupted(kind, expected, **variables):
    """Send the signal at random moments; the answers after it have to be right."""
    outcome, chance = Outcome(), random.Random(os.getpid())
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.hazards.interrupts", kind],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )
    for _ in range(1 if kind == FIRST else INTERRUPTS):
        assert running.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.1, LONGEST_WAIT))
        sent = time.monotonic()
        running.send_signal(signal.SIGINT)
        at, found = running.stdout.readline().split()
        took = float(at) - sent
        right = found == expected and (took < DEADLINE or kind == FIRST)
        outcome.plus(Outcome(right=right, wrong=not right, seconds=[took]))
    assert running.wait() == 0
    return outcome


def first_calls(expected):
    """While modules are imported and kernels compiled, which Ctrl-C waits for."""
    whole = Outcome()
    for _ in range(INTERRUPTS):
        with tempfile.TemporaryDirectory() as folder:
            whole.plus(interrupted(FIRST, expected, NUMBA_CACHE_DIR=folder))
    return whole


mean, one_thread, gradient, pieces, linear = (
    partial(interrupted, kind) for kind in ("mean", "one thread", "gradient", "pieces", "linear")
)

if __name__ == "__main__":
    main(sys.argv[1])

"""Timing of implementations side by side, on machines that do other things too."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

# A pool of threads waits actively for a moment after its work: the next call is not to pay for it.
PAUSE = 0.01
# Seconds from which on a sample hides the clock, and what the caches have forgotten in the pause.
SAMPLE = 3e-3
# Rounds without which a median says little.
LEAST_ROUNDS = 3


def repeats(call: Callable[[], Any]) -> int:
    """Give how many calls make a sample; this one has run before.

    Parameters
    ----------
    call : callable
        Without arguments.

    Returns
    -------
    int
        1 for a call that takes long enough by itself.
    """
    start = time.perf_counter()
    call()
    return max(1, math.ceil(SAMPLE / (time.perf_counter() - start)))


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    samples: Mapping[str, int] | None = None,
    seconds: float = math.inf,
) -> dict[str, list[float]]:
    """Time each call once a round, in turn: what slows the machine for a while slows all of them.

    Every round starts with another call, so that none always follows the same one.

    Parameters
    ----------
    calls : mapping of str to callable
        Without arguments, each of which has run before.
    rounds : int
        At most so many.
    samples : mapping of str to int, optional
        How many calls make a sample of each, see :func:`repeats`. Where it is more than one, a call
        that is not timed brings the data back into the cache.
    seconds : float, optional
        After so long no round is begun, but the third.

    Returns
    -------
    dict of str to list of float
        The seconds of one call, for each round.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    end = time.perf_counter() + seconds
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() > end:
            break
        first = done % len(names)
        for name in names[first:] + names[:first]:
            call, count = calls[name], 1 if samples is None else samples[name]
            time.sleep(PAUSE)
            if count > 1:
                call()
            start = time.perf_counter()
            for _ in range(count):
                result = call()
            times[name].append((time.perf_counter() - start) / count)
            del result  # outside of the clock for all of them
    return times

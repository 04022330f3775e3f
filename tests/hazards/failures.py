"""Calls that cannot succeed: the error is one that Python programs handle, inputs are untouched."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

import fastloss as fl
from tests.hazards import work
from tests.hazards.outcome import Outcome, Skipped

HUGE = 10**15  # elements of which no machine has room for one result
# Of half as many, a result is larger than what C's allocator keeps for later (32 MiB).
LARGE = 10_000_000
STATUS = Path("/proc/self/statm")


def tried(call, error, inputs, expected):
    """Whether the error comes, the inputs keep their bits, and the next call is right."""
    before = [digest(array) for array in inputs]
    try:
        call()
        found = None
    except Exception as raised:
        found = raised
    untouched = before == [digest(array) for array in inputs]
    right = isinstance(found, error) and untouched and work.answers() == expected
    notes = [] if right else [f"{found!r} where {error} was due; untouched: {untouched}"]
    return Outcome(right=right, wrong=not right, notes=notes)


def digest(array):
    whole = array if array.size < HUGE else array.reshape(-1)[:1]
    return hashlib.sha256(np.ascontiguousarray(whole)).hexdigest()


def bad_arguments(expected):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100_000))
    X = rng.standard_normal((1000, 3))
    read_only = np.zeros_like(x)
    read_only.flags.writeable = False
    loss = fl.SmoothL1Loss()
    objective = fl.LinearObjective(X, X[:, 0], loss)
    infinite = np.where(np.arange(1000) == 7, np.inf, 1.0)
    cases = [
        (lambda: loss.grad(x, y, out=np.zeros(7)), ValueError),
        (lambda: loss.grad(x, y, out=read_only), ValueError),
        (lambda: loss.grad(x, y, out=np.zeros(x.size, np.int8)), (TypeError, ValueError)),
        (lambda: loss.value_and_grad(x, y[:-1]), ValueError),
        (lambda: loss(x, y, weight=np.ones(3)), ValueError),
        (lambda: objective(np.ones(4)), ValueError),
        (lambda: fl.LinearObjective(X, y), ValueError),
        (lambda: fl.fit(X, infinite), ValueError),
    ]
    return summed(cases, [x, y, X, read_only, infinite], expected)


def beyond_memory(expected):
    """Results larger than any memory, of inputs that take none."""
    x, y = (np.broadcast_to(np.array([value]), HUGE) for value in (1.0, 3.0))
    loss = fl.SmoothL1Loss(reduction="none")
    cases = [
        (call, MemoryError)
        for call in (
            partial(loss, x, y),
            partial(loss.grad, x, y),
            partial(loss.value_and_grad, x, y),
            partial(loss.grad_and_hess, x, y),
        )
    ]
    return summed(cases, [x, y], expected)


def without_memory(expected):
    """The system gives no more, as under ulimit."""
    if not STATUS.exists():
        raise Skipped("the system does not tell a process's memory in /proc")
    import resource

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, LARGE))
    X = x.reshape(-1, 2)
    loss = fl.SmoothL1Loss(reduction="none")
    objective = fl.LinearObjective(X, y[: len(X)])
    cases = [
        (lambda: loss(x, y), MemoryError),
        (lambda: loss.grad(x, y), MemoryError),
        (lambda: loss.value_and_grad(x, y), MemoryError),
        (lambda: loss.grad_and_hess(x, y), MemoryError),
        (lambda: loss.grad(x[::2], y[::2]), MemoryError),
        (lambda: objective.residuals(np.ones(2)), MemoryError),
    ]
    small = loss(x[:9], y[:9])
    for call, _ in cases:  # compiled, and threads started, while there is memory
        call()
    work.answers()
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(STATUS.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 4 * 2**20, before[1]))
    try:
        outcome = summed(cases, [x, y], expected)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    right = np.array_equal(loss(x[:9], y[:9]), small)
    outcome.plus(Outcome(right=right, wrong=not right))
    return outcome


def summed(cases, inputs, expected):
    whole = Outcome()
    for call, error in cases:
        whole.plus(tried(call, error, inputs, expected))
    return whole

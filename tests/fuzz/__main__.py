"""Try arguments of every kind, in this process: what crashes it is seen by its parent.

    python -m tests.fuzz --examples 100000 --seed 1

prints one line of JSON: how many calls were answered, each beside exact arithmetic, and how many
refused by an exception that names the argument. The first example that does neither ends it with a
traceback and status 1. Of a long run stderr tells how far it is.
"""

import argparse
import faulthandler
import json
import sys
import time

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz import elementwise, linear, residual
from tests.fuzz.outcome import counts

# Of so many examples each is one: a linear model takes eight calls, and compiles more.
SHARES = {linear: 5, residual: 10}
TOLD_EVERY = 5000


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faulthandler.enable()
    start = time.monotonic()
    shares = {module: options.examples // share for module, share in SHARES.items()}
    shares = {elementwise: options.examples - sum(shares.values()), **shares}
    for module, examples in shares.items():
        run = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(seed(options.seed)(given(module.cases())(_counted(module.check))))
        run()
    seconds = round(time.monotonic() - start, 1)
    sys.stdout.write(json.dumps({"seed": options.seed, "seconds": seconds, **counts}) + "\n")


def _counted(check):
    def checked(case):
        counts["examples"] += 1
        check(case)
        if counts["examples"] % TOLD_EVERY == 0:
            sys.stderr.write(f"{time.strftime('%X')} {json.dumps(counts)}\n")

    return checked


if __name__ == "__main__":
    main()

"""The process in which a hazard is tried: its name and the right answers' digest are given."""

import json
import sys

from tests.hazards import work
from tests.hazards.outcome import Outcome, Skipped
from tests.hazards.registry import HAZARDS


def main():
    if sys.argv[1:] == ["undisturbed"]:
        print(work.answers())
        return
    name, expected = sys.argv[1:]
    try:
        outcome = next(h for h in HAZARDS if h.name == name).run(expected)
    except Skipped as reason:
        outcome = Outcome(skipped=str(reason))
    print(json.dumps(vars(outcome)), flush=True)


if __name__ == "__main__":
    main()

"""What came of the examples, and what may."""

import warnings
from collections import Counter

import numpy as np

counts = Counter()

REFUSALS = TypeError, ValueError


def attempt(call, valid, names):
    """Give a call's result, or None where it refuses what it should; all else is an error.

    A refusal of valid arguments, the acceptance of others, another kind of exception and a message
    that names none of the arguments at fault end the fuzz.
    """
    refusal = None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = call()
        except REFUSALS as error:
            refusal = error
    if refusal is None:
        assert valid is not False, f"accepted, and gave {result!r}"
        counts["answered"] += 1
        return result
    assert not valid, f"refused: {refusal!r}"
    assert any(name in str(refusal) for name in names), f"names none of {names}: {refusal!r}"
    counts["refused"] += 1
    return None


class Unchanged:
    """Arrays that a call must leave as they are."""

    def __init__(self, *arrays):
        self.arrays = [a for a in arrays if isinstance(a, np.ndarray) and a.dtype != object]
        self.before = [a.tobytes() for a in self.arrays]

    def check(self, *written):
        for array, before in zip(self.arrays, self.before, strict=True):
            if not any(array is out for out in written):
                assert array.tobytes() == before, "an input was changed"

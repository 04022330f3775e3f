"""What compiled code calls in place of a plain function, chosen by types, called as Python."""

from copy import deepcopy

import numba
import numpy as np


def cases(table):
    """Give each plain function, what chooses for it, and arguments for one choice."""
    return [(*functions, given) for *functions, several in table for given in several]


def names(cases):
    return [f"{plain.__name__}-{number}" for number, (plain, *_) in enumerate(cases)]


def agree(plain, choose, given):
    """Demand one result, and the same writing to arrays."""
    ours, theirs = deepcopy(given), deepcopy(given)
    found, expected = choose(*map(numba.typeof, given))(*ours), plain(*theirs)
    np.testing.assert_equal(found, expected)
    np.testing.assert_equal(ours, theirs)

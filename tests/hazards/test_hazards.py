"""What counts as broken; the hazards themselves are tried by ``bench/hazards.py``."""

import os

import pytest

from tests.hazards.attempt import attempt
from tests.hazards.registry import HAZARDS, Hazard

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="POSIX processes"),
]


def test_a_process_that_dies_is_no_success():
    outcome = attempt(Hazard("no such name", print), None)
    assert (outcome.good, outcome.aborts) == (False, 1)


def test_a_process_that_does_not_end_is_no_success():
    outcome = attempt(HAZARDS[0], None, deadline=0.01)
    assert (outcome.good, outcome.hangs) == (False, 1)

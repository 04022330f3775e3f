"""Nothing breaks it: each hazard once, in a process of its own."""

import os

import pytest

from tests.hazards.attempt import attempt
from tests.hazards.registry import HAZARDS, Hazard

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="POSIX processes"),
]


@pytest.mark.parametrize(
    ("hazard", "layer"),
    [
        pytest.param(
            hazard,
            layer,
            id=hazard.name if layer is None else f"{hazard.name}, {layer}",
        )
        for hazard in HAZARDS
        if not hazard.slow
        for layer in hazard.layers
    ],
)
def test_answers_are_right_and_the_process_ends(hazard, layer):
    outcome = attempt(hazard, layer)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.good, outcome


def test_a_process_that_dies_is_no_success():
    outcome = attempt(Hazard("no such name", print), None)
    assert (outcome.good, outcome.aborts) == (False, 1)


def test_a_process_that_does_not_end_is_no_success():
    outcome = attempt(HAZARDS[0], None, deadline=0.01)
    assert (outcome.good, outcome.hangs) == (False, 1)

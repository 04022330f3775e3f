"""What kernels are compiled from agrees with what the simulator runs."""

from tests import child


def test_outside_the_simulator_the_choices_by_types_compute_the_same():
    child.passes("--noconftest", "tests/cuda/choices.py", NUMBA_ENABLE_CUDASIM="0")

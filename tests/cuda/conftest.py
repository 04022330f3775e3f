"""What holds for every test here.

Nothing is imported above that imports ``numba.cuda``: pytest reads this file before the run is
configured to be on the simulator or not.
"""

import sys
import warnings

import numpy as np
import pytest

collect_ignore = ["choices.py"]  # which test_choices.py runs outside the simulator


@pytest.fixture(autouse=True)
def _only_device_memory(monkeypatch):
    """No kernel gets memory of the host, which the simulator would not mind."""
    from fastloss.cuda import launch
    from fastloss.cuda.arrays import Remote

    original = launch.argument

    def argument(array):
        assert isinstance(array, Remote)
        return original(array)

    monkeypatch.setattr(launch, "argument", argument)


@pytest.fixture(autouse=True)
def _numbers_overflow_in_silence():
    """The simulator computes with NumPy's numbers, whose warnings a GPU does not have."""
    with warnings.catch_warnings():
        for words in ("overflow", "underflow", "invalid value", "divide by zero"):
            warnings.filterwarnings("ignore", f"{words} encountered", RuntimeWarning)
        yield


@pytest.fixture(autouse=True)
def _no_module_gets_a_name_meanwhile():
    """A module's first warning adds one, while another simulated thread goes through its names."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fastloss"):
            vars(module).setdefault("__warningregistry__", {})


@pytest.fixture(autouse=True)
def _one_shared_array_for_a_block(monkeypatch):
    """The simulator gives two threads that ask at once an array each, and loses one of them."""
    from fastloss.cuda.jit import SIMULATED

    if not SIMULATED:
        return
    from numba.cuda.simulator import kernelapi

    def array(self, shape, dtype, alignment=None):
        caller = sys._getframe(1)
        key = caller.f_code, caller.f_lineno
        made = np.empty(shape, kernelapi.numpy_support.as_dtype(dtype))
        return self._allocations.setdefault(key, made)

    monkeypatch.setattr(kernelapi.FakeCUDAShared, "array", array)


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    """The simulator waits at a barrier by asking again and again, which holds the others up."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def recorder(monkeypatch):
    """The calls that reach the driver."""
    from tests.cuda.fake import Recorder

    return Recorder(monkeypatch)

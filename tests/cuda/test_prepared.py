"""What launches and copies ask of the driver, told by one that takes notes."""

import ctypes
import struct
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from fastloss.cuda import launch, prepared
from fastloss.cuda.jit import THREADS
from fastloss.cuda.prepared import Vector

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Power(NamedTuple):
    """A formula."""

    exponent: int = 3
    scale: float = 0.5


class FakeDriver:
    """A driver that reads the parameters of a launch when it is called, as the real one does."""

    CUfunction = staticmethod(lambda address: ("function", address))

    def __init__(self):
        self.calls = []
        self.layout = ""
        self.error = 0
        self.context = 0x1000

    def cuCtxGetCurrent(self):  # noqa: N802
        return 0, self.context

    def cuLaunchKernel(self, function, *configuration):  # noqa: N802
        *grid, shared, stream, address, extra = configuration
        pointers = (ctypes.c_void_p * len(self.layout)).from_address(address)
        values = tuple(
            struct.unpack(kind, ctypes.string_at(at, struct.calcsize(kind)))[0]
            for kind, at in zip(self.layout, pointers, strict=True)
        )
        self.calls.append(("launch", function, grid, shared, stream, extra, values))
        return (self.error,)

    def cuMemcpyDtoHAsync(self, to, address, size, stream):  # noqa: N802
        self.calls.append(("copy", address, size, stream))
        ctypes.memmove(to, address, size)
        return (self.error,)

    def cuMemcpyHtoDAsync(self, address, source, size, stream):  # noqa: N802
        self.calls.append(("send", address, size, stream))
        ctypes.memmove(address, source, size)
        return (self.error,)

    def cuStreamSynchronize(self, stream):  # noqa: N802
        self.calls.append(("wait", stream))
        return (0,)

    def cuGetErrorName(self, error):  # noqa: N802
        return 0, b"CUDA_ERROR_%d" % error

    def cuGetErrorString(self, error):  # noqa: N802
        return 0, b"an illegal memory access"


class FakeKernel:
    """A kernel that notes what numba-cuda compiles it for and launches it with."""

    def __init__(self):
        self.compiled = []
        self.launched = []
        self.library = SimpleNamespace(get_cufunc=lambda: SimpleNamespace(handle=77))

    def typeof_pyval(self, value):
        return (value.shape, value.dtype) if isinstance(value, np.ndarray) else type(value)

    def compile(self, types):
        self.compiled.append(types)
        return SimpleNamespace(library=self.library)

    def __getitem__(self, configuration):
        warns = prepared.config.CUDA_LOW_OCCUPANCY_WARNINGS
        return lambda *arguments: self.launched.append((configuration, arguments, warns))


@pytest.fixture
def driver(monkeypatch):
    found = FakeDriver()
    monkeypatch.setattr(prepared, "driver", found)
    monkeypatch.setattr(prepared, "_prepared", {})
    monkeypatch.setattr(prepared.config, "CUDA_LOW_OCCUPANCY_WARNINGS", 1)
    monkeypatch.setattr(
        prepared,
        "cuda",
        SimpleNamespace(
            external_stream=lambda address: ("stream", address),
            from_cuda_array_interface=lambda interface, sync: (interface, sync),
        ),
    )
    return found


@pytest.fixture
def _outside_the_simulator(monkeypatch):
    monkeypatch.setattr(launch, "SIMULATED", False)
    monkeypatch.setattr(launch, "prepared", prepared, raising=False)


ARRAY = Vector(0x7000, 5, FLOAT32)


def test_a_kernel_is_compiled_once_for_each_combination_of_types(driver):
    kernel = FakeKernel()
    driver.layout = "qd" + "PPqqPqq" + "q" + "f"
    for k in (3, 4):
        arguments = Power(k), Vector(0x7000 + k, 5, FLOAT32), (), (9,), np.float32(0.25)
        prepared.launch(kernel, 12, 0x88, arguments)
        values = (k, 0.5, 0, 0, 5, 4, 0x7000 + k, 5, 4, 9, 0.25)
        grid = [12, 1, 1, THREADS, 1, 1]
        assert driver.calls[-1] == ("launch", ("function", 77), grid, 0, 0x88, 0, values)
    assert len(kernel.compiled) == 1
    assert kernel.compiled[0][1] == ((1,), FLOAT32)
    driver.layout = "PPqqPqq"
    prepared.launch(kernel, 1, 0, (Vector(0x7000, 5, FLOAT64),))
    driver.context = 0x2000
    prepared.launch(kernel, 1, 0, (Vector(0x7000, 5, FLOAT64),))
    assert len(kernel.compiled) == 3
    assert not kernel.launched


INTERFACE = {
    "shape": (5,),
    "strides": None,
    "typestr": "<f4",
    "data": (0x7000, False),
    "version": 3,
}


def by_numba(kernel, stream, *arguments):
    """Whether numba-cuda was asked for a launch, in silence about grids of few blocks."""
    assert prepared.config.CUDA_LOW_OCCUPANCY_WARNINGS == 1
    where = ("stream", stream) if stream else 0
    given = tuple((INTERFACE, False) if a is ARRAY else a for a in arguments)
    return kernel.launched.pop() == ((12, THREADS, where), given, 0)


@pytest.mark.parametrize("stream", [0, 0x88])
@pytest.mark.parametrize("odd", [True, np.float16(0.5), (1, False), Power(2**63), "abc"], ids=repr)
def test_arguments_without_a_format_are_left_to_numba_cuda(odd, stream, driver):
    kernel = FakeKernel()
    for _ in range(2):
        prepared.launch(kernel, 12, stream, (ARRAY, odd))
        assert by_numba(kernel, stream, ARRAY, odd)
    assert not driver.calls
    assert not kernel.compiled


def test_a_number_of_more_than_63_bits_is_left_to_numba_cuda_each_time(driver):
    kernel = FakeKernel()
    driver.layout = "qd"
    prepared.launch(kernel, 12, 0, (Power(2**62),))
    assert driver.calls.pop()[-1] == (2**62, 0.5)
    prepared.launch(kernel, 12, 0, (Power(2**63),))
    assert by_numba(kernel, 0, Power(2**63))
    prepared.launch(kernel, 12, 0, (Power(2),))
    assert driver.calls.pop()[-1] == (2, 0.5)
    assert not driver.calls
    assert not kernel.launched


def test_a_numba_cuda_that_keeps_its_functions_elsewhere_launches_them(driver):
    kernel = FakeKernel()
    del kernel.library.get_cufunc
    for _ in range(2):
        prepared.launch(kernel, 12, 0, (ARRAY, 3))
        assert by_numba(kernel, 0, ARRAY, 3)
    assert len(kernel.compiled) == 1
    assert not driver.calls


def test_what_the_driver_says_of_a_launch_is_the_error(driver):
    kernel = FakeKernel()
    driver.layout, driver.error = "q", 700
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^CUDA_ERROR_700: an illegal memory access$"):
            prepared.launch(kernel, 12, 0, (3,))
    driver.error = 0
    prepared.launch(kernel, 12, 0, (4,))
    assert driver.calls[-1][-1] == (4,)


@pytest.mark.usefixtures("_outside_the_simulator")
def test_elements_are_copied_on_their_stream_and_waited_for(driver):
    memory = np.arange(6.0)
    found = launch.fetch_at(memory.ctypes.data, 4, FLOAT64, 0x88)
    np.testing.assert_array_equal(found, memory[:4])
    assert driver.calls == [("copy", memory.ctypes.data, 32, 0x88), ("wait", 0x88)]
    driver.calls.clear()
    assert launch.fetch_at(0, 0, FLOAT32, 0x88).dtype == FLOAT32
    assert not driver.calls
    driver.error = 719
    with pytest.raises(RuntimeError, match="CUDA_ERROR_719"):
        launch.fetch_at(memory.ctypes.data, 4, FLOAT64, 0x88)


@pytest.mark.usefixtures("_outside_the_simulator")
def test_elements_are_sent_on_their_stream(driver):
    there = np.zeros(4)
    launch.send_to(there.ctypes.data, np.arange(4.0), 0x88)
    np.testing.assert_array_equal(there, np.arange(4.0))
    assert driver.calls == [("send", there.ctypes.data, 32, 0x88)]
    driver.error = 719
    with pytest.raises(RuntimeError, match="CUDA_ERROR_719"):
        launch.send_to(there.ctypes.data, np.arange(4.0), 0x88)


@pytest.mark.usefixtures("_outside_the_simulator")
def test_a_new_array_is_one_of_numbas(monkeypatch):
    def device_array(shape, dtype, order):
        return shape, dtype, order

    monkeypatch.setattr(launch, "cuda", SimpleNamespace(device_array=device_array))
    assert launch.new((3, 4), FLOAT32, "F") == ((3, 4), FLOAT32, "F")

"""The short way of a call on ordinary arrays: as the general way to the bit, or not at all."""

import sys
from functools import partial

import numpy as np
import pytest
from numba.core.errors import TypingError

import fastloss as fl
from fastloss import dispatch
from fastloss.cuda import launch, looks, ordinary
from fastloss.formulas import L1, SmoothL1
from tests.cuda import test_libraries
from tests.cuda.fake import DeviceArray, Recorder
from tests.registry import pair

SIZE = 140  # more than two tiles of float32
METHODS = ["__call__", "grad", "value_and_grad", "grad_and_hess"]


class Quick(DeviceArray):
    """An array that answers what is asked of it alone."""

    def is_contiguous(self):
        return self.array.flags.c_contiguous


class FakeTorch(test_libraries.FakeTorch):
    class Base(Quick):
        is_cuda = True
        requires_grad = False
        shape = property(lambda self: self.array.shape)
        dtype = property(lambda self: self.array.dtype.name)
        device = property(lambda self: f"cuda:{self.index}")

        def data_ptr(self):
            return self.array.ctypes.data

        def get_device(self):
            return self.index

        def permute(self, *axes):
            self.array = self.array.transpose(axes)
            return self

    def module(self):
        module = super().module()
        module.Tensor = self.Array
        module.empty_like = lambda like: self.new(like.shape, like.dtype, like.index)
        return module


class FakeCupy(test_libraries.FakeCupy):
    class Base(Quick):
        shape = property(lambda self: self.array.shape)
        flags = property(lambda self: self.array.flags)

        @property
        def data(self):
            return type("Memory", (), {"ptr": self.array.ctypes.data, "device_id": self.index})

    def module(self):
        module = super().module()
        module.ndarray = self.Array
        module.empty = lambda shape, dtype, order="C": self.new(shape, dtype, self.current, order)
        return module


@pytest.fixture(params=[FakeTorch, FakeCupy], ids=lambda cls: cls.name)
def library(request, monkeypatch):
    return request.param(monkeypatch)


@pytest.fixture
def short(monkeypatch):
    """Calls that go no other way."""
    monkeypatch.setattr(dispatch, "elementwise", lambda *_: pytest.fail("the general way"))


def aligned(count, dtype, off=0):
    """Give memory that starts ``off`` bytes after a multiple of 64."""
    memory = np.zeros(count * np.dtype(dtype).itemsize + 128, np.uint8)
    low = -memory.ctypes.data % 64 + off
    return memory[low : low + count * np.dtype(dtype).itemsize].view(dtype)


def problem(library, dtype, off=0, weighted=True, weights_off=None):
    x, y = pair(SIZE, dtype)
    found = []
    offs = off, off, off if weights_off is None else weights_off
    for values, here in zip((x, y, np.linspace(0.5, 1.5, SIZE)), offs, strict=True):
        memory = aligned(SIZE, dtype, here)
        memory[:] = values
        found.append(library.array(memory.reshape(20, -1)))
    return [*found[:2], found[2] if weighted else None]


def results(call):
    found = call if isinstance(call, tuple) else (call,)
    return [getattr(a, "array", a) for a in found]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alone", "weights"])
@pytest.mark.parametrize("formula", [SmoothL1(0.7), L1()], ids=repr)
def test_the_short_way_has_the_bits_of_the_general_one(
    formula, weighted, reduction, method, library
):
    loss = fl.Loss(formula, reduction)
    # In bytes, where the arrays begin and where the weights do.
    for dtype, *offs in (
        (np.float16, 0, 0),
        (np.float32, 0, 0),
        (np.float32, 8, 8),
        (np.float32, 8, 0),
        (np.float64, 0, 0),
    ):
        arguments = problem(library, dtype, offs[0], weighted, offs[1])
        expected = results(getattr(loss, method)(*arguments, device="cuda:0"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatch, "elementwise", lambda *_: pytest.fail("the general way"))
            found = results(getattr(loss, method)(*arguments))
        for ours, theirs in zip(found, expected, strict=True):
            assert type(ours) is type(theirs)
            assert getattr(ours, "dtype", float) == getattr(theirs, "dtype", float)
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("short")
def test_outputs_are_written_and_given_back(library):
    x, y, _ = problem(library, np.float32)
    g, h = (library.array(aligned(SIZE, np.float32).reshape(20, -1)) for _ in range(2))
    slots = [library.array(np.zeros((), dtype)) for dtype in (np.float16, np.float32, np.float64)]
    loss, none = fl.MSELoss(), fl.MSELoss(reduction="none")
    r = x.array - y.array
    for slot in slots:
        assert loss(x, y, out=slot) is slot
        np.testing.assert_allclose(slot.array, np.mean(r**2), rtol=1e-3)
        slot.array[...] = 0
        assert loss.value_and_grad(x, y, out=g, total=slot) == (slot, g)
        np.testing.assert_allclose(slot.array, np.mean(r**2), rtol=1e-3)
    np.testing.assert_allclose(g.array, 2 * r / SIZE, rtol=1e-6)
    assert none(x, y, out=h) is h
    np.testing.assert_allclose(h.array, r**2, rtol=1e-6)
    assert loss.grad_and_hess(x, y, out=(g, h)) == (g, h)
    np.testing.assert_allclose(h.array, np.full_like(r, 2 / SIZE), rtol=1e-6)
    assert none.grad(x, y, out=x) is x
    np.testing.assert_allclose(x.array, 2 * r, rtol=1e-6)


@pytest.mark.usefixtures("short")
def test_a_mean_with_weights_is_over_their_sum(library):
    x, y, w = problem(library, np.float64)
    g = library.array(np.empty_like(x.array))
    slot = library.array(np.zeros(()))
    r, weights = x.array - y.array, w.array
    loss = fl.MSELoss()
    value, gradient = loss.value_and_grad(x, y, w)
    np.testing.assert_allclose(value, np.average(r**2, weights=weights), rtol=1e-15)
    np.testing.assert_allclose(gradient.array, 2 * r * weights / weights.sum(), rtol=1e-15)
    assert loss(x, y, w) == value
    assert loss(x, y, w, out=slot).array == value
    assert loss.grad(x, y, w, out=g) is g
    np.testing.assert_array_equal(g.array, gradient.array)


@pytest.mark.usefixtures("short")
def test_weights_without_a_sum_to_divide_by_are_noticed_by_who_waits(library):
    x, y, w = problem(library, np.float32)
    loss = fl.MSELoss()
    w.array[...] = 0
    with pytest.warns(RuntimeWarning, match="weights that sum to zero"):
        value, gradient = loss.value_and_grad(x, y, w)
    assert np.isnan(value)
    assert np.isnan(gradient.array).all()
    w.array[...] = 0
    w.array[0, 0] = 1e-44
    with pytest.raises(ValueError, match="weight must have a sum whose inverse float32 can hold"):
        loss(x, y, w)
    assert np.isnan(loss.grad(x, y, w).array).all()


@pytest.mark.usefixtures("short")
def test_an_array_is_not_asked_for_its_interface(library, monkeypatch):
    arguments = problem(library, np.float32)
    interface = property(lambda self: pytest.fail("the interface"))
    monkeypatch.setattr(library.Array, "__cuda_array_interface__", interface)
    fl.HuberLoss(reduction="sum").value_and_grad(*arguments)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("index", [0, 1])
def test_kernels_run_on_the_librarys_stream_of_the_current_device(library, index, monkeypatch):
    library.current = index
    arguments = problem(library, np.float32)
    for array in arguments:
        array.index = index
    asked = []
    monkeypatch.setattr(launch, "is_active", lambda device: asked.append(device) or True)
    monkeypatch.setattr(launch, "stream_at", lambda address: ("stream", address))
    recorder = Recorder(monkeypatch)
    fl.SmoothL1Loss(reduction="sum").value_and_grad(*arguments)
    assert set(recorder.arguments("run", 2)) == {("stream", library.stream(index))}
    assert asked == [index]
    assert recorder.count("run") == 2


def test_memory_that_kernels_read_stays_until_the_call_ends(library, monkeypatch):
    run = launch.run

    def watched(*call):
        assert library.made[-1]() is not None
        run(*call)

    monkeypatch.setattr(launch, "run", watched)
    for made, weighted in enumerate((False, True), 1):
        fl.SmoothL1Loss()(*problem(library, np.float32, weighted=weighted))
        assert len(library.made) == made
        assert library.made[-1]() is None


# --- what is not ordinary


def strided(library, x):
    return library.array(np.repeat(x.array, 2, axis=1)[:, ::2])


def read_only_alias(library, x):
    return type("Alias", (library.Array,), {})(x.array)


UNUSUAL = {
    "strided": strided,
    "fortran": lambda library, x: library.array(np.asfortranarray(x.array)),
    "broadcast": lambda library, x: library.array(x.array[:1]),
    "another dtype": lambda library, x: library.array(x.array.astype(np.float64)),
    "integers": lambda library, x: library.array(x.array.astype(np.int32)),
    "a subclass": read_only_alias,
    "another library": lambda library, x: DeviceArray(x.array),
    "a number": lambda library, x: 0.5,
}


@pytest.mark.parametrize("case", UNUSUAL)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_unusual_argument_goes_the_general_way(library, case, position, monkeypatch):
    loss = fl.HuberLoss(reduction="sum")
    arguments = problem(library, np.float32)
    arguments[position] = UNUSUAL[case](library, arguments[position])
    with monkeypatch.context() as patch:
        patch.setattr(launch, "run", lambda *_: pytest.fail("a kernel was launched"))
        if case == "integers" and position == 0:
            arguments[1:] = [arguments[0], None]
        assert ordinary.compute(loss, False, tuple(arguments), ((), None, ()), True, None) is None
    value, grad = loss.value_and_grad(*arguments)
    on_cpu = [getattr(a, "array", a) for a in arguments]
    np.testing.assert_allclose(value, loss(*on_cpu), rtol=1e-6)
    np.testing.assert_allclose(grad.array, loss.grad(*on_cpu), rtol=1e-6)


def overlapping(library):
    memory = aligned(2 * SIZE, np.float32)
    x, out = memory[:SIZE].reshape(20, -1), memory[4 : SIZE + 4].reshape(20, -1)
    return library.array(x), library.array(out)


def refused(arguments, outs, total=False, slot=None):
    return ordinary.compute(fl.L1Loss(), False, arguments, outs, total, slot) is None


def test_an_unusual_output_goes_the_general_way(library, monkeypatch):
    monkeypatch.setattr(launch, "run", lambda *_: pytest.fail("a kernel was launched"))
    x, y, _ = problem(library, np.float32)
    g = library.array(np.empty_like(x.array))
    near, out = overlapping(library)
    assert refused((near, y, None), ((), out, ()))
    assert refused((y, near, None), ((), out, ()))
    assert refused((x, y, near), ((), out, ()))
    assert refused((x, y, None), ((), g, g))
    assert refused((x, y, None), ((), near, out))
    for unusual in (
        strided(library, x),
        library.array(np.empty_like(x.array, np.float64)),
        library.array(np.empty((20, 1), np.float32)),
        library.array(g.array, 1),
        DeviceArray(g.array),
        g.array,
    ):
        assert refused((x, y, None), ((), unusual, ()))


def test_an_unusual_total_goes_the_general_way(library, monkeypatch):
    monkeypatch.setattr(launch, "run", lambda *_: pytest.fail("a kernel was launched"))
    x, y, _ = problem(library, np.float32)
    g = library.array(np.empty_like(x.array))
    for array in (x, y, g):
        for element in (array.array[0, 0], array.array[-1, -1]):
            inside = np.ndarray((), np.float32, array.array, element.nbytes * 3)
            assert refused((x, y, None), ((), g, ()), True, library.array(inside))
    for unusual in (np.zeros(1, np.float32), np.zeros((), np.int32)):
        assert refused((x, y, None), ((), g, ()), True, library.array(unusual))
    assert refused((x, y, None), ((), g, ()), True, library.array(np.zeros((), "f4"), 1))
    assert refused((x, y, None), ((), g, ()), False, library.array(np.zeros((), "f4")))


def test_an_output_at_another_address_does_not_change_a_sum(library):
    x, y, _ = problem(library, np.float32)
    odd = library.array(aligned(SIZE, np.float32, 4).reshape(20, -1))
    loss = fl.SmoothL1Loss()
    assert refused((x, y, None), ((), odd, ()), True)
    assert loss.value_and_grad(x, y, out=odd)[0] == loss(x, y)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_no_elements_go_the_general_way(library, shape):
    x = library.array(np.ones(shape, np.float32))
    with pytest.warns(RuntimeWarning, match="mean of no elements"):
        assert np.isnan(fl.L1Loss()(x, x))


def test_another_device_than_the_current_one_goes_the_general_way(library, monkeypatch):
    monkeypatch.setattr(launch, "is_active", lambda device: False)
    recorder = Recorder(monkeypatch)
    fl.L1Loss().grad(*problem(library, np.float32, weighted=False))
    assert recorder.arguments("active", 0) == [0]


def test_tensors_that_require_grad_or_have_no_memory_are_refused_by_name(monkeypatch):
    library = FakeTorch(monkeypatch)
    x, y, _ = problem(library, np.float32)
    y.requires_grad = True
    with pytest.raises(TypeError, match="target requires grad"):
        fl.L1Loss()(x, y)
    y.requires_grad = False
    out = library.array(np.empty_like(x.array))
    out.requires_grad = True
    with pytest.raises(TypeError, match="out requires grad"):
        fl.L1Loss().grad(x, y, out=out)


def test_a_full_device_is_the_error_of_the_general_way(library):
    arguments = problem(library, np.float32, weighted=False)
    library.error = library.out_of_memory
    with pytest.raises(MemoryError, match="no room on cuda:0 for a float32 array"):
        fl.L1Loss(reduction="none")(*arguments)


@pytest.mark.usefixtures("short")
def test_a_formula_that_cannot_be_compiled_is_named(library, monkeypatch):
    def compile(*_):
        raise TypingError("Unknown attribute 'f'")

    monkeypatch.setattr(launch, "run", compile)
    with pytest.raises(TypeError, match=r"formula L1\(\) cannot.*Unknown attribute 'f'") as caught:
        fl.L1Loss()(*problem(library, np.float32))
    assert isinstance(caught.value.__cause__, TypingError)


def test_arrays_are_checked_before_a_threshold_that_is_still_to_be_found(library):
    x, y, _ = problem(library, np.float32)
    loss = fl.HuberLoss(delta="auto")
    with pytest.raises(ValueError, match="has no threshold yet"):
        loss(x, y)
    with pytest.raises(ValueError, match="out must have the shape"):
        loss(x, y, out=library.array(np.zeros(3, np.float32)))


def test_a_library_that_was_replaced_is_looked_at_anew(monkeypatch):
    first, second = FakeCupy(monkeypatch), FakeCupy(monkeypatch)
    assert looks.looks_of(first.Array) is None
    assert looks.looks_of(second.Array).cupy is sys.modules["cupy"]
    assert looks.looks_of(np.ndarray) is None
    assert looks.looks_of(partial) is None

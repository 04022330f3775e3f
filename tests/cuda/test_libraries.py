"""What calls do with the libraries that arrays come from, told by libraries that take notes."""

import sys
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

import fastloss as fl
from fastloss.cuda import launch, libraries
from tests.cuda.fake import DeviceArray, Recorder, device, host

METHODS = ["grad", "value_and_grad", "grad_and_hess"]


class FakeLibrary:
    """A library on two GPUs, each with a stream of its own."""

    read_only = False

    def __init__(self, monkeypatch):
        self.made = []
        self.events = []
        self.error = None
        self.Array = type("Array", (self.Base,), {"__module__": f"{self.name}.arrays"})
        monkeypatch.setitem(sys.modules, self.name, self.module())

    class Base(DeviceArray):
        pass

    def array(self, array, index=0):
        return self.Array(array, index, self.read_only)

    def new(self, shape, dtype, index, order="C"):
        if self.error is not None:
            raise self.error
        made = self.array(np.full(shape, 99, dtype, order), index)
        self.made.append(weakref.ref(made))
        return made

    def stream(self, index):
        return 1000 + index


class FakeTorch(FakeLibrary):
    name = "torch"
    out_of_memory = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")

    class Base(DeviceArray):
        requires_grad = False

        def permute(self, *axes):
            self.array = self.array.transpose(axes)
            return self

    def module(self):
        names = ("float16", "float32", "float64", "uint8")
        return SimpleNamespace(
            **{name: name for name in names},
            empty=lambda shape, dtype, device: self.new(shape, dtype, int(device[5:])),
            cuda=SimpleNamespace(
                current_stream=lambda index: SimpleNamespace(cuda_stream=self.stream(index))
            ),
        )


class FakeCupy(FakeLibrary):
    name = "cupy"
    out_of_memory = MemoryError("Out of memory allocating 8,000 bytes (allocated so far: 0 bytes)")
    current = 0

    def module(self):
        return SimpleNamespace(
            empty=lambda shape, dtype, order: self.new(shape, dtype, self.current, order),
            cuda=SimpleNamespace(
                Device=self.on,
                get_current_stream=lambda: SimpleNamespace(ptr=self.stream(self.current)),
            ),
        )

    @contextmanager
    def on(self, index):
        before, self.current = self.current, index
        yield
        self.current = before


class FakeJax(FakeLibrary):
    name = "jax"
    read_only = True
    out_of_memory = RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8000 bytes.")

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        stream = SimpleNamespace(synchronize=lambda: self.events.append("finish"))
        monkeypatch.setattr(libraries.cuda, "default_stream", lambda: stream, raising=False)
        library = self

        def ready(self):
            library.events.append("ready")
            return self

        self.Array.block_until_ready = ready

    def stream(self, index):
        return 0

    def module(self):
        devices = [SimpleNamespace(local_hardware_id=index) for index in (1, 0)]
        narrow = {np.dtype(np.float64): np.dtype(np.float32)}
        return SimpleNamespace(
            devices=lambda kind: devices,
            device_put=lambda made, place: self.new(
                made.shape, made.dtype, place.local_hardware_id
            ),
            numpy=SimpleNamespace(
                empty=lambda shape, dtype: np.empty(shape, narrow.get(dtype, dtype))
            ),
        )


@pytest.fixture(params=[FakeTorch, FakeCupy, FakeJax], ids=lambda cls: cls.name)
def library(request, monkeypatch):
    return request.param(monkeypatch)


@pytest.fixture
def jax(monkeypatch):
    return FakeJax(monkeypatch)


def arguments(library, index=0, size=40):
    rng = np.random.default_rng(0)
    return [library.array(a.copy(), index) for a in rng.uniform(0.5, 1, (3, size)).astype("f4")]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_results_are_the_librarys_own_on_the_device_of_the_arguments(
    library, index, method, reduction
):
    given = arguments(library, index)
    loss = fl.SmoothL1Loss(reduction=reduction)
    results = getattr(loss, method)(*given)
    results = results if isinstance(results, tuple) else (results,)
    arrays = [r for r in results if not isinstance(r, float)]
    assert len(arrays) == len(results) - (method == "value_and_grad" and reduction == "mean")
    for result in arrays:
        assert type(result) is library.Array
        assert any(result is made() for made in library.made)
        assert result.index == index
    on_cpu = getattr(loss, method)(*(a.array for a in given))
    on_cpu = on_cpu if isinstance(on_cpu, tuple) else (on_cpu,)
    for ours, theirs in zip(results, on_cpu, strict=True):
        np.testing.assert_allclose(host(ours), theirs, rtol=2.4e-7)


@pytest.mark.parametrize("index", [0, 1])
def test_kernels_run_and_totals_are_fetched_on_the_librarys_current_stream(
    library, index, monkeypatch
):
    monkeypatch.setattr(launch, "stream_at", lambda address: ("stream", address))
    recorder = Recorder(monkeypatch)
    fl.SmoothL1Loss().value_and_grad(*arguments(library, index))
    current = {("stream", library.stream(index))}
    assert set(recorder.arguments("run", 2)) == current
    assert set(recorder.arguments("fetch", 1)) == current
    assert set(recorder.arguments("active", 0)) == {index}
    assert [call[0] for call in recorder.calls].index("active") == 0


@pytest.mark.parametrize(("reduction", "total"), [("none", 0), ("sum", 1), ("mean", 1)])
def test_nothing_is_fetched_but_a_total_once(library, reduction, total, recorder):
    given = arguments(library)
    loss = fl.SmoothL1Loss(reduction=reduction)
    for call, fetches in [
        (lambda: loss(*given), total),
        (lambda: loss.grad(*given), 0),
        (lambda: loss.value_and_grad(*given), total),
        (lambda: loss.grad_and_hess(*given), 0),
    ]:
        recorder.calls.clear()
        call()
        assert recorder.count("fetch") == fetches
        assert recorder.count("send") == 0


@pytest.mark.parametrize("number", [0.5, 2, True, np.float32(0.1), np.float16(0.1), np.int8(-3)])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_number_reaches_the_device_without_a_copy_that_is_waited_for(
    library, number, position, recorder
):
    given = arguments(library)
    given[position] = number
    loss = fl.MSELoss(reduction="none")
    found = loss(*given).array
    assert recorder.count("send") == recorder.count("fetch") == 0
    assert set(recorder.arguments("run", 2)) == {0}
    expected = loss(*(getattr(a, "array", a) for a in given))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2.4e-7)


def test_memory_that_kernels_read_stays_until_the_call_ends(library, monkeypatch):
    run = launch.run

    def watched(*call):
        assert all(made() is not None for made in library.made)
        run(*call)

    monkeypatch.setattr(launch, "run", watched)
    fl.SmoothL1Loss().value_and_grad(*arguments(library))
    assert len(library.made) > 3
    assert all(made() is None for made in library.made)


def test_arguments_are_not_written_to(library):
    given = arguments(library)
    before = [a.array.copy() for a in given]
    for method in METHODS:
        getattr(fl.SmoothL1Loss(), method)(*given)
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a.array, b)


def test_fortran_order_is_kept_where_the_library_has_it(library):
    x, y = (library.array(np.full((3, 4, 2), v, np.float32, order="F")) for v in (3, 1))
    result = fl.MSELoss(reduction="none")(x, y).array
    assert result.shape == (3, 4, 2)
    assert result.flags.f_contiguous is (library.name != "jax")
    np.testing.assert_array_equal(result, np.full((3, 4, 2), 4))


@pytest.mark.parametrize("call", ["none", "grad", "sum"])
def test_a_full_device_is_a_memory_error_that_says_what_was_asked_for(library, call):
    given = arguments(library, 1)
    library.error = library.out_of_memory
    with pytest.raises(MemoryError, match="no room on cuda:1 for a .* array of shape .*emory"):
        fl.L1Loss(reduction="sum").grad(*given) if call == "grad" else fl.L1Loss(reduction=call)(
            *given
        )
    library.error = KeyError("another")
    with pytest.raises(KeyError, match="another"):
        fl.L1Loss(reduction="none")(*given)


def test_a_full_device_in_the_words_of_the_driver(monkeypatch):
    def full(*_):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    x = device(np.ones(3))
    for name in ("new", "send"):
        monkeypatch.setattr(launch, name, full)
        with pytest.raises(MemoryError, match=r"no room on cuda:0 for a float64 array of shape"):
            fl.L1Loss(reduction="none")(x, x) if name == "new" else fl.L1Loss()(
                np.ones(3), np.ones(3), device="cuda"
            )
        monkeypatch.undo()


def test_of_several_libraries_the_first_arguments_makes_the_results(monkeypatch):
    torch, cupy = FakeTorch(monkeypatch), FakeCupy(monkeypatch)
    x, y = torch.array(np.ones(3)), cupy.array(np.zeros(3))
    assert type(fl.L1Loss().grad(x, y)) is torch.Array
    assert type(fl.L1Loss().grad(y, x)) is cupy.Array


# --- arrays of libraries that are not known


@pytest.mark.parametrize("stream", [None, 1, 1234])
def test_the_stream_that_an_array_names_is_waited_for(stream, monkeypatch):
    monkeypatch.setattr(launch, "stream_at", lambda address: ("stream", address))
    recorder = Recorder(monkeypatch)
    x, y = (device(np.full(9, v), stream=stream) for v in (3.0, 1.0))
    assert fl.SmoothL1Loss()(x, y) == 1.5
    assert set(recorder.arguments("run", 2)) == {("stream", stream or 0)}
    assert set(recorder.arguments("fetch", 1)) == {("stream", stream or 0)}


def test_their_results_go_into_further_calls():
    x = device(np.linspace(-2, 2, 9))
    elements = fl.MSELoss(reduction="none")(x, 0.0)
    assert fl.L1Loss(reduction="sum")(elements, 0.0) == pytest.approx(15.0)


# --- JAX


def test_jax_is_waited_for_before_kernels_and_waits_for_them(jax, monkeypatch):
    run = launch.run
    monkeypatch.setattr(launch, "run", lambda *call: (jax.events.append("run"), run(*call)))
    x, y, w = arguments(jax)
    fl.SmoothL1Loss().grad(x, y, w)
    assert jax.events[:3] == ["ready"] * 3
    assert "run" in jax.events
    assert jax.events[-1] == "finish"
    assert "ready" not in jax.events[jax.events.index("finish") :]


def test_sums_of_jax_need_no_float64(jax):
    x, y, w = arguments(jax)
    expected = fl.SmoothL1Loss()(x.array, y.array, w.array)
    assert fl.SmoothL1Loss()(x, y, w) == pytest.approx(expected, rel=4.4e-16)


def test_a_result_that_jax_has_no_dtype_for_is_refused(jax):
    whole = jax.array(np.arange(5))
    with pytest.raises(TypeError, match="JAX has no float64 unless jax_enable_x64 is set"):
        fl.L1Loss(reduction="none")(whole, 1)
    assert fl.L1Loss(reduction="sum")(whole, 0) == 10.0


def test_no_array_of_jax_is_an_output(jax):
    x, y, w = arguments(jax)
    with pytest.raises(ValueError, match="out must be writeable"):
        fl.L1Loss().grad(x, y, w, out=x)

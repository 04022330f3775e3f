"""Losses of Dask arrays whose chunks live on a GPU: the kernels run there, results stay there."""

import numpy as np
import pytest

import fastloss as fl
from tests.cuda.fake import DeviceArray, host
from tests.cuda.test_libraries import FakeCupy
from tests.registry import METHODS, ONE_OF_EACH, REDUCTIONS, cases, pair
from tests.test_losses import call

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
concatenate_lookup = pytest.importorskip("dask.array.dispatch").concatenate_lookup

SHAPE = 9, 14
CHUNKS = {"one block": -1, "both axes": (4, 9), "uneven": ((1, 8), (13, 1))}


class Sliced(DeviceArray):
    """A device array with what is asked of CuPy's: slices, shapes, sums, other dtypes."""

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)

    def _like(self, array):
        return type(self)(np.asarray(array), self.index)

    def __getitem__(self, key):
        return self._like(self.array[key])

    def reshape(self, shape):
        return self._like(self.array.reshape(shape))

    def astype(self, dtype, **_):
        return self._like(self.array.astype(dtype))

    def __array_function__(self, function, types, arguments, options):
        plain = [
            [host(part) for part in value] if isinstance(value, list) else host(value)
            for value in arguments
        ]
        return self._like(function(*plain, **options))


class SlicedCupy(FakeCupy):
    Base = Sliced


@pytest.fixture
def library(monkeypatch):
    """CuPy, whose arrays Dask can cut and put together."""
    with dask.config.set(scheduler="synchronous"):
        library = SlicedCupy(monkeypatch)
        # What Dask itself registers for CuPy, all of which it asks for by the module's name.
        monkeypatch.setitem(concatenate_lookup._lookup, library.Array, np.concatenate)
        yield library


def on_gpu(library, array, chunks):
    return da.from_array(library.array(array), chunks, asarray=False)


def numbers(method, found):
    """The results of a method as NumPy's."""
    return [np.asarray(host(part)) for part in (found if "_and_" in method else (found,))]


def problem(shape=SHAPE):
    x, y = (a.reshape(shape) for a in pair(int(np.prod(shape)), np.float32))
    return x, y, np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("chunks", "method", "reduction", "weighted"),
    cases(CHUNKS, METHODS, REDUCTIONS, [False, True], slow=lambda *case: case[0] != "both axes"),
)
def test_results_are_those_of_numpy_arrays(library, method, reduction, weighted, chunks):
    chunks = CHUNKS[chunks]
    loss = fl.SmoothL1Loss(reduction=reduction, beta=0.7)
    plain = problem() if weighted else problem()[:2]
    lazy = call(loss, method, *(on_gpu(library, a, chunks) for a in plain))
    found = numbers(method, dask.compute(lazy)[0])
    for part, known in zip(found, numbers(method, call(loss, method, *plain)), strict=True):
        np.testing.assert_allclose(part, known, rtol=2e-7, atol=0)


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
def test_elements_stay_on_the_gpu_of_their_chunk(library, formula):
    x, y, _ = problem()
    loss = fl.Loss(formula, "none")
    given = [
        da.from_array(a, (4, 9)).map_blocks(
            lambda chunk: library.array(chunk, 1), meta=library.array(a[:0, :0])
        )
        for a in (x, y)
    ]
    lazy = loss.value_and_grad(*given)
    for part, known in zip(lazy, loss.value_and_grad(x, y), strict=True):
        assert isinstance(part._meta, library.Array)
        found = part.compute()
        assert isinstance(found, library.Array)
        assert found.index == 1
        np.testing.assert_allclose(found.array, known, rtol=2e-7)


@pytest.mark.parametrize("shape", [(14,), (9, 1), (1, 1)], ids=str)
def test_the_gradient_of_what_is_broadcast_is_added_up_on_the_gpu(library, shape):
    x, (_, y, w) = problem(shape)[0], problem()
    loss = fl.HuberLoss("sum", delta=0.7)
    chunks = tuple(min(n, k) for n, k in zip(shape, (4, 9)[-len(shape) :], strict=True))
    lazy = loss.grad(on_gpu(library, x, chunks), *(on_gpu(library, a, (4, 9)) for a in (y, w)))
    found = lazy.compute()
    assert isinstance(found, library.Array)
    np.testing.assert_allclose(found.array, loss.grad(x, y, w), rtol=1e-6)


def test_chunks_of_the_host_beside_chunks_of_a_gpu_are_refused(library):
    x, y, _ = problem()
    lazy = fl.SmoothL1Loss()(on_gpu(library, x, (4, 9)), da.from_array(y, (4, 9)))
    with pytest.raises(TypeError, match="cuda:0.*copy one of them"):
        lazy.compute()

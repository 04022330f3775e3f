"""Rows of arrays that are read by slices."""

import gc
import pickle
from itertools import pairwise

import h5py
import numpy as np
import pytest
import zarr

from fastloss.stream import stored
from fastloss.stream.slices import Slices
from tests.stream.checks import check_block, check_blocks

N, P = 103, 3


def numbers(dtype=np.float32, shape=(N, P)):
    rng = np.random.default_rng(0)
    return rng.integers(0, 100, shape).astype(dtype)


X, Y, WEIGHT = numbers(), numbers(np.float64, N), numbers(np.float32, N)


def in_zarr(folder, array, chunk):
    path = folder / f"{len(list(folder.iterdir()))}.zarr"
    chunks = (chunk, *array.shape[1:])
    made = zarr.create_array(path, shape=array.shape, dtype=array.dtype, chunks=chunks)
    made[...] = array
    return made


def in_hdf5(folder, array, chunk):
    path = folder / f"{len(list(folder.iterdir()))}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=array, chunks=(chunk, *array.shape[1:]), compression=1)
    return h5py.File(path)["a"]


def in_file(folder, array, chunk):
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def in_memory(folder, array, chunk):
    return array


STORES = [in_zarr, in_hdf5, in_file, in_memory]


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    made = []

    def store(array, chunk=10):
        made.append(request.param(tmp_path, array, chunk))
        return made[-1]

    yield store
    for array in made:
        if isinstance(array, h5py.Dataset) and array:
            array.file.close()
    gc.collect()


class Recorder:
    """Rows in chunks that says which rows were asked for."""

    def __init__(self, array, chunk):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.chunks = (chunk, *array.shape[1:])
        self.read = []

    def __getitem__(self, rows):
        self.read.append((rows.start, rows.stop))
        return self.array[rows]


@pytest.mark.parametrize("chunk", [10, 64, 103])
@pytest.mark.parametrize("rows", [7, 10, 64, 1000])
def test_blocks_have_the_rows_asked_for(store, chunk, rows):
    source = Slices(store(X, chunk), store(Y, chunk), store(WEIGHT, max(1, chunk // 2)))
    assert source.shape == (N, P)
    for _ in range(2):
        check_blocks(source, X, Y, WEIGHT, rows)
    check_blocks(source, X, Y, WEIGHT, rows, low=33)


def test_a_block_anywhere(store):
    source = Slices(store(X), store(Y))
    for low, high in [(0, 1), (0, N), (15, 40), (23, 27), (N - 1, N)]:
        check_block(source.block(low, high), X[low:high], Y[low:high], None)


def test_blocks_read_one_by_one_stay(store):
    source = Slices(store(X), store(Y))
    first, second = source.block(0, 20), source.block(20, 40)
    check_block(first, X[:20], Y[:20], None)
    check_block(second, X[20:40], Y[20:40], None)


@pytest.mark.parametrize("slice_bytes", [1, 400, 1 << 24])
@pytest.mark.parametrize("rows", [1, 7, 10, 64, 1000])
def test_a_pass_reads_each_chunk_once(monkeypatch, rows, slice_bytes):
    monkeypatch.setattr(stored, "SLICE_BYTES", slice_bytes)
    recorders = [Recorder(X, 10), Recorder(Y, 25)]
    check_blocks(Slices(*recorders), X, Y, None, rows)
    for recorder in recorders:
        assert recorder.read[0][0] == 0
        assert recorder.read[-1][1] == N
        assert all(high == low for (_, high), (low, _) in pairwise(recorder.read))
        assert all(low % recorder.chunks[0] == 0 for low, _ in recorder.read)


def test_slices_are_no_larger_than_a_limit(monkeypatch):
    monkeypatch.setattr(stored, "SLICE_BYTES", 25 * P * 4)
    recorder = Recorder(X, 10)
    list(Slices(recorder, Y).blocks(N))
    assert max(high - low for low, high in recorder.read) == 20


def test_arrays_in_memory_are_not_copied():
    for block in Slices(X, Y, WEIGHT).blocks(10):
        assert np.shares_memory(block.X, X)
        assert np.shares_memory(block.y, Y)
        assert np.shares_memory(block.weight, WEIGHT)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", ">i8", "f2", ">f4", ">f8", "f8"])
def test_all_but_float32_becomes_float64(store, dtype):
    a, y = numbers(dtype), numbers(dtype, N)
    source = Slices(store(a), store(y), WEIGHT.tolist())
    assert source.dtype == np.float64
    check_blocks(source, a, y, WEIGHT, 20)


def test_float32_stays(store):
    assert Slices(store(X), store(Y)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["c8", "S3", "M8[s]"])
@pytest.mark.parametrize("name", ["X", "y", "weight"])
def test_what_is_not_real_numbers_is_refused(name, dtype):
    given = {"X": X, "y": Y, "weight": WEIGHT}
    given[name] = Recorder(np.zeros(given[name].shape, dtype), 10)
    with pytest.raises(
        TypeError, match=f"{name} must hold real numbers.*{np.dtype(dtype)}".replace("[", r"\[")
    ):
        Slices(**given)


def test_objects_and_masks_are_refused():
    with pytest.raises(TypeError, match="y must hold real numbers .* object"):
        Slices(X, Y.astype(object))
    with pytest.raises(TypeError, match="X .* masked"):
        Slices(np.ma.masked_array(X), Y)


def test_shapes_that_do_not_fit_are_refused(store):
    with pytest.raises(ValueError, match=r"X must have two dimensions, got the shape \(103,\)"):
        Slices(store(Y), Y)
    with pytest.raises(ValueError, match=r"X must have at least one row, got the shape \(0, 3\)"):
        Slices(X[:0], Y[:0])
    with pytest.raises(ValueError, match=r"y must have the shape \(103,\), .* got \(102,\)"):
        Slices(store(X), store(Y[1:]))
    with pytest.raises(ValueError, match=r"weight must have the shape \(103,\)"):
        Slices(store(X), Y, store(X))


def test_rows_that_are_not_there_are_refused():
    source = Slices(X, Y)
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        source.blocks(0)
    for low in (-1, N):
        with pytest.raises(ValueError, match=f"low must be one of the 103 rows, got {low}"):
            source.blocks(1, low)
    for low, high in [(-1, 2), (3, 3), (100, 104)]:
        with pytest.raises(ValueError, match=f"103 there are, got {low} to before {high}"):
            source.block(low, high)


def test_what_cannot_be_read_is_named_with_the_librarys_own_error(tmp_path):
    y = in_hdf5(tmp_path, Y, 10)
    blocks = Slices(X, y).blocks(20)
    next(blocks)
    y.file.close()
    with pytest.raises(OSError, match="cannot read rows .* of y: ") as caught:
        list(blocks)
    assert caught.value.__cause__ is not None


def test_an_array_that_shrinks_ends_in_an_error(tmp_path):
    a = in_zarr(tmp_path, X, 10)
    source = Slices(a, Y)
    a.resize((50, P))
    with pytest.raises(OSError, match=r"rows 40 to 59 of X: got the shape \(10, 3\)"):
        list(source.blocks(20))


def test_a_damaged_chunk_ends_in_an_error_with_its_rows(tmp_path):
    a = in_zarr(tmp_path, X, 10)
    chunk = next(path for path in tmp_path.rglob("c/3/0"))
    chunk.write_bytes(chunk.read_bytes()[:-5])
    source = Slices(a, Y)
    with pytest.raises(OSError, match="cannot read rows 20 to 39 of X"):
        list(source.blocks(20))


def test_a_want_of_memory_is_no_fault_of_what_is_read():
    class Full(Recorder):
        def __getitem__(self, rows):
            raise MemoryError

    with pytest.raises(MemoryError):
        list(Slices(Full(X, 10), Y).blocks(20))


def test_rows_within_a_budget_are_what_is_held_at_once(store):
    source = Slices(store(X), store(Y))
    few, many = source.rows_within(10**8), source.rows_within(2 * 10**8)
    blocks = 1 if isinstance(store(X), np.ndarray) else 2  # one is read ahead, from elsewhere
    row = blocks * (P * 4 + 8) + 32
    assert many - few == pytest.approx(10**8 / row, abs=1)
    assert few <= 10**8 // row


def test_a_small_budget_leaves_a_quarter_to_the_blocks():
    source = Slices(Recorder(X, N), Recorder(Y, N))
    assert source.rows_within(1) == 1
    assert source.rows_within(10_000) == 2500 // (2 * (P * 4 + 8) + 32)


def test_arrays_that_a_library_makes_of_slices_take_half_of_the_memory_at_most():
    memory = 12 * 5 * P * 4
    recorder = Recorder(X, 1)
    source = Slices(recorder, Y, memory=memory)
    check_blocks(source, X, Y, None, 20)
    assert max(high - low for low, high in recorder.read) == 5
    assert source.least_memory() == memory // 2
    assert Slices(Recorder(X, 10), Y, memory=memory).least_memory() == (6 * 10 + 10) * P * 4


def test_rows_of_zarr_can_be_pickled(tmp_path):
    source = Slices(in_zarr(tmp_path, X, 10), in_zarr(tmp_path, Y, 10))
    check_blocks(pickle.loads(pickle.dumps(source)), X, Y, None, 20)

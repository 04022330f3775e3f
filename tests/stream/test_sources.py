"""Which data are read block by block."""

import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from numpy.testing import assert_array_equal
from scipy import sparse

import fastloss as fl
from fastloss.cpu.design import Design
from fastloss.cpu.sparse_model import SparseModel
from fastloss.stream import sources
from fastloss.stream.model import StreamedModel
from fastloss.stream.parquet import Parquet

N = 50_000
X = np.random.default_rng(0).standard_normal((N, 3))
Y = X.sum(axis=1)


def is_streamed(X, y=Y, **options):
    return isinstance(fl.LinearObjective(X, y, **options).model, StreamedModel)


@pytest.fixture
def file(tmp_path):
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": Y, "text": ["x"] * N})
    pq.write_table(table, tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


def test_a_memory_map_beyond_the_limit(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert is_streamed(mapped, memory_limit=10**6)
    assert not is_streamed(mapped)


def test_arrays_that_are_sliced_beyond_a_quarter_of_the_limit():
    array = zarr.array(X)
    assert is_streamed(array, memory_limit=2 * X.nbytes)
    assert not is_streamed(array, memory_limit=5 * X.nbytes)


@pytest.mark.parametrize("given", [X, X[:, ::2], X.tolist()[:5], X.astype(np.int32)], ids=type)
def test_small_arrays_in_memory_are_not(given):
    assert not is_streamed(given, Y[: len(given)], memory_limit=10**6)


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "csr_matrix", "coo_array"])
def test_sparse_matrices_are_not(kind):
    made = getattr(sparse, kind)(np.where(X > 1, X, 0.0))
    assert isinstance(fl.LinearObjective(made, Y, memory_limit=10**6).model, SparseModel)


def test_what_is_not_in_the_file(file):
    with pytest.raises(ValueError, match="'z'"):
        fl.LinearObjective(Parquet(file, "y", ["a", "z"]), None)
    with pytest.raises(TypeError, match="'text' holds text"):
        fl.LinearObjective(file, "y")
    with pytest.raises(FileNotFoundError, match=r"No such file .*none\.parquet"):
        fl.LinearObjective(file.with_name("none.parquet"), "y")


@pytest.mark.parametrize(
    ("name", "way"),
    [("X.npy", r"numpy\.load\(path, mmap_mode='r'\)"), ("x.CSV", "read_csv"), ("x.h5", "h5py")],
)
@pytest.mark.parametrize("y", [Y, "y"], ids=["array", "name"])
def test_a_path_of_another_format_says_how_it_is_read(name, way, y):
    with pytest.raises(ValueError, match=f"X must be .* path of Parquet, got '{name}': .*{way}"):
        fl.fit(name, y)


@pytest.mark.parametrize("name", ["X", "y", "weight"])
@pytest.mark.parametrize("kind", ["h5py", "zarr", "npz"])
def test_what_has_several_arrays_is_not_one_of_them(tmp_path, kind, name):
    if kind == "h5py":
        group = h5py.File(tmp_path / "file.h5", "w")
    elif kind == "zarr":
        group = zarr.group()
    else:
        np.savez(tmp_path / "file.npz", a=X)
        group = np.load(tmp_path / "file.npz")
    given = {"X": X, "y": Y, "weight": None} | {name: group}
    with pytest.raises(TypeError, match=f"{name} must be an array, got .*names: pass one of them"):
        fl.LinearObjective(**given)


def test_a_file_without_pyarrow_says_what_to_install(file, monkeypatch):
    monkeypatch.delitem(sys.modules, "fastloss.stream.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'need pyarrow: pip install "fastloss\[stream\]"'):
        fl.LinearObjective(file, "y")


def test_targets_and_weights_of_a_file_are_its_columns(file):
    with pytest.raises(TypeError, match="y must be the name of a column.*numpy.ndarray"):
        fl.LinearObjective(file, Y)
    with pytest.raises(TypeError, match="weight must be the name of a column"):
        fl.LinearObjective(file, "y", weight=Y)
    rows = Parquet(file, "y", ["a", "b"])
    with pytest.raises(TypeError, match="y and weight must be None beside .*Parquet"):
        fl.LinearObjective(rows, Y)


@pytest.mark.parametrize("given", [zarr.array(X), "data.parquet"], ids=type)
def test_files_are_not_sent_to_a_device(given):
    with pytest.raises(ValueError, match="device must be None or 'cpu' for an X on disk"):
        fl.LinearObjective(given, Y, device="cuda")


def test_a_table_of_arrow_is_in_memory():
    table = pa.table({"a": X[:, 0], "b": X[:, 1]})
    assert fl.LinearObjective(table, Y).shape == (len(X), 2)


@pytest.mark.parametrize("order", "CF")
def test_a_misaligned_array_is_read_where_it_lies(order, monkeypatch):
    monkeypatch.setattr(sources, "COPY_BYTES", 1000)
    memory = np.zeros(X.nbytes + 1, np.uint8)[1:]
    moved = memory.view(X.dtype).reshape(X.shape, order=order)
    moved[...] = X
    assert not moved.flags.aligned
    assert not is_streamed(moved, Y)
    assert np.shares_memory(Design.of(moved).matrix, memory)
    w = np.ones(X.shape[1])
    value, grad = fl.LinearObjective(moved, Y)(w)
    expected = fl.LinearObjective(np.array(X, order=order), Y)(w)
    assert value == expected[0]
    assert_array_equal(grad, expected[1])


@pytest.mark.parametrize("which", ["X", "y", "weight"])
def test_single_numbers_are_refused_by_name(tmp_path, which):
    given = {"X": np.ones((9, 2)), "y": np.ones(9), "weight": np.ones(9)}
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["number"] = 3.0
        with pytest.raises(ValueError, match=rf"{which} .* got (the shape )?\(\)"):
            fl.LinearObjective(**{**given, which: file["number"]})


@pytest.mark.parametrize("shape", [(), (9,), (9, 2, 1)])
def test_maps_that_are_no_matrix_are_refused_by_name(tmp_path, shape):
    np.save(tmp_path / "X.npy", np.ones(shape))
    given = np.load(tmp_path / "X.npy", mmap_mode="r")
    with pytest.raises(ValueError, match="X must have two dimensions, got the shape"):
        fl.LinearObjective(given, np.ones(9))


def test_maps_of_targets_and_weights_and_what_is_made_of_rows_count_too(tmp_path):
    n = 100_000
    np.save(tmp_path / "a.npy", np.ones((n, 2)))
    wide = np.load(tmp_path / "a.npy", mmap_mode="r")
    column, held = wide[:, 0], np.ones(n)

    def streamed(y, weight, limit):
        return isinstance(
            fl.LinearObjective(wide, y, weight=weight, memory_limit=limit).model, StreamedModel
        )

    alone = wide.nbytes + 32 * n
    assert not streamed(held, held, alone)
    assert streamed(held, held, alone - 1)
    for y, weight in ((column, held), (held, column)):
        assert streamed(y, weight, alone)
        assert not streamed(y, weight, alone + wide.nbytes)
    assert streamed(column, column, alone + wide.nbytes)

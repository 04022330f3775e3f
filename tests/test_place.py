"""Arrays of other libraries on the host come back as what they are."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastloss as fl
from fastloss import dispatch

DEVICES = [None, pytest.param("cuda", marks=pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
))]  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"device": "cpu"}, {"device": "cuda"}], ids=str)
def test_a_device_array_without_numba_cuda_says_what_to_install(options, monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    interface = {"shape": (3,), "typestr": "<f8", "data": (1234560, False), "version": 3}
    array = SimpleNamespace(__cuda_array_interface__=interface)
    with pytest.raises(ImportError, match=r"input is on cuda:0: .* pip install .fastloss.cuda13"):
        fl.SmoothL1Loss()(array, array, **options)


class Other:
    """An array of a library that follows the array API standard."""

    def __init__(self, array):
        self.data = np.asarray(array)

    def __array_namespace__(self, api_version=None):
        return SimpleNamespace(asarray=Other)

    def __array__(self, dtype=None, copy=None):
        return self.data

    def __dlpack_device__(self):
        return 1, 0


class Convertible:
    """What NumPy can make an array of, and nothing more."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


X, Y = np.array([[3.0, 0.5], [1.0, -2.0]]), np.zeros((2, 2))


@pytest.mark.parametrize("device", DEVICES)
def test_an_array_of_the_array_api_comes_back_as_one(device):
    loss = fl.SmoothL1Loss()
    for arguments in ((Other(X), Other(Y)), (Other(X), Y), (X, Other(Y)), (X, Y, Other(Y + 1))):
        value, gradient = loss.value_and_grad(*arguments, device=device)
        assert type(gradient) is Other
        assert value == loss(X, Y)
        np.testing.assert_array_equal(gradient.data, loss.grad(X, Y))
    elements = fl.SmoothL1Loss(reduction="none")(Other(3.0), 1.0, device=device)
    assert type(elements) is Other
    assert elements.data.shape == ()


@pytest.mark.parametrize("device", DEVICES)
def test_what_only_converts_to_numpy_comes_back_as_numpy(device):
    gradient = fl.SmoothL1Loss().grad(Convertible(X), Convertible(Y), device=device)
    assert type(gradient) is np.ndarray
    np.testing.assert_array_equal(gradient, fl.SmoothL1Loss().grad(X, Y))


def test_an_output_of_another_library_is_written_in_place():
    out = Other(np.zeros((2, 2)))
    assert fl.SmoothL1Loss().grad(X, Y, out=out) is out
    np.testing.assert_array_equal(out.data, fl.SmoothL1Loss().grad(X, Y))


def test_an_output_that_gives_numpy_a_copy_is_refused():
    class Copies(Other):
        def __array__(self, dtype=None, copy=None):
            return self.data.copy()

    with pytest.raises(TypeError, match="out must be one block of memory.*Copies gives NumPy"):
        fl.SmoothL1Loss().grad(X, Y, out=Copies(X))


# --- pandas


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.mark.parametrize("device", DEVICES)
def test_columns_of_pandas_keep_their_labels(pandas, device):
    x = pandas.Series([3.0, 0.5], index=["a", "b"], name="residual")
    value, gradient = fl.SmoothL1Loss().value_and_grad(x, 0.0, device=device)
    assert value == 1.3125
    expected = pandas.Series([0.5, 0.25], index=["a", "b"], name="residual")
    pandas.testing.assert_series_equal(gradient, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_tables_of_pandas_keep_their_labels(pandas, device):
    x = pandas.DataFrame(X, index=["a", "b"], columns=["u", "v"])
    elements = fl.MSELoss(reduction="none")(x, Y, device=device)
    pandas.testing.assert_frame_equal(elements, x**2)
    # A result of another shape has no labels.
    assert type(fl.MSELoss().grad(np.ones(2), x)) is np.ndarray


# --- devices


@pytest.mark.parametrize("device", ["gpu0", "CUDA", "cuda:", "cuda:x", "cpu:0", "", 0, b"cpu"])
def test_a_device_has_a_name_as_in_torch(device):
    with pytest.raises(ValueError, match="device must be None, 'cpu', 'cuda' or 'cuda:N', got"):
        fl.SmoothL1Loss()(X, Y, device=device)
    with pytest.raises(ValueError, match="device must be"):
        fl.smooth_l1_loss(X, Y, device=device)


def test_the_cpu_is_a_device_too():
    assert fl.SmoothL1Loss()(X, Y, device="cpu") == fl.SmoothL1Loss()(X, Y)
    np.testing.assert_array_equal(
        fl.SmoothL1Loss().grad(X, Y, device="cpu"), fl.SmoothL1Loss().grad(X, Y)
    )


def test_without_numba_cuda_the_package_to_install_is_named(monkeypatch):
    class OnDevice:
        __cuda_array_interface__ = {"shape": (3,)}

    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    words = r'kernels for it need numba-cuda: pip install "fastloss\[cuda13\]".*fastloss\[cuda12\]'
    with pytest.raises(ImportError, match=f"input is on cuda:0: {words}"):
        fl.SmoothL1Loss()(OnDevice(), 0.0)
    with pytest.raises(ImportError, match=words):
        fl.SmoothL1Loss()(X, Y, device="cuda:1")
    assert fl.SmoothL1Loss()(X, Y, device="cpu") == fl.SmoothL1Loss()(X, Y)


def test_a_numba_cuda_that_cannot_be_imported_is_named_with_its_versions(monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: name)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2")
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    words = r"numba-cuda cannot be imported \(numba-cuda 1.2, numba 1.2, numpy 1.2\): .*numba\.cuda"
    with pytest.raises(ImportError, match=rf"device='cuda:0': {words}"):
        fl.SmoothL1Loss()(X, Y, device="cuda")


class Nullable:
    """A table as pandas has them, of dtypes that know of missing numbers."""

    def __init__(self, rows, kinds="fi"):
        self.rows = rows
        self.dtypes = [SimpleNamespace(kind=kind) for kind in kinds]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, object)

    def to_numpy(self, dtype, na_value):
        return np.array([[na_value if x is None else x for x in row] for row in self.rows], dtype)


def test_numbers_that_may_be_missing_are_taken_and_missing_ones_are_nan():
    loss = fl.MSELoss(reduction="none")
    found = loss(Nullable([[1.5, 2], [3.0, None]]), 1.0)
    np.testing.assert_array_equal(found, [[0.25, 1.0], [4.0, np.nan]])
    with pytest.raises(ValueError, match="X must be finite, but its row 1 is not"):
        fl.fit(Nullable([[1.5, 2], [3.0, None]]), [1.0, 2.0])


@pytest.mark.parametrize("kinds", ["fO", "fM", "fc"])
def test_what_is_no_number_among_them_is_refused(kinds):
    with pytest.raises(TypeError, match=r"input must hold real numbers .* \(tests.*Nullable\)"):
        fl.MSELoss()(Nullable([[1.5, "2"]], kinds), 0.0)


def test_tables_of_pandas_may_have_nullable_dtypes():
    pandas = pytest.importorskip("pandas")
    plain = pandas.DataFrame({"a": [1.5, 2.5, 7.0], "b": [3, 1, 2]})
    nullable = plain.astype({"a": "Float64", "b": "Int64"})
    expected = fl.MSELoss(reduction="sum")(plain, 1.0)
    assert fl.MSELoss(reduction="sum")(nullable, 1.0) == expected
    nullable.loc[1, "b"] = pandas.NA
    assert np.isnan(fl.MSELoss(reduction="sum")(nullable, 1.0))

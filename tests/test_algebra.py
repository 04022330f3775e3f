"""Which library multiplies matrices, told by libraries that take notes."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastloss import algebra
from fastloss.algebra import algebra_of


class Matrix:
    """An array on a GPU, of a library that has no products."""

    __module__ = "numba.cuda"


@pytest.fixture
def installed(monkeypatch):
    """Have these libraries installed, and no others; ``gpu`` says whether torch sees one."""

    def install(*names, gpu=True):
        known = {
            "cupy": SimpleNamespace(asarray=lambda value: ("cupy", value)),
            "torch": SimpleNamespace(
                cuda=SimpleNamespace(is_available=lambda: gpu),
                as_tensor=lambda value, device: ("torch", value, device),
            ),
        }
        found = {name: known[name] for name in names}
        monkeypatch.setattr(algebra, "find_spec", found.get)
        monkeypatch.setattr(algebra, "import_module", found.__getitem__)
        for name in known:
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name, module in found.items():
            monkeypatch.setitem(sys.modules, name, module)

    return install


def of(library):
    return type("Array", (), {"__module__": f"{library}.arrays"})()


@pytest.mark.parametrize("library", [Matrix(), np.ones(3)], ids=["of Numba", "of NumPy"])
def test_a_matrix_whose_library_has_no_products_is_cupys_first(library, installed):
    installed("cupy", "torch")
    assert algebra_of(library, "cuda:1").take(library) == ("cupy", library)


@pytest.mark.parametrize("place", ["cuda:0", "cuda:1"])
def test_without_cupy_it_is_torchs_on_its_device(place, installed):
    installed("torch")
    X = Matrix()
    assert algebra_of(X, place).take(X) == ("torch", X, place)


@pytest.mark.parametrize("names", [(), ("torch",)], ids=["none", "torch for the CPU"])
def test_without_a_library_that_sees_the_gpu_what_to_install_is_told(names, installed):
    installed(*names, gpu=False)
    with pytest.raises(ImportError, match=r"by CuPy or PyTorch: pip install cupy-cuda13x .*torch"):
        algebra_of(Matrix(), "cuda:0")


def test_a_matrix_of_a_library_with_products_stays_in_it(installed):
    installed("cupy", "torch")
    x, tensor = of("cupy"), of("torch")
    assert algebra_of(x, "cuda:0").take(x) == ("cupy", x)
    assert algebra_of(tensor, "cuda:1").take(tensor) == ("torch", tensor, "cuda:1")


def test_numpy_multiplies_its_own_on_the_host(installed):
    installed("cupy")
    X = np.ones(3)
    assert algebra_of(X, "cpu").take(X) is X

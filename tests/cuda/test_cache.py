"""Kernels for GPUs are kept on disk, each for what its machine code depends on."""

import warnings
from types import SimpleNamespace
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba import types

from fastloss import kept
from fastloss.cuda import cache
from fastloss.formulas import Huber, SmoothL1


class Own(NamedTuple):
    """A formula of a user's."""

    scale: float = 1.0


def kernel():
    """A function, by which files are named."""


def signature(formula=SmoothL1, dtype=types.float32):
    number = numba.typeof(np.float32(1))
    return types.NamedUniTuple(number, len(formula._fields), formula), dtype[::1], types.int64


@pytest.fixture
def capability(monkeypatch):
    """The compute capability of the current GPU, which a test may change."""
    device = SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(cache, "cuda", SimpleNamespace(get_current_device=lambda: device))
    return device


@pytest.fixture
def files(tmp_path, monkeypatch, capability):
    monkeypatch.setattr(kept, "folder", lambda function: tmp_path)
    monkeypatch.setattr(kept, "_has_warned", False)
    return cache.KernelCache(kernel)


def test_what_was_kept_is_found_again_by_others(files, tmp_path):
    assert files.load_overload(signature(), None) is None
    files.save_overload(signature(), {"machine code": 1})
    assert cache.KernelCache(kernel).load_overload(signature(), None) == {"machine code": 1}
    assert files.cache_path == str(tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("fastloss-test_cache-kernel-cuda-")


def test_another_formula_dtype_or_version_finds_nothing(files, monkeypatch):
    files.save_overload(signature(), 1)
    assert files.load_overload(signature(Huber), None) is None
    assert files.load_overload(signature(dtype=types.float64), None) is None
    monkeypatch.setattr(cache, "version", lambda name: "0.0")
    assert files.load_overload(signature(), None) is None


def test_another_gpu_finds_nothing(files, capability):
    files.save_overload(signature(), 1)
    capability.compute_capability = (8, 0)
    assert files.load_overload(signature(), None) is None
    capability.compute_capability = (9, 0)
    assert files.load_overload(signature(), None) == 1


def test_a_formula_of_ones_own_is_not_kept(files, tmp_path):
    files.save_overload(signature(Own), 1)
    assert files.load_overload(signature(Own), None) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" * 99]
)
def test_a_damaged_file_is_no_kernel(files, tmp_path, damage):
    files.save_overload(signature(), list(range(1000)))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert files.load_overload(signature(), None) is None


def test_without_a_folder_nothing_is_kept_and_one_warning_says_so(files, monkeypatch):
    monkeypatch.setattr(kept, "folder", lambda function: None)
    own = cache.KernelCache(kernel)
    assert own.cache_path is None
    with pytest.warns(RuntimeWarning, match="Set NUMBA_CACHE_DIR to a writable folder"):
        own.save_overload(signature(), 1)
    assert own.load_overload(signature(), None) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own.save_overload(signature(), 1)

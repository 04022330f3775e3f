"""What importing costs and what a call allocates."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastloss as fl


def test_import_loads_neither_compilers_nor_solvers():
    code = "import sys, fastloss; print(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert "numpy" in loaded
    heavy = {
        "numba",
        "llvmlite",
        "scipy",
        "rich",
        "pyarrow",
        "zarr",
        "h5py",
        "dask",
        "torch",
        "cuda",
    }
    assert not loaded & heavy
    assert "fastloss.regression" not in result.stdout.split()  # a quarter of the time


@pytest.mark.parametrize("name", ["fit", "ConvergenceWarning", "LinearObjective", "optimize"])
def test_what_is_imported_later_is_there_when_asked_for(name):
    code = f"import fastloss; assert {name!r} in dir(fastloss); print(fastloss.{name}.__name__)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip().rpartition(".")[2] == name


@pytest.mark.parametrize("name", ["fit", "LinearObjective", "optimize.rho"])
def test_many_threads_may_ask_first(name):
    code = f"""
import sys, threading, fastloss
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(8), []
def ask():
    start.wait()
    found.append(fastloss.{name})
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(map(id, found))))
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["8", "1"], result.stderr


def test_what_is_not_there_is_named():
    with pytest.raises(AttributeError, match="module 'fastloss' has no attribute 'nothing'"):
        fl.nothing  # noqa: B018


def test_a_loss_allocates_under_a_megabyte_beyond_its_output():
    x = np.ones(10_000_000, np.float32)
    y = np.zeros_like(x)
    loss, none = fl.SmoothL1Loss(), fl.SmoothL1Loss(reduction="none")
    calls = {
        "mean": (lambda: loss(x, y), 0),
        "none": (lambda: none(x, y), x.nbytes),
        "grad": (lambda: loss.grad(x, y), x.nbytes),
        "value_and_grad": (lambda: loss.value_and_grad(x, y), x.nbytes),
        "value_and_grad out": (lambda: loss.value_and_grad(x, y, out=x), 0),
        "grad_and_hess": (lambda: loss.grad_and_hess(x, y), 2 * x.nbytes),
        "strided": (lambda: loss(x[::2], y[::2]), 0),
        "float16": (lambda: loss(x[:4].astype(np.float16), y[0]), 0),
        "swapped": (lambda: loss(x.view(">f4"), y), 0),
    }
    for call, _ in calls.values():
        call()
    for name, (call, output) in calls.items():
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - output < 1_000_000, name


def test_public_names_are_complete():
    assert set(fl.__all__) <= set(dir(fl))
    assert all(hasattr(fl, name) for name in fl.__all__)


def test_everything_runs_uncompiled_too():
    """For debuggers and coverage."""
    code = """
import numpy as np, fastloss as fl
X = np.arange(40.0).reshape(4, 10).T.copy()
y = X @ [1.0, 2.0, 0.0, 1.0] + 1
print(fl.fit(X, y).success, fl.fit(np.asfortranarray(X), y).success)
value, gradient = fl.SmoothL1Loss().value_and_grad([3.0, 0.5], [0.0, 0.0])
print(value == 1.3125, *gradient)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "True", "True", "0.5", "0.25"]

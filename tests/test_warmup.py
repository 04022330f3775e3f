"""After a warm-up nothing is left to compile."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl

ROOT = Path(__file__).parents[1]
CALLS = """
import numpy as np, fastloss as fl
from fastloss.cpu import elementwise, memory, sums
loss = fl.SmoothL1Loss(beta=0.3)
for size in (10, 100_000, 100_000):
    x, y, w = np.ones((3, size), np.float32)
    g = np.empty_like(x)
    loss(x, y, *[w][:WEIGHTS]), loss.value_and_grad(x, y, *[w][:WEIGHTS], out=g)
    memory.last_level_cache = lambda: 0  # for the third round
kernels = elementwise.single_summed, elementwise.serial, elementwise.parallel, sums.total
print(sum(sum(k._cache_misses.values()) for k in kernels if hasattr(k, "_cache_misses")))
"""


def run(folder, *arguments):
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)},
        cwd=tempfile.gettempdir(),
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("weights", [0, 1], ids=["", "weights"])
def test_calls_of_the_kinds_that_were_compiled_compile_nothing(weights, tmp_path):
    options = ["--loss", "smooth_l1", "--dtype", "float32", "--method", "value", "value_and_grad"]
    options += ["--weights"] * weights
    out = run(tmp_path, "-m", "fastloss", "warmup", *options)
    assert "kernels ready" in out
    files = set(tmp_path.rglob("*.bin"))
    assert files
    assert run(tmp_path, "-c", f"WEIGHTS = {weights}\n{CALLS}").split() == ["0"]
    assert set(tmp_path.rglob("*.bin")) == files


def test_progress_is_told_from_first_to_last():
    told = []
    count = fl.warmup(
        [fl.MSELoss()],
        dtypes=["float64"],
        methods=["value"],
        large=False,
        progress=lambda *step: told.append(step),
    )
    assert [done for done, _, _ in told] == list(range(count + 1))
    assert {total for _, total, _ in told} == {count}
    assert told[0][2] == "SquaredError float64 total"


def test_one_loss_stands_for_its_class():
    losses = [fl.MSELoss(), fl.MSELoss(reduction="sum")]
    assert fl.warmup(losses, dtypes=["float64"], methods=["grad"], large=False) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtypes": ["float16"]}, ValueError, "dtypes must be among float32, float64"),
        ({"methods": ["hessp"]}, ValueError, "methods must be among value, grad"),
        ({"weights": "no"}, TypeError, "weights must be True or False, got 'no'"),
        ({"large": 3}, TypeError, "large must be True or False, got 3"),
        ({"losses": [3]}, TypeError, "losses must be losses, got 3"),
        ({"losses": [fl.SmoothL1Loss(beta="auto")]}, ValueError, "must have their thresholds"),
    ],
)
def test_what_cannot_be_compiled_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fl.warmup(**arguments)


def test_a_warm_loss_computes():
    fl.warmup([fl.L1Loss()], dtypes="float64", methods="value", large=False)
    assert fl.L1Loss()(np.array([3.0]), np.array([1.0])) == 2.0


def test_one_thread_has_kernels_for_large_arrays_too():
    given = {"dtypes": "float64", "methods": "grad"}
    with fl.threads(1):
        alone = fl.warmup([fl.L1Loss()], **given)
    assert alone == fl.warmup([fl.L1Loss()], **given) > 1


@pytest.mark.parametrize("name", ["losses", "dtypes", "methods"])
def test_what_is_no_iterable_is_named(name):
    with pytest.raises(TypeError, match=f"{name} must be an iterable, got 1"):
        fl.warmup(**{name: 1})


@pytest.mark.parametrize("weights", [False, True])
def test_sums_of_large_arrays_are_compiled_with_and_without_weights(weights):
    seen = []
    fl.warmup(
        [fl.MSELoss()],
        dtypes=["float64"],
        methods=["value"],
        weights=weights,
        progress=lambda done, count, name: seen.append(name),
    )
    assert ("SquaredError float64 mean, weights, large" in seen) is weights

"""What `fastloss bench` prints, on sizes that take no time."""

import json
import math

import numpy as np
import pytest

import fastloss as fl
from fastloss.cli import bench, expressions, report, timing

LOSSES = ["SmoothL1Loss", "HuberLoss", "L1Loss", "MSELoss"]


def test_the_object(run):
    code, out, err = run("bench", "--sizes", "10,1000", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["dtype"] == "float32"
    assert [(row["loss"], row["n"]) for row in found["rows"]] == [
        (loss, n) for loss in LOSSES for n in (10, 1000)
    ]
    for row in found["rows"]:
        assert row["seconds"] > 0
        # Input, target and gradient, four bytes each.
        assert math.isclose(row["gb_per_second"] * row["seconds"] * 1e9, 12 * row["n"])
        assert row["share"] > 0
        assert row["times_numpy"] > 0


@pytest.mark.slow
def test_the_table(run):
    code, out, err = run("bench", "--sizes", "1000", "--dtype", "float64")
    assert (code, err) == (0, "")
    assert "float64" in out.splitlines()[0]
    assert [line.split()[0] for line in out.splitlines() if " 1,000 " in line] == LOSSES


@pytest.mark.parametrize("sizes", ["0", "-1", "ten", "", "10,"])
def test_sizes_are_whole_numbers(run, sizes):
    code, out, err = run("bench", f"--sizes={sizes}")
    assert (code, out) == (2, "")
    assert "must be whole numbers above 0" in err


@pytest.mark.parametrize("loss", LOSSES)
def test_numpy_computes_the_same(loss):
    x, y = np.random.default_rng(0).standard_normal((2, 1000))
    value, grad = expressions.value_and_grad(loss, x, y)
    ours, our_grad = getattr(fl, loss)().value_and_grad(x, y)
    np.testing.assert_allclose(ours, value, rtol=1e-13)
    np.testing.assert_allclose(our_grad, grad, rtol=1e-13)


def test_the_table_needs_rich(run, monkeypatch):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    code, out, err = run("bench", "--sizes", "10")
    assert (code, out) == (2, "")
    assert "pip install 'fastloss[cli]'" in err


def test_rounds_end_by_their_number_or_by_the_time():
    calls = {"nothing": lambda: None}
    assert len(timing.interleave(calls, 2)["nothing"]) == 2
    assert len(timing.interleave(calls, 9, seconds=0.0)["nothing"]) == timing.LEAST_ROUNDS


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.234e-6, "1.23 µs"), (0.01, "10.0 ms"), (12.3, "12.3 s")]
)
def test_durations_have_three_digits(seconds, text):
    assert report.duration(seconds) == text

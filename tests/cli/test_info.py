"""What `fastloss info` finds."""

import json
from pathlib import Path

import numba
import numpy as np
import pytest

import fastloss
from fastloss import dispatch, kept
from fastloss.cli import info
from fastloss.cpu import threads


def test_the_text(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    lines = dict(line.split(None, 1) for line in out.splitlines())
    assert lines["fastloss"] == fastloss.__version__
    assert lines["numba"] == numba.__version__
    assert lines["cuda"]


def test_the_object(run):
    code, out, err = run("info", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert set(found) == {
        *("fastloss", "python", "numba", "llvmlite", "numpy", "scipy", "platform"),
        *("cpu", "cpus", "threads", "threading_layer", "cache_folder", "cuda"),
    }
    assert found["numpy"] == np.__version__
    assert found["threads"] == numba.get_num_threads()
    assert found["cpus"] >= 1
    assert found["threading_layer"] == threads.layer()
    assert set(found["cuda"]) == (
        {"available", "devices"} if found["cuda"]["available"] else {"available", "reason"}
    )


def test_why_there_is_no_cuda(run, monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    assert "cuda13" in json.loads(run("info", "--json").out)["cuda"]["reason"]
    assert "cuda13" in run("info").out


def test_the_driver_that_is_missing(run, monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from fastloss.cuda import driver

    monkeypatch.setattr(driver, "why_not", lambda: "no driver")
    assert json.loads(run("info", "--json").out)["cuda"] == {
        "available": False,
        "reason": "no driver",
    }


def test_what_is_not_there(run, monkeypatch):
    monkeypatch.setattr(kept, "folder", lambda function: None)
    monkeypatch.setattr(threads, "layer", lambda: None)
    code, out, _ = run("info")
    assert code == 0
    assert "none writable" in out
    assert "decided at first use" in out
    found = json.loads(run("info", "--json").out)
    assert found["cache_folder"] is None
    assert found["threading_layer"] is None


def test_the_folder_of_kernels_is_the_one_in_use(run):
    found = json.loads(run("info", "--json").out)
    from fastloss.cpu import elementwise

    assert found["cache_folder"] == elementwise.serial._cache.cache_path


def test_a_processor_that_the_system_does_not_name(run, monkeypatch):
    def read_text(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert info.cpu()

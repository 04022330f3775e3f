"""What `fastloss warmup` says."""

import sys

from fastloss import kept


def test_how_many_kernels_are_ready(run):
    code, out, err = run(
        *("warmup", "--loss", "mse", "--dtype", "float64", "--method", "grad", "--small")
    )
    assert (code, err) == (0, "")
    assert out.startswith("1 kernels ready in ")


def test_without_a_folder_that_can_be_written(run, monkeypatch):
    monkeypatch.setattr(kept, "folder", lambda function: None)
    code, out, err = run("warmup")
    assert (code, out) == (2, "")
    assert "NUMBA_CACHE_DIR" in err


def test_a_loss_of_another_name(run):
    code, _, err = run("warmup", "--loss", "tukey")
    assert code == 2
    assert "smooth_l1" in err


def test_the_bar_is_for_terminals_with_rich(run, monkeypatch):
    arguments = "warmup", "--loss", "mse", "--dtype", "float64", "--method", "grad", "--small"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "100%" in run(*arguments).err
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith("1 kernels ready in ")

"""Compiled kernels on disk, each case in real processes."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALL = """
import numpy as np, fastloss as fl
from fastloss.cpu import elementwise, sums
print(fl.SmoothL1Loss(beta=0.5)([1.0], [0.0]))
print(len(elementwise.single_summed._cache_hits or {}), len(elementwise.single_summed.signatures))
"""


def run(code, folder, **variables):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)} | variables
    result = subprocess.run(
        [sys.executable, "-W", "always::RuntimeWarning", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),  # not the checkout, which would come first on the path
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split(), result.stderr


def kernels(folder):
    return sorted(Path(folder).rglob("fastloss-elementwise-*.bin"))


def test_second_process_loads_what_the_first_compiled(tmp_path):
    assert run(CALL, tmp_path)[0] == ["0.75", "0", "1"]
    files = kernels(tmp_path)
    assert len(files) == 1
    assert run(CALL, tmp_path)[0] == ["0.75", "1", "1"]
    assert kernels(tmp_path) == files


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "one bit"])
def test_damaged_files_are_compiled_again(tmp_path, damage):
    run(CALL, tmp_path)
    for path in Path(tmp_path).rglob("*.bin"):
        content = bytearray(path.read_bytes())
        if damage == "one bit":
            content[len(content) // 2] ^= 1
        path.write_bytes(
            {
                "truncated": bytes(content[: len(content) // 2]),
                "garbage": b"garbage",
                "empty": b"",
                "one bit": bytes(content),
            }[damage]
        )
    assert run(CALL, tmp_path)[0] == ["0.75", "0", "1"]
    assert run(CALL, tmp_path)[0] == ["0.75", "1", "1"]


def test_a_changed_formula_of_fastloss_is_not_loaded_stale(tmp_path):
    """An edited checkout: the kernels' own code is the same, the formula they call is not."""
    package = tmp_path / "checkout" / "fastloss"
    shutil.copytree(ROOT / "fastloss", package)
    checkout, folder = str(tmp_path / "checkout"), tmp_path / "cache"
    assert run(CALL, folder, PYTHONPATH=checkout)[0][0] == "0.75"
    formulas = package / "formulas.py"
    times = os.stat(formulas).st_mtime
    old, new = "outside = a - T(0.5) * self.beta", "outside = a + T(0.5) * a"
    assert old in formulas.read_text()
    formulas.write_text(formulas.read_text().replace(old, new))
    os.utime(formulas, (times, times))
    assert run(CALL, folder, PYTHONPATH=checkout)[0][0] == "1.5"


def test_a_formula_of_the_users_module_is_not_loaded_stale(tmp_path):
    source = """
from typing import NamedTuple
class Mine(NamedTuple):
    def value(self, r): return {} * abs(r)
    grad = hess = value
"""
    code = "import own, fastloss as fl; print(fl.Loss(own.Mine())([1.0], [0.0]))"
    for factor in ("2.0", "3.0"):
        (tmp_path / "own.py").write_text(source.format(factor))
        path = f"{ROOT}{os.pathsep}{tmp_path}"
        assert run(code, tmp_path / "cache", PYTHONPATH=path)[0] == [factor]
    assert kernels(tmp_path / "cache") == []


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_without_a_writable_folder_everything_works(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    only = "UserProvidedCacheLocator"  # without it Numba would go on to the package's own folder
    out, errors = run(CALL, blocked / "cache", NUMBA_CACHE_LOCATOR_CLASSES=only)
    assert out == ["0.75", "0", "1"]
    assert "Traceback" not in errors


def test_a_disk_that_refuses_costs_a_warning_only(tmp_path):
    code = (
        """
import tempfile
def full(*arguments, **options):
    raise OSError(28, "No space left on device")
tempfile.NamedTemporaryFile = full
"""
        + CALL
    )
    out, errors = run(code, tmp_path)
    assert out == ["0.75", "0", "1"]
    assert "Set NUMBA_CACHE_DIR to a writable folder" in errors
    assert kernels(tmp_path) == []

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


WHAT_TO_DO = "Set NUMBA_CACHE_DIR to a writable folder"


def kernels(folder):
    return sorted(Path(folder).rglob("fastloss-elementwise-*.bin"))


def test_second_process_loads_what_the_first_compiled(tmp_path):
    assert run(CALL, tmp_path)[0] == ["0.75", "0", "1"]
    files = kernels(tmp_path)
    assert len(files) == 1
    assert run(CALL, tmp_path)[0] == ["0.75", "1", "1"]
    assert kernels(tmp_path) == files


@pytest.mark.slow
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


HUBER = CALL.replace("SmoothL1Loss(beta=0.5)", "HuberLoss(delta=0.5)")


@pytest.mark.parametrize(
    ("code", "before", "file", "old", "new"),
    [
        (CALL, "0.75", "cpu/quick.py", "return ratio(within, self.beta) * (", "return a + ("),
        (HUBER, "0.375", "formulas.py", "outside = self.delta * (", "outside = a + ("),
    ],
    ids=["quick.py", "formulas.py"],
)
def test_a_changed_formula_of_fastloss_is_not_loaded_stale(tmp_path, code, before, file, old, new):
    """An edited checkout: the kernels' own code is the same, the formula they call is not."""
    package = tmp_path / "checkout" / "fastloss"
    shutil.copytree(ROOT / "fastloss", package)
    checkout, folder = str(tmp_path / "checkout"), tmp_path / "cache"
    assert run(code, folder, PYTHONPATH=checkout)[0][0] == before
    formulas = package / file
    times = os.stat(formulas).st_mtime
    assert old in formulas.read_text()
    formulas.write_text(formulas.read_text().replace(old, new))
    os.utime(formulas, (times, times))
    assert run(code, folder, PYTHONPATH=checkout)[0][0] == "1.75"


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
    assert errors.count(WHAT_TO_DO) == 1


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_cache_folder_that_is_not_there_is_made(tmp_path):
    folder = tmp_path / "some" / "where"
    out, errors = run(CALL, folder)
    assert out == ["0.75", "0", "1"]
    assert WHAT_TO_DO not in errors
    assert len(kernels(folder)) == 1


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
    assert errors.count(WHAT_TO_DO) == 1
    assert kernels(tmp_path) == []


def test_what_is_half_written_does_not_stay(tmp_path):
    """Two kernels fail to be kept, one warning says so."""
    code = (
        """
import os
def refuse(*arguments):
    raise OSError(13, "Permission denied")
os.replace = refuse
"""
        + CALL
        + "fl.SmoothL1Loss(beta=0.5).grad([1.0], [0.0])"
    )
    out, errors = run(code, tmp_path)
    assert out == ["0.75", "0", "1"]
    assert errors.count(WHAT_TO_DO) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


EVERY_KIND = """
import sys, numpy as np, fastloss as fl
x, y = np.linspace(-3, 3, 1000), np.zeros(1000)
for dtype in sys.argv[1:]:
    a, b = x.astype(dtype), y.astype(dtype)
    loss = fl.SmoothL1Loss()
    print(float(loss(a, b)), loss.grad(a, b).sum(), loss.value_and_grad(a, b)[0])
"""


@pytest.mark.slow
def test_eight_processes_that_compile_at_once_agree(tmp_path):
    orders = [["float32", "float64"], ["float64", "float32"]] * 4
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", EVERY_KIND, *order],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for order in orders
    ]
    found = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0] * 8, found
    lines = [out.splitlines() for out, _ in found]
    for order, own in zip(orders, lines, strict=True):
        assert sorted(own) == sorted(lines[0]), order
    assert not any(".tmp" in path.name for path in tmp_path.rglob("*"))
    after = subprocess.run(
        [sys.executable, "-c", EVERY_KIND, "float32", "float64"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert after.stdout.splitlines() == lines[0]


@pytest.mark.slow
def test_two_versions_that_share_a_folder_do_not_mix(tmp_path):
    """In one place by turns, as Numba keeps what lies elsewhere in folders of its own."""
    site, folder = tmp_path / "site", tmp_path / "cache"
    versions = {"0.75": tmp_path / "one", "1.75": tmp_path / "other"}
    for package in versions.values():
        shutil.copytree(ROOT / "fastloss", package / "fastloss")
    formulas = versions["1.75"] / "fastloss" / "cpu" / "quick.py"
    old, new = "return ratio(within, self.beta) * (", "return a + ("
    assert old in formulas.read_text()
    formulas.write_text(formulas.read_text().replace(old, new))
    for _ in range(2):
        for answer, package in versions.items():
            package.rename(site)
            assert run(CALL, folder, PYTHONPATH=str(site))[0][0] == answer
            site.rename(package)
    assert len(kernels(folder)) == 2

"""What the system is told of a memory map's pages."""

import mmap
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss.stream.pages import give_back, in_large_pages, shared_map_of

X = np.arange(3e6, dtype=np.float32).reshape(-1, 4)

pytestmark = pytest.mark.skipif(
    not hasattr(mmap, "MADV_HUGEPAGE"), reason="the system has no large pages"
)


def told(array):
    """Whether the system has been told to read an array's map in large pages."""
    address, flags = array.ctypes.data, None
    with open("/proc/self/smaps") as lines:
        for line in lines:
            first, *rest = line.split()
            if not first.endswith(":"):
                low, high = (int(text, 16) for text in first.split("-"))
            elif first == "VmFlags:" and low <= address < high:
                flags = rest
    assert flags is not None
    return "hg" in flags


@pytest.fixture
def mapped(tmp_path):
    """The map of a file, in an order and with a mode."""

    def mapped(order="C", mode="r"):
        np.save(tmp_path / "X.npy", np.asarray(X, order=order))
        return np.load(tmp_path / "X.npy", mmap_mode=mode)

    return mapped


def supported(array):
    in_large_pages(array)
    return told(array)


@pytest.mark.parametrize("limit", [10**9, X.nbytes // 2], ids=["in memory", "block by block"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_maps_in_c_order_are_read_in_large_pages(mapped, mode, limit):
    if not supported(mapped()):
        pytest.skip("this system has no large pages")
    given, y = mapped(mode=mode), mapped()[:, 0].copy()
    assert not told(given)
    fl.LinearObjective(given, y, memory_limit=limit)
    assert told(given)


@pytest.mark.parametrize(("limit", "large"), [(10**9, False), (X.nbytes // 2, True)])
def test_fortran_order_is_only_where_it_is_read_block_by_block(mapped, limit, large):
    if not supported(mapped()):
        pytest.skip("this system has no large pages")
    given = mapped("F")
    fl.LinearObjective(given, np.ones(len(X)), memory_limit=limit)
    assert told(given) is large


def test_changes_of_ones_own_are_left_alone(mapped):
    given = mapped("C", "c")
    fl.LinearObjective(given, np.ones(len(X)), memory_limit=X.nbytes // 2)
    assert not told(given)


def test_a_system_that_refuses_is_no_error(mapped):
    class Map(np.memmap):
        pass

    class Refusing(mmap.mmap):
        asked = 0

        def madvise(self, advice):
            self.asked += 1
            raise OSError(22, "Invalid argument")

    given = mapped().view(Map)
    given._mmap = Refusing(-1, mmap.PAGESIZE)
    in_large_pages(given)
    assert given._mmap.asked == 1
    np.testing.assert_array_equal(given, X)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_pages_that_are_given_back_keep_their_numbers(mapped, mode):
    given = mapped(mode=mode)
    if mode == "r+":
        given[5] = -1.0
    before = given.copy()
    give_back(shared_map_of(given))
    np.testing.assert_array_equal(given, before)


WITHOUT = """
import sys
sys.modules["resource"] = None
import numpy as np, fastloss as fl
X = np.load(sys.argv[1], mmap_mode="r")
print(fl.LinearObjective(X, np.zeros(len(X)), memory_limit=10**7)(np.ones(4))[0])
"""


def test_a_system_that_does_not_count_waits_reads_all_the_same(mapped):
    """Windows has no such module: nothing is read ahead there."""
    path = mapped().filename
    done = subprocess.run([sys.executable, "-c", WITHOUT, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = fl.LinearObjective(X, np.zeros(len(X)))(np.ones(4))[0]
    assert float(done.stdout) == pytest.approx(expected, rel=1e-14)


def test_what_is_no_map_of_a_file_is_left_alone(mapped):
    for array in (X, mapped(mode="c"), None, [1.0]):
        assert shared_map_of(array) is None
        in_large_pages(array)

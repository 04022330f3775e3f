"""How many threads a call may use."""

import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss import container, parallelism
from fastloss.cpu.threads import several

EVERY = 10**9  # elements enough for all threads
needs_two = pytest.mark.skipif(numba.get_num_threads() < 2, reason="one thread is all there is")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(parallelism, "_everywhere", None)
    monkeypatch.setattr(parallelism, "OPENMP", parallelism.NO_LIMIT)


def used():
    """Give how many threads a parallel kernel would have, started here."""
    with several(EVERY) as threads:
        return numba.get_num_threads() if threads else 1


def printed(code, **variables):
    result = subprocess.run(
        [sys.executable, "-c", f"import fastloss as fl, os\n{code}"],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@needs_two
def test_all_threads_unless_something_is_said():
    assert used() == fl.get_num_threads() == numba.get_num_threads() > 1


@needs_two
def test_a_number_for_the_process_counts_in_each_of_its_threads():
    fl.set_num_threads(1)
    found = []
    thread = threading.Thread(target=lambda: found.append(fl.get_num_threads()))
    thread.start()
    thread.join()
    assert [used(), *found] == [1, 1]


@needs_two
def test_a_number_for_some_calls_counts_there_alone():
    found = []
    with fl.threads(1):
        thread = threading.Thread(target=lambda: found.append(fl.get_num_threads()))
        thread.start()
        thread.join()
        within = used()
    assert (within, *found, used()) == (1, numba.get_num_threads(), numba.get_num_threads())


@needs_two
def test_the_inner_of_two_blocks_counts_and_the_process_behind_both():
    fl.set_num_threads(1)
    with fl.threads(1):
        with fl.threads(2):
            assert used() == 2
        assert used() == 1


@needs_two
def test_one_object_serves_many_blocks_and_a_function():
    one = fl.threads(1)
    for _ in range(2):
        with one:
            with fl.threads(2), one:
                assert used() == 1
            assert used() == 1
        assert used() == 2
    assert fl.threads(1)(used)() == 1


@needs_two
@pytest.mark.parametrize(
    "variables", [{"OMP_PROC_BIND": "close"}, {"OMP_PROC_BIND": "spread"}, {"OMP_PLACES": "cores"}]
)
def test_threads_that_openmp_binds_to_cores_are_as_many(variables):
    code = "for _ in range(2): print(fl.get_num_threads())"
    assert set(printed(code, **variables)) == {str(fl.get_num_threads())}


def test_it_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), fl.threads(1):
        raise ZeroDivisionError
    assert parallelism._here.get() == ()


def test_more_than_there_are_is_as_many_as_there_are():
    fl.set_num_threads(10**6)
    assert used() == fl.get_num_threads() == numba.get_num_threads()


@needs_two
def test_numbas_own_number_is_left_as_it_was():
    before = numba.get_num_threads()
    with fl.threads(1):
        used()
    assert numba.get_num_threads() == before
    fl.set_num_threads(1)
    used()
    assert numba.get_num_threads() == before


@needs_two
@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", 1), ("1,4", 1), (" 2 ", 2), ("many", 2), ("0", 2), ("-3", 2), ("", 2), ("100", 2)],
)
def test_openmps_number_is_a_ceiling(value, expected):
    code = "fl.set_num_threads(2); print(fl.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS=value) == [str(expected)]


@needs_two
def test_openmps_number_is_read_once_as_dask_changes_it_for_its_workers(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert used() > 1


def test_numbas_variable_is_a_ceiling():
    assert printed("print(fl.get_num_threads())", NUMBA_NUM_THREADS="1") == ["1"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_cores_that_a_process_may_run_on_are_a_ceiling_whenever_they_change():
    code = """
from fastloss.cpu.threads import several
import numba
numba.get_num_threads()
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with several(10**9) as threads:
    print(fl.get_num_threads(), threads)
"""
    assert printed(code) == ["1", "False"]


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/a/b", {"a/b/cpu.max": "150000 100000"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, 1),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "1000 100000"}, 1),
        ("0::/a", {"a/cpu.max": "max 100000"}, parallelism.NO_LIMIT),
        ("0::/a", {"a/cpu.max": "nonsense"}, parallelism.NO_LIMIT),
        ("0::/a", {}, parallelism.NO_LIMIT),
        (
            "4:cpu,cpuacct:/x\n0::/",
            {"cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "4:cpu,cpuacct:/x",
            {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"},
            parallelism.NO_LIMIT,
        ),
        (None, {}, parallelism.NO_LIMIT),
    ],
)
def test_the_share_of_a_container_is_a_ceiling(membership, files, cores, tmp_path, monkeypatch):
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(container, "HIERARCHY", tmp_path)
    assert parallelism._quota.__wrapped__() == cores


@pytest.mark.parametrize("set_to", [fl.set_num_threads, fl.threads])
@pytest.mark.parametrize(
    ("count", "error", "words"),
    [
        (0, ValueError, "count must be at least 1, got 0"),
        (-2, ValueError, "count must be at least 1, got -2"),
        (1.0, TypeError, "count must be an integer, got float"),
        (True, TypeError, "count must be an integer, got bool"),
        (None, TypeError, "count must be an integer, got NoneType"),
    ],
)
def test_a_number_that_is_none_is_refused(set_to, count, error, words):
    with pytest.raises(error, match=words):
        set_to(count)


def test_the_first_import_stays_without_numba():
    code = "import sys; fl.set_num_threads(1); print('numba' in sys.modules)"
    assert printed(code) == ["False"]


def test_an_array_is_no_count():
    with pytest.raises(TypeError, match="count must be an integer, got ndarray"):
        fl.set_num_threads(np.ones(2))


def test_a_system_without_affinity_has_all_its_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert parallelism.cores() == os.cpu_count()

import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss import forked, parallelism
from fastloss.cpu import elementwise, sizes, sums, threads
from tests.registry import pair

LAYERS = ["omp", "workqueue"]


def run(code, layer):
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_THREADING_LAYER": layer},
        check=False,
        timeout=120,
    )
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"no {layer} here")
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


PREPARE = """
import numpy as np, threading, os, sys
import fastloss as fl
rng = np.random.default_rng(0)
x, y = rng.standard_normal((2, 300_000))
loss = fl.SmoothL1Loss()
expected = loss(x, y)
"""


@pytest.mark.parametrize("layer", LAYERS)
def test_many_python_threads_at_once(layer):
    code = (
        PREPARE
        + """
found = []
def work():
    for _ in range(20):
        found.append(loss(x, y))
workers = [threading.Thread(target=work) for _ in range(6)]
[w.start() for w in workers]; work(); [w.join() for w in workers]
print(len(found), found.count(expected))
"""
    )
    assert run(code, layer) == ["140", "140"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_child_computes_the_same(layer):
    code = (
        PREPARE
        + """
child = os.fork()
if child == 0:
    os._exit(0 if loss(x, y) == expected else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert run(code, layer) == ["0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("starter", ["torch", "another"])
def test_a_child_of_a_process_with_threads_of_openmp_runs_on_one(starter):
    """Even where fastloss has started none: the child would wait for the other library's."""
    code = f"""
import os, sys, types
import fastloss as fl
sys.modules.setdefault("{starter}", types.ModuleType("{starter}"))
child = os.fork()
if child == 0:
    from fastloss.cpu import threads
    with threads.several(10**9) as several:
        os._exit(several)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    threads = numba.get_num_threads() > 1
    assert run(code, "omp") == ["0" if starter == "torch" or not threads else "1"]


@pytest.mark.parametrize("asked", ["get_num_threads()", "set_num_threads(1)"])
def test_numba_that_was_asked_for_its_threads_before_the_import_has_lost_none(asked):
    code = f"""
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads would pass for Numba's
import numba
numba.{asked}
import fastloss
print(fastloss.forked.lost())
"""
    assert run(code, "omp") == ["False"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_while_a_thread_compiles_does_not_wait_for_it():
    code = """
import os, threading, time
import numpy as np, fastloss as fl
x, y = np.ones(10), np.zeros(10)
fl.mse_loss(x, y)
from typing import NamedTuple
class Mine(NamedTuple):
    def value(self, r): return 3.0 * abs(r)
    grad = hess = value
loss = fl.Loss(Mine(), "sum")
thread = threading.Thread(target=lambda: loss(x, y))
thread.start()
time.sleep(0.1)
child = os.fork()
if child == 0:
    os._exit(0 if loss(x, y) == 30.0 else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""
    assert run(code, "omp") == ["0"]


def elsewhere(call):
    """Give what a call gives in another thread, which has ended then."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def given(work=10**9):
    with threads.several(work) as several:
        return several


def test_while_one_thread_is_inside_others_run_alone(monkeypatch):
    monkeypatch.setattr(threads, "layer", lambda: "omp")
    x, y = pair(threads.ALWAYS_PARALLEL_FROM, np.float64)
    with threads.several(10**9) as first:
        assert first is (numba.get_num_threads() > 1)
        assert elsewhere(given) is False
        fl.SmoothL1Loss()(x, y)
    assert elsewhere(given) is given() is first


def test_the_threads_are_given_back_after_an_error():
    with pytest.raises(KeyError), threads.several(10**9):
        raise KeyError
    assert not threads._inside


def test_the_threads_of_a_call_that_was_interrupted_at_any_step_go_to_the_next(monkeypatch):
    """Without that all later calls would run on one thread, or on as few as it had set."""
    numbas = [8]
    monkeypatch.setattr(numba, "get_num_threads", lambda: numbas[-1])
    monkeypatch.setattr(numba, "set_num_threads", numbas.append)
    monkeypatch.setattr(threads, "limit", lambda: 2)
    step = interrupted_at = 0

    def interrupt(frame, event, argument):
        nonlocal step
        if frame.f_code.co_filename != threads.__file__:
            return None
        frame.f_trace_opcodes = True
        step += event == "opcode"
        if step == interrupted_at:
            step += 1
            raise KeyboardInterrupt
        return interrupt

    left = 0
    while step >= interrupted_at:
        step, interrupted_at = 0, interrupted_at + 1
        sys.settrace(interrupt)
        try:
            given()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        left += bool(threads._inside)
        assert given()
        assert not threads._inside
        assert numbas[-1] == 8
    assert interrupted_at > 50
    assert left > 10


def test_the_threads_of_a_call_whose_thread_is_gone_are_free(monkeypatch):
    monkeypatch.setattr(threads, "layer", lambda: "omp")
    gone = threads.several(10**9)
    elsewhere(gone.__enter__)
    assert bool(threads._inside) is given() is (numba.get_num_threads() > 1)
    assert not threads._inside


def test_small_work_stays_on_one_thread():
    with threads.several(threads.ALWAYS_PARALLEL_FROM - 1) as several:
        assert several is False


def test_one_thread_is_respected():
    numba.set_num_threads(1)
    with threads.several(10**9) as several:
        assert several is False


def test_outside_the_main_thread_only_layers_that_allow_it(monkeypatch):
    answers = {}
    for layer in ("omp", "tbb", "workqueue", None):
        monkeypatch.setattr(threads, "layer", lambda layer=layer: layer)
        worker = threading.Thread(target=lambda k=layer: answers.update({k: threads._safe_here()}))
        worker.start()
        worker.join()
    assert answers == {"omp": True, "tbb": True, "workqueue": False, None: False}


@pytest.mark.parametrize("method", ["value", "grad", "value_and_grad", "grad_and_hess"])
def test_each_kind_has_its_size(method, monkeypatch):
    """The table of sizes decides which kernel a call of a method runs."""
    ran = []
    for name in ("serial", "parallel"):
        monkeypatch.setattr(elementwise, name, lambda *_, name=name: ran.append(name))
    monkeypatch.setattr(sums, "total", lambda *_: 0.0)
    kind = {"value": "total", "grad": "gradient", "value_and_grad": "both"}.get(method, "curvature")
    loss = fl.SmoothL1Loss()
    for size in (sizes.PARALLEL_FROM[kind] - 1, sizes.PARALLEL_FROM[kind]):
        x, y = pair(size, np.float32)
        (loss if method == "value" else getattr(loss, method))(x, y)
    assert ran == ["serial", "parallel" if numba.get_num_threads() > 1 else "serial"]


def test_the_layer_is_unknown_before_a_first_parallel_call(monkeypatch):
    def threading_layer():
        raise ValueError("Threading layer is not initialized.")

    monkeypatch.setattr(numba, "threading_layer", threading_layer)
    assert threads.layer() is None


@pytest.mark.skipif(parallelism.cores() < 2, reason="one core is all there is")
def test_fewer_threads_than_numba_has_are_set_for_the_call_alone():
    code = """
import numba, os
import fastloss as fl
from fastloss.cpu.threads import several
fl.set_num_threads(2)
with several(10**9) as threads:
    print(threads, numba.get_num_threads())
print(numba.get_num_threads())
"""
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    environment.pop("OMP_NUM_THREADS", None)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert ended.stdout.split() == ["True", "2", "4"]


def test_a_system_that_does_not_tell_of_forks_has_lost_no_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(forked, "_started_by_numba", lambda: 2)
    for content in (None, "", "1 (python) S"):
        path = tmp_path / "stat"
        if content is not None:
            path.write_text(content)
        monkeypatch.setattr(forked, "STATUS", path)
        assert forked._missed() is False

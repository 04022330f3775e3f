"""What goes wrong in a chunk: one error, which names it, and a cluster that can be used on."""

import importlib
import os
import signal
import sys
import time
from functools import partial
from types import MethodType, SimpleNamespace
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import pytest

import fastloss as fl
from fastloss.dask import versions
from fastloss.dask.blame import failing

N = 400
Y = np.arange(float(N))

pytestmark = pytest.mark.slow


def loaded(load, chunks=4):
    """X of chunks that a function of their number loads."""

    def block(block_info=None):
        which = block_info[None]["chunk-location"][0]
        load(which)
        return np.random.default_rng(which).standard_normal((N // chunks, 2))

    sizes = (N // chunks,) * chunks, (2,)
    return da.map_blocks(block, chunks=sizes, dtype=float, meta=np.empty((0, 0)))


def good(which):
    """Load anything."""


def missing(which):
    if which == 2:
        raise FileNotFoundError("no such file: part-2.npy")


def interrupted(which):
    if which == 2:
        raise KeyboardInterrupt


def missing_once(flag, which):
    if which == 2 and not flag.exists():
        flag.touch()
        raise FileNotFoundError("no such file: part-2.npy")


SCHEDULERS = ["synchronous", "threads", "processes", "workers"]


@pytest.fixture(params=SCHEDULERS)
def scheduler(request):
    get = request.getfixturevalue("workers") if request.param == "workers" else request.param
    pool = request.getfixturevalue("pool") if request.param == "processes" else None
    with dask.config.set(scheduler=get, pool=pool):
        yield request.param


def test_a_chunk_that_cannot_be_loaded_is_named_with_the_cause(scheduler):
    with pytest.raises(
        RuntimeError, match=r"chunk 3 of 4 \(rows 200 to 299\).*part-2\.npy"
    ) as info:
        fl.LinearObjective(loaded(missing), Y)(np.zeros(2))
    assert isinstance(info.value.__cause__, FileNotFoundError)
    fl.LinearObjective(loaded(good), Y)(np.zeros(2))


def test_a_chunk_whose_rows_cannot_be_computed_is_named(scheduler):
    bad = loaded(good).map_blocks(str, dtype=float, chunks=((100,) * 4, (2,)))
    with pytest.raises(RuntimeError, match=r"chunk 1 of 4 .*must be a NumPy array") as info:
        fl.LinearObjective(bad, Y)(np.zeros(2))
    assert isinstance(info.value.__cause__, ValueError)


# A cluster remembers what has failed, and does not load it again.
@pytest.mark.parametrize("name", ["synchronous", "threads"])
def test_an_error_that_does_not_come_again_is_raised_as_it_is(name, tmp_path):
    lazy = loaded(partial(missing_once, tmp_path / "flag"))
    with (
        dask.config.set(scheduler=name),
        pytest.raises(FileNotFoundError, match=r"^no such file: part-2\.npy$"),
    ):
        fl.LinearObjective(lazy, Y)(np.zeros(2))


def test_no_chunk_that_a_cluster_can_load_is_to_blame(workers):
    run = uuid4().hex
    graph = {f"good-{run}-{i}": (good, i) for i in range(3)} | {f"bad-{run}": (missing, 2)}
    *whole, bad = ([key] for key in graph)
    assert failing(workers.get, graph, whole, ValueError(), set()) is None
    assert failing(workers.get, graph, [*whole, bad], ValueError(), set()) == 3


@pytest.mark.parametrize(
    ("task", "chunks", "named"),
    [
        ("load-1", 3, 1),
        ("('rows', 0, 2)", 3, 2),
        ("call-rows", 3, None),
        ("call-rows", 1, 0),
        ("('rows', 1, 0)", 3, None),
    ],
)
def test_a_worker_that_is_killed_is_ascribed_to_one_chunk_or_none(workers, task, chunks, named):
    """Whatever was on it counts as the cause, what is sent for all chunks too."""
    distributed = pytest.importorskip("distributed")
    graph = {f"load-{i}": (good, i) for i in range(chunks)}
    tasks = [("rows", 0, i) for i in range(chunks)]
    error = distributed.KilledWorker(task, None, 0)
    assert failing(workers.get, graph, [[key] for key in graph], error, set(), tasks) == named


def test_a_worker_that_is_killed_while_it_computes_a_chunk_has_that_chunk_named(
    workers, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("fastloss.dask.chunks.GROUP_BYTES", 0)
    computing = []

    def killed(client, graph, root, **_):
        computing.extend(key for key in graph if isinstance(key, tuple) and key[1:] == (0, 2))
        raise distributed.KilledWorker(str(computing[0]), SimpleNamespace(address="a"), 0)

    objective = fl.LinearObjective(loaded(good), Y)
    monkeypatch.setattr(workers, "get", MethodType(killed, workers))
    with (
        dask.config.set(scheduler=workers),
        pytest.raises(RuntimeError, match=r"chunk 3 of 4 .*KilledWorker"),
    ):
        objective(np.zeros(2))


def test_of_the_chunks_of_several_tasks_the_first_bad_one_is_named(monkeypatch):
    monkeypatch.setattr("fastloss.dask.chunks.GROUP_BYTES", 0)
    monkeypatch.setattr("fastloss.dask.chunks.LOCAL_GROUP_BYTES", 0)
    rows = loaded(good)
    bad = rows.map_blocks(lambda X: X[1:] if X[0, 0] in firsts else X, dtype=float)
    firsts = {rows[at, 0].compute() for at in (100, 300)}
    with pytest.raises(
        RuntimeError, match=r"chunk 2 of 4 \(rows 100 to 199\) .*of shape \(100, 2\), got"
    ):
        fl.LinearObjective(bad, Y)(np.zeros(2))


@pytest.mark.parametrize("name", ["synchronous", "threads"])
def test_an_interrupt_passes(name):
    with dask.config.set(scheduler=name), pytest.raises(KeyboardInterrupt):
        fl.LinearObjective(loaded(interrupted), Y)(np.zeros(2))


def test_rows_that_are_not_finite_leave_a_cluster_usable(workers):
    y = Y.copy()
    y[123] = np.inf
    with dask.config.set(scheduler=workers):
        with pytest.raises(ValueError, match="its row 123, in chunk 2 of 4, is not"):
            fl.fit(loaded(good), y)
        assert fl.fit(loaded(good), Y).success


# --- versions


def other():
    return {"fastloss": "0.0.1", "numba": "0.1"}


def test_workers_of_other_versions_are_found_when_an_objective_is_made(workers, monkeypatch):
    found = {"tcp://a:1": versions.installed(), "tcp://b:2": other(), "tcp://c:3": OSError("gone")}
    monkeypatch.setattr(workers, "run", lambda *_, **__: found)
    words = r"worker tcp://b:2 has fastloss 0\.0\.1, numba 0\.1 and the client fastloss "
    with dask.config.set(scheduler=workers), pytest.raises(RuntimeError, match=words):
        fl.LinearObjective(loaded(good), Y)


def test_workers_of_other_versions_that_come_later_are_found(workers, monkeypatch):
    words = r"worker tcp://\S+ has fastloss \S+, numba \S+ and the client fastloss 0\.0\.1, numba"
    with dask.config.set(scheduler=workers):
        objective = fl.LinearObjective(loaded(good), Y)
        monkeypatch.setattr(versions, "installed", other)
        with pytest.raises(RuntimeError, match=words):
            objective(np.zeros(2))
        monkeypatch.undo()
        objective(np.zeros(2))


def test_a_worker_that_cannot_load_this_package_is_found():
    found = {"tcp://a:1": versions.installed(), "tcp://b:2": ModuleNotFoundError("no fastloss")}
    client = SimpleNamespace(status="running", run=lambda *_, **__: found)
    words = r"worker tcp://b:2 has no fastloss that can be loaded \(no fastloss\) and the client "
    with pytest.raises(RuntimeError, match=words):
        versions.check(client)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_process_that_is_no_worker_of_a_cluster_has_no_address(loaded, monkeypatch):
    if loaded:
        pytest.importorskip("distributed")
    else:
        monkeypatch.delitem(sys.modules, "distributed", raising=False)
    with pytest.raises(RuntimeError, match="but a worker has fastloss .*the client fastloss 0"):
        versions.require(other())


# --- workers that die


def deadly(which):
    """What the system does to a worker that takes the machine's memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def greedy(which):
    """Take memory until the nanny ends the worker, which looks ten times a second."""
    held = []
    for _ in range(60):
        held.append(np.ones(5_000_000))
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("load", "limits"),
    [(deadly, {}), (greedy, {"memory_limit": "700 MB"})],
    ids=["killed", "limit"],
)
def test_a_chunk_that_kills_its_workers_is_named_and_the_cluster_can_be_used_on(load, limits):
    distributed = pytest.importorskip("distributed")
    from tests.dask.clusters import cluster

    with cluster(**limits) as client, dask.config.set(scheduler=client):
        client.cluster.scheduler.allowed_failures = 0
        # One chunk: others that were on the same worker would count as its cause just as well.
        with pytest.raises(RuntimeError, match="chunk 1 of 1 .*KilledWorker") as info:
            fl.fit(loaded(load, chunks=1), Y)
        client.cluster.scheduler.allowed_failures = 3
        assert isinstance(info.value.__cause__, distributed.KilledWorker)
        assert fl.fit(loaded(good), Y).success


def test_fits_whose_workers_are_killed_end_with_the_same_bits():
    pytest.importorskip("distributed")
    from bench.faults import experiment

    with dask.config.set(scheduler=None):
        tally = experiment(2, seed=1, rows=40_000, columns=4, chunks=8, deadline=60.0)
    assert tally.good
    assert tally.kills == 2


# --- formulas


SOURCE = """
from typing import NamedTuple

class AtHome(NamedTuple):
    def value(self, r):
        return r * r

    def grad(self, r):
        return 2.0 * r

    def hess(self, r):
        return 2.0 + 0.0 * r
"""


def test_a_formula_that_workers_cannot_load_is_told_and_leaves_them_usable(
    workers, tmp_path, monkeypatch
):
    """Its module lies where only the client looks."""
    (tmp_path / "at_home.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    loss = fl.Loss(importlib.import_module("at_home").AtHome(), "sum")
    words = r"worker tcp://\S+ cannot load the loss's formula: ModuleNotFoundError.* 'at_home'"
    with dask.config.set(scheduler=workers):
        with pytest.raises(RuntimeError, match=words):
            fl.LinearObjective(loaded(good), Y, loss)(np.zeros(2))
        lazy = loss(loaded(good)[:, 0], Y)
        with pytest.raises(RuntimeError, match=words):
            lazy.compute()
        assert np.isfinite(fl.L1Loss()(loaded(good)[:, 0], Y).compute())

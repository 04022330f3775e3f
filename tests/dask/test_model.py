"""Linear models of Dask arrays: those of NumPy arrays, with bits that the chunks alone decide."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import cloudpickle
import dask
import dask.array as da
import numba
import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import linear
from fastloss.cpu.design import Design
from fastloss.curvature import own
from fastloss.dask.chunks import Chunks
from fastloss.dask.threads import fair_share
from fastloss.formulas import SquaredError
from tests.dask.elsewhere import on_gpu
from tests.dask.lazily import chunked, refuse
from tests.formulas import PseudoHuber

N, P = 3000, 5
LOSSES = [
    fl.SmoothL1Loss(),
    fl.HuberLoss(delta=0.5),
    fl.SmoothL1Loss(beta="auto"),
    fl.L1Loss(),
    fl.MSELoss(),
]
CHUNKS = {"one": -1, "even": 1000, "ragged": (7, 1500, 0, 1, 1492), "tiny": 40}

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "rows of a wider array": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "columns of a longer array": lambda x: np.asfortranarray(np.vstack([x, x]))[: len(x)],
}

pytestmark = pytest.mark.slow


def data(dtype=np.float64, n=N, p=P):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)).astype(dtype)
    y = (X @ np.arange(1.0, p + 1) + 2 + rng.standard_normal(n)).astype(dtype)
    y[::10] += 30
    return X, y, rng.uniform(size=n).astype(dtype)


def rows(array, chunks, layout="C"):
    """Chunks of rows, which lie in memory in one of LAYOUTS."""
    lazy = chunked(array, (chunks, -1)[: array.ndim])
    return lazy if array.ndim == 1 else lazy.map_blocks(LAYOUTS[layout], dtype=array.dtype)


def found_by(objective):
    """All that an objective is asked in a fit."""
    w = np.linspace(-1, 1, objective.size)
    value, gradient = objective(w)
    spread = objective.spread(w)
    return [
        value,
        gradient,
        objective.hessp(w, gradient),
        *objective.value_grad_hess(w),
        objective.within(w, 1.0),
        *spread,
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_all_that_is_found_is_what_arrays_in_memory_give(chunks, dtype, layout):
    X, y, weight = data(dtype)
    weight = weight + 1
    lazy = rows(X, chunks, layout), rows(y, chunks)
    for options in ({}, {"weight": weight, "l2": 0.3, "fit_intercept": True}):
        known = fl.LinearObjective(X, y, **options)
        if "weight" in options:
            options["weight"] = rows(weight, chunks)
        objective = fl.LinearObjective(*lazy, **options)
        assert objective.shape == known.shape
        for found, expected in zip(found_by(objective), found_by(known), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_fits_end_where_those_in_memory_do(loss, weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    expected = fl.fit(X, y, loss, weight=weight)
    found = fl.fit(rows(X, 700), y, loss, weight=weight)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-8)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-8)
    np.testing.assert_allclose(found.fun, expected.fun, rtol=1e-8)


def test_more_columns_than_x_d_x_is_formed_of_go_by_first_derivatives():
    X, y, _ = data(n=500, p=257)
    found = fl.fit(rows(X, 200), rows(y, 200), tol=1e-12, max_iter=2000)
    assert "CONVERGENCE" in found.message
    np.testing.assert_allclose(found.fun, fl.fit(X, y).fun, rtol=1e-8)


def by_size(residual, grad, hess, where):
    return abs(residual)


@pytest.mark.parametrize(("p", "curvature"), [(257, own), (P, by_size)], ids=["columns", "size"])
def test_x_d_x_that_kernels_do_not_form_is_what_arrays_in_memory_give(p, curvature):
    X, y, weight = data(n=600, p=p)
    w = np.append(np.arange(1.0, p + 1), 2.0)  # near y, as the loss's curvature ends at 1
    options = {"l2": 0.3, "fit_intercept": True}
    known = fl.LinearObjective(X, y, weight=weight, **options).gram(w, curvature)
    objective = fl.LinearObjective(rows(X, 200), y, weight=rows(weight, 200), **options)
    np.testing.assert_allclose(objective.gram(w, curvature), known, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_spread_may_be_asked_for_first(weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    w = np.linspace(-1, 1, P)
    found = fl.LinearObjective(rows(X, 700), y, weight=weight).spread(w)
    np.testing.assert_allclose(found, fl.LinearObjective(X, y, weight=weight).spread(w), rtol=1e-13)


def test_residuals_are_lazy():
    X, y, _ = data()
    w = np.ones(P)
    with dask.config.set(scheduler=refuse):
        found = fl.LinearObjective(rows(X, 700), y).residuals(w)
    assert found.dtype == np.float64
    assert found.shape == (N,)
    np.testing.assert_allclose(found, X @ w - y, rtol=1e-12, atol=1e-12)


# --- bits


def bits(objective):
    return [np.asarray(part).tobytes() for part in found_by(objective)]


SCHEDULERS = {
    "one thread": {"scheduler": "threads", "num_workers": 1},
    "two threads": {"scheduler": "threads", "num_workers": 2},
    "eight threads": {"scheduler": "threads", "num_workers": 8},
}


LOADED = 40_000, 8


@pytest.fixture(scope="module", params=LAYOUTS)
def objective(request):
    """One whose evaluation takes several tasks: chunks of 128 KB make groups of 32."""
    X, y, weight = data(np.float32, *LOADED)
    lazy = rows(np.vstack([X] * 5), 4000, request.param)
    return fl.LinearObjective(lazy, np.tile(y, 5), weight=np.tile(weight, 5), fit_intercept=True)


@pytest.fixture(scope="module")
def expected(objective):
    with dask.config.set(scheduler="synchronous"):
        return bits(objective)


@pytest.mark.parametrize("options", SCHEDULERS.values(), ids=SCHEDULERS)
def test_no_scheduler_of_this_machine_changes_a_bit(objective, expected, options):
    with dask.config.set(**options):
        assert bits(objective) == expected


def test_no_process_changes_a_bit(objective, expected, pool):
    with dask.config.set(scheduler="processes", pool=pool):
        assert bits(objective) == expected


def test_no_cluster_changes_a_bit(objective, expected, workers):
    with dask.config.set(scheduler=workers):
        assert bits(objective) == expected


def test_where_chunks_lie_changes_no_bit(objective, expected, workers):
    X = workers.persist(objective.X, workers=[next(iter(workers.scheduler_info()["workers"]))])
    with dask.config.set(scheduler=workers):
        persisted = fl.LinearObjective(X, objective.y, weight=objective.weight, fit_intercept=True)
        assert bits(persisted) == expected


def test_many_tasks_and_few_add_up_to_the_same_bits(monkeypatch):
    X, y, weight = data(n=4000)

    def found():
        return bits(fl.LinearObjective(rows(X, 50), y, weight=weight))

    expected = found()
    for fan in (1, 2, 8):
        monkeypatch.setattr("fastloss.dask.chunks.GROUP_BYTES", fan * 50 * P * 8)
        monkeypatch.setattr("fastloss.dask.chunks.LOCAL_GROUP_BYTES", 0)
        monkeypatch.setattr("fastloss.dask.chunks.FAN", max(2, fan))
        assert found() == expected


@pytest.mark.parametrize(
    ("here", "held", "threads", "tasks"),
    [
        (True, False, 1, 5),
        (True, False, 2, 10),
        (True, False, 100, 80),
        (False, False, 1, 80),
        (True, True, 1, 5),
        (True, True, 4, 20),
        (True, True, 100, 80),
    ],
)
def test_threads_take_several_small_chunks_in_a_task(monkeypatch, here, held, threads, tasks):
    """As long as each has some tasks; on a cluster chunks may lie on several workers."""
    X, y, _ = data(n=4000)
    chunks = Chunks(rows(X, 50), rows(y, 50), None, ())
    monkeypatch.setattr("fastloss.dask.chunks.CPU_COUNT", threads)
    monkeypatch.setattr("fastloss.dask.chunks.GROUP_BYTES", 50 * P * 8)
    monkeypatch.setattr("fastloss.dask.chunks.LOCAL_GROUP_BYTES", (2 if held else 16) * 50 * P * 8)
    group = chunks._group(len(chunks.all), None if here else object(), held)
    assert len(chunks.all) // group == tasks


def test_pickled_objectives_give_the_same_bits(objective, expected):
    with dask.config.set(scheduler="synchronous"):
        assert bits(pickle.loads(cloudpickle.dumps(objective))) == expected


# --- where and when something is computed


def test_nothing_is_computed_when_an_objective_is_made():
    X, y, _ = data()
    with dask.config.set(scheduler=refuse):
        objective = fl.LinearObjective(rows(X, 1000), rows(y, 1000))
        objective.with_loss(fl.HuberLoss())


def test_weights_alone_are_computed_when_an_objective_is_made():
    X, y, weight = data()

    def fail(block):
        raise AssertionError("loaded while the objective was made")

    lazy = (rows(a, 1000).map_blocks(fail, dtype=a.dtype, meta=a[:0]) for a in (X, y))
    objective = fl.LinearObjective(*lazy, weight=rows(weight, 1000))
    assert objective.count == pytest.approx(weight.sum(), rel=1e-15)


def test_y_in_memory_is_sent_to_a_cluster_once(workers):
    X, y, _ = data()
    with dask.config.set(scheduler=workers):
        objective = fl.LinearObjective(rows(X, 1000), y)
        objective(np.zeros(P))
        source = objective.model._chunks._data.of(workers)
        assert sum("Future" in type(task).__name__ for task in source.graph.values()) == 3
        objective(np.ones(P))
        assert objective.model._chunks._data.of(workers) is source


def test_what_lies_in_memory_is_no_task_of_its_own():
    X, y, weight = data()
    seen = set()

    def get(graph, key, **options):
        seen.update(name for name, *_ in graph)
        return dask.get(graph, key, **options)

    held = da.from_array(X, (1000, P)), da.from_array(y, 1000)
    lazy = held[0].map_blocks(np.copy)
    found = []
    with dask.config.set(scheduler=get):
        for first in (held[0], lazy):
            objective = fl.LinearObjective(first, held[1], weight=weight)
            seen.clear()
            found.append(objective(np.ones(P))[0])
            loaded = {name for name in seen if not name.startswith("rows-")}
            assert bool(loaded) == (first is lazy)
    assert found[0] == found[1]


@pytest.mark.parametrize("scheduler", ["threads", "workers"])
def test_formulas_of_ones_own_are_known_to_workers(request, scheduler):
    class Mine(PseudoHuber):  # which no worker can import
        __slots__ = ()

    X, y, _ = data()
    get = request.getfixturevalue("workers") if scheduler == "workers" else scheduler
    with dask.config.set(scheduler=get):
        found = fl.LinearObjective(rows(X, 1000), rows(y, 1000), fl.Loss(Mine(0.7)))(np.ones(P))
    expected = fl.LinearObjective(X, y, fl.Loss(Mine(0.7)))(np.ones(P))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)


def test_a_watch_hears_of_each_pass():
    X, y, _ = data()
    heard = []
    fl.fit(rows(X, 1000), y, progress=lambda *numbers: heard.append(numbers))
    assert heard == [(i + 1, N, N) for i in range(len(heard))]
    assert heard


# --- threads


def entered(_):
    """Which kernels a task enters."""
    names = []
    serial = mock.Mock(side_effect=lambda *_: names.append("serial"))
    parallel = mock.Mock(side_effect=lambda *_: names.append("parallel"))
    X = np.ones((400_000, 3))
    with fair_share(), mock.patch("fastloss.cpu.linear.BLOCKS", (serial, parallel)):
        linear.evaluate(SquaredError(), Design.of(X), X[:, 0].copy(), None, np.zeros(4), 1.0)
    return names


@pytest.mark.parametrize("scheduler", ["threads", "processes", "workers"])
def test_tasks_beside_others_use_one_thread(request, scheduler):
    get = request.getfixturevalue("workers") if scheduler == "workers" else scheduler
    lazy = dask.delayed(entered)(0)
    with dask.config.set(scheduler=get):
        assert lazy.compute() == ["serial"]


def test_a_task_of_its_own_may_use_all_threads():
    if numba.get_num_threads() == 1:
        pytest.skip("there is one")
    assert entered(0) == ["parallel"]


def test_the_number_of_threads_is_restored():
    def numbers():
        before = numba.get_num_threads()
        with fair_share():
            within = numba.get_num_threads()
        return before, within, numba.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        before, within, after = pool.submit(numbers).result()
    assert within == 1
    assert after == before


# --- what is refused


def test_chunks_that_do_not_suit_are_rechunked_with_a_warning():
    X, y, weight = data()
    known = fl.LinearObjective(X, y, weight=weight)(np.ones(P))
    with pytest.warns(da.PerformanceWarning, match="X has its columns in 3 chunks"):
        columns = fl.LinearObjective(chunked(X, (1000, 2)), y, weight=weight)
    with pytest.warns(da.PerformanceWarning, match="the chunks of y are not those of X's rows"):
        ys = fl.LinearObjective(rows(X, 1000), rows(y, 900), weight=weight)
    with pytest.warns(da.PerformanceWarning, match="the chunks of weight"):
        weights = fl.LinearObjective(rows(X, 1000), y, weight=rows(weight, 900))
    for objective in (columns, ys, weights):
        np.testing.assert_allclose(objective(np.ones(P))[0], known[0], rtol=1e-13)


def test_x_in_memory_meets_the_chunks_of_y():
    X, y, _ = data()
    found = fl.LinearObjective(X, rows(y, 700))(np.ones(P))[0]
    np.testing.assert_allclose(found, fl.LinearObjective(X, y)(np.ones(P))[0], rtol=1e-13)


def test_what_can_be_known_is_refused_at_once():
    X, y, weight = data()
    lazy = rows(X, 1000)
    unknown = lazy[lazy[:, 0] > 0]
    cases = [
        ((unknown, y), {}, ValueError, r"X must have chunks of known size.*compute_chunk_sizes"),
        ((lazy, y[1:]), {}, ValueError, r"y must have the shape \(3000,\)"),
        ((lazy[:, 0], y), {}, ValueError, "X must have two dimensions"),
        ((lazy[:0], y[:0]), {}, ValueError, "X must have at least one row"),
        ((lazy.astype(complex), y), {}, TypeError, "X must hold real numbers"),
        ((on_gpu(X, (1000, P)), y), {}, TypeError, r"X must have chunks in the host's .*asnumpy"),
        ((lazy, y), {"device": "cpu"}, TypeError, "device must be None with Dask arrays"),
        ((lazy, y), {"weight": -weight}, ValueError, "weight must not be negative"),
        ((lazy, y), {"weight": 0 * weight}, ValueError, "weight must have a positive finite sum"),
        ((lazy, y), {"weight": weight * np.nan}, ValueError, "weight must not be negative or NaN"),
    ]
    for arguments, options, kind, words in cases:
        with pytest.raises(kind, match=words):
            fl.LinearObjective(*arguments, **options)


def test_data_frames_are_referred_to_arrays():
    class Frame:  # as Dask's, which needs pandas
        def __dask_graph__(self):
            return {}

        def to_dask_array(self, lengths):
            raise AssertionError

    frame = Frame()
    words = r"X\.to_dask_array\(lengths=True\)"
    for y in (np.zeros(2), chunked(np.zeros(2), 1)):
        with pytest.raises(TypeError, match=words):
            fl.fit(frame, y)


def test_rows_that_are_not_finite_are_named_with_their_chunk():
    for name, which in (("X", 0), ("y", 1)):
        arrays = list(data()[:2])
        arrays[which][2345] = np.nan
        words = rf"{name} must be finite, but its row 2345, in chunk 3 of 3, is not"
        with pytest.raises(ValueError, match=words):
            fl.fit(*(rows(array, 1000) for array in arrays))


@pytest.mark.parametrize("bad", [np.nan, -1.0])
def test_weights_that_are_none_are_named_with_their_chunk(bad):
    X, y, weight = data()
    weight[2345] = bad
    words = rf"weight must not be negative or NaN, got {bad} in row 2345, in chunk 3 of 3"
    with pytest.raises(ValueError, match=words):
        fl.LinearObjective(rows(X, 1000), y, weight=weight)


BAD_CHUNKS = {
    "rows": (lambda block: block[1:], "a chunk of .* must be a NumPy array of shape"),
    "no rows": (lambda block: block[:0], "a chunk of .* must be a NumPy array of shape"),
    "narrow": (lambda block: block[..., :1], "a chunk of .* must be a NumPy array of shape"),
    "wide": (lambda block: np.concatenate((block, block), -1), "must be a NumPy array of shape"),
    "masked": (lambda block: np.ma.masked_less(block, 0), "must be an array without a mask"),
    "complex": (lambda block: block * 1j, "must hold real numbers .*complex128"),
    "text": (lambda block: block.astype(str), "must hold real numbers .*<U"),
    "objects": (lambda block: block.astype(object), "must hold real numbers .*object"),
}


@pytest.mark.parametrize(("change", "words"), BAD_CHUNKS.values(), ids=BAD_CHUNKS)
@pytest.mark.parametrize("which", range(3), ids=["X", "y", "weight"])
def test_chunks_that_are_not_what_was_said_are_refused_by_name(which, change, words):
    """Kernels would read beyond them, or what they do not show."""
    given = [rows(array, 1000) for array in data()]
    good = given[which]

    def changed(block, block_info):
        return change(block) if block_info[0]["chunk-location"][0] == 1 else block

    given[which] = good.map_blocks(changed, dtype=good.dtype, meta=good._meta)
    name = ("X", "y", "weight")[which]
    said = rf"chunk 2 of 3 \(rows 1000 to 1999\) cannot .*{words}"
    with pytest.raises(RuntimeError, match=said) as info:
        fl.LinearObjective(*given[:2], weight=given[2])(np.ones(P))
    assert f" {name} must " in str(info.value)
    if which < 2:
        with pytest.raises((TypeError, ValueError), match=words):
            fl.LinearObjective(*given[:2]).residuals(np.ones(P)).compute()


def test_a_client_of_a_closed_cluster_says_so():
    distributed = pytest.importorskip("distributed")
    client = distributed.Client(n_workers=1, processes=False, dashboard_address=None)
    client.close()
    X, y, _ = data()
    with (
        dask.config.set(scheduler=client.get),
        pytest.raises(RuntimeError, match="cluster must be running, but its client is closed"),
    ):
        fl.LinearObjective(rows(X, 1000), y)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_loading_of_x_is_a_pass_that_is_told(weighted):
    """One of them has all rows at once, for the linear program of absolute error."""
    loaded, told = [], []

    def load(block):
        loaded.append(block[0, 0])
        return block

    X = np.random.default_rng(0).standard_normal((5000, 3))
    y, weight = X.sum(axis=1), np.ones(5000) if weighted else None
    lazy = rows(X, 2500).map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="synchronous"):
        fl.fit(lazy, y, fl.L1Loss(), weight=weight, progress=lambda number, *_: told.append(number))
    assert told == list(range(1, loaded.count(X[2500, 0]) + 1))

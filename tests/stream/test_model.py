"""A linear model of rows that are read block by block is that of the same rows in memory."""

import pickle
import threading
import tracemalloc
from itertools import product

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import fastloss as fl
from fastloss.cpu.model import spread_out
from fastloss.stream.model import StreamedModel
from fastloss.stream.parquet import Parquet
from fastloss.stream.slices import Slices
from tests.fitting.test_turning import nearly_dependent
from tests.formulas import Cauchy

LEAST = 10**6
N = 60_000

pytestmark = pytest.mark.slow


def problem(n, p, dtype=np.float32):
    rng = np.random.default_rng(p)
    X = (10 * rng.standard_normal((n, p))).astype(dtype)
    y = X @ rng.standard_normal(p) + 3 + rng.standard_normal(n)
    y[::10] += 50
    return X, y, np.where(np.arange(n) < n // 3, 0.0, rng.random(n))


def in_map(folder, X, mode="r"):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode=mode)


def in_zarr(folder, X):
    made = zarr.create_array(folder / "X.zarr", shape=X.shape, dtype=X.dtype, chunks=(1000, 2))
    made[...] = X
    return made


def in_hdf5(folder, X):
    file = h5py.File(folder / "X.h5", "w")
    return file.create_dataset("X", data=X, chunks=(1000, X.shape[1]))


def in_parquet(folder, **columns):
    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=7000)
    return path


def streamed(*arguments, **options):
    """An objective whose kernels get the blocks that they have in memory."""
    limit = options.pop("memory_limit", LEAST)
    made = fl.LinearObjective(*arguments, memory_limit=limit, **options)
    assert isinstance(made.model, StreamedModel)
    return made


def whole_blocks(objective):
    """Give it room for blocks as in memory, which so little data as here would not need."""
    model = objective.model
    model._step = 2 * model._like.rows
    return objective


def assert_same(found, expected, w, tolerance=0.0):
    for name in ("__call__", "value_grad_hess", "hess", "residuals"):
        ours, theirs = getattr(found, name)(w), getattr(expected, name)(w)
        for a, b in zip(_parts(ours), _parts(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    np.testing.assert_allclose(found.hessp(w, w), expected.hessp(w, w), rtol=tolerance)


def _parts(result):
    return result if isinstance(result, tuple) else (result,)


STORES = {
    "r": in_map,
    "r+": lambda folder, X: in_map(folder, X, "r+"),
    "c": lambda folder, X: in_map(folder, X, "c"),
    "zarr": in_zarr,
    "hdf5": in_hdf5,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("store", STORES)
def test_the_bits_are_those_of_the_same_rows_in_memory(tmp_path, store, weighted):
    X, y, weight = problem(N, 5)
    options = {"weight": weight if weighted else None, "l2": 0.1, "fit_intercept": True}
    found = whole_blocks(streamed(STORES[store](tmp_path, X), y, **options))
    assert found.model._step < N
    assert_same(found, fl.LinearObjective(X, y, **options), np.linspace(-1, 1, 6))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("p", "dtype"), [(1, "f4"), (3, "f8"), (3, "i4"), (3, ">f4"), (40, "f4"), (300, "f4")]
)
def test_the_bits_do_not_depend_on_shape_order_and_precision(p, dtype, order):
    X, y, _ = problem(max(3000, N // p), p)
    X = np.asarray(X.astype(dtype), order=order)
    found = whole_blocks(streamed(Slices(X, y), None))
    expected = fl.LinearObjective(X, y)
    assert_same(found, expected, np.linspace(-1, 1, p), tolerance=0.0 if p <= 256 else 1e-13)


@pytest.mark.parametrize("n", [3000, 200_000])
@pytest.mark.parametrize("count", [10, 1024, 5000])
def test_a_sample_has_the_rows_that_it_has_in_memory(n, count):
    X, y, weight = problem(n, 3)
    found = streamed(Slices(X, y, weight), None, memory_limit=10**8).model.sample(count)
    expected = fl.LinearObjective(X, y, weight=weight).model.sample(count)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_parquet_is_a_matrix_in_fortran_order(tmp_path):
    X, y, weight = problem(N, 3)
    path = in_parquet(tmp_path, a=X[:, 0], b=X[:, 1], y=y, c=X[:, 2], w=weight)
    options = {"fit_intercept": True, "loss": fl.HuberLoss()}
    expected = fl.LinearObjective(np.asfortranarray(X), y, weight=weight, **options)
    for found in (
        streamed(path, "y", weight="w", **options),
        streamed(Parquet(path, "y", weight="w"), None, **options),
    ):
        assert found.count == pytest.approx(weight.sum(), rel=1e-15)
        found._count = found._divisor = expected.count
        assert_same(whole_blocks(found), expected, np.linspace(-1, 1, 4))


@pytest.mark.parametrize("p", [1, 3, 40, 300])
def test_little_memory_cuts_blocks_and_leaves_the_numbers(tmp_path, p):
    X, y, weight = problem(max(4000, 3 * N // p), p)
    found = streamed(in_map(tmp_path, X), y, weight=weight) if X.nbytes > LEAST else None
    found = found or streamed(Slices(X, y, weight), None)
    found.model._step = found.model._like.tile
    assert_same(found, fl.LinearObjective(X, y, weight=weight), np.linspace(-1, 1, p), 1e-11)


LOSSES = [
    fl.SmoothL1Loss(),
    fl.SmoothL1Loss(beta=1e-3),
    fl.HuberLoss(delta=0.5, reduction="sum"),
    fl.SmoothL1Loss(beta="auto"),
    fl.MSELoss(),
    fl.L1Loss(),
]


# A formula of one's own is compiled anew for each case, in some 20 s.
@pytest.mark.parametrize(
    ("loss", "weighted"), [*product(LOSSES, (False, True)), (fl.Loss(Cauchy()), True)], ids=repr
)
def test_fits_are_those_in_memory(tmp_path, loss, weighted):
    X, y, weight = problem(N, 5)
    weight = weight if weighted else None
    expected = fl.fit(X, y, loss, weight=weight)
    found = fl.fit(in_map(tmp_path, X), y, loss, weight=weight, memory_limit=LEAST)
    assert found.success
    assert found.nit == expected.nit
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-7)
    assert found.scale == pytest.approx(expected.scale, rel=1e-7)
    assert found.fun == pytest.approx(expected.fun, rel=1e-12)


def test_a_fit_needs_few_passes(tmp_path):
    """Least squares, the first point and the gradient at 0, three steps, the scale."""
    X, y, _ = problem(N, 5)
    seen = []
    fl.fit(in_map(tmp_path, X), y, memory_limit=LEAST, progress=lambda *told: seen.append(told))
    assert {rows for _, _, rows in seen} == {N}
    assert [read for _, read, _ in seen if read == N] == [N] * max(number for number, _, _ in seen)
    assert max(number for number, _, _ in seen) <= 7


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, ::2],
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X.astype(np.int32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(">f8"),
    ],
    ids=["columns", "rows backwards", "columns backwards", "int32", "float16", "big-endian"],
)
def test_what_kernels_cannot_read_is_converted_by_blocks(change):
    whole, y, _ = problem(750_000, 16)
    X = change(whole)
    w = np.linspace(-1, 1, X.shape[1])
    expected = fl.LinearObjective(np.array(X, np.float64), y)(w)
    fl.LinearObjective(X, y)(w)
    tracemalloc.start()
    value, gradient = fl.LinearObjective(X, y)(w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000 < 8 * X.size
    assert value == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-9)


def test_blocks_and_what_is_made_of_them_take_most_of_the_limit(tmp_path):
    X, y, _ = problem(N, 5)
    objective = streamed(in_hdf5(tmp_path, X), y)
    rows = objective.model._step
    held = 2 * (rows * (X[:1].nbytes + y[:1].nbytes)) + 32 * rows
    assert 0.5 * LEAST < held < 0.75 * LEAST


@pytest.mark.parametrize(("n", "p"), [(1, 3), (2, 1), (9, 0), (700, 2)])
def test_few_rows(n, p):
    X, y, _ = problem(n, p)
    found = streamed(Slices(X, y), None, fit_intercept=True)
    assert_same(found, fl.LinearObjective(X, y, fit_intercept=True), np.ones(p + 1), 1e-14)
    result = fl.fit(Slices(X, y), None)
    np.testing.assert_allclose(result.x, fl.fit(X, y).x, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_absolute_error_of_few_rows_has_its_exact_minimum(weighted):
    X, y, weight = problem(700, 3)
    weight = weight if weighted else None
    expected = fl.fit(X, y, fl.L1Loss(), weight=weight)
    found = fl.fit(Slices(X, y, weight), None, fl.L1Loss())
    assert found.success
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)


def test_each_reading_of_all_rows_is_a_pass_that_is_told(monkeypatch):
    """One of them has all rows at once, for the linear program."""
    X, y, _ = problem(5000, 3)
    read, told = [], set()
    blocks, block = Slices.blocks, Slices.block
    monkeypatch.setattr(Slices, "blocks", lambda *given: read.append(5000) or blocks(*given))
    monkeypatch.setattr(
        Slices, "block", lambda *given: read.append(given[2] - given[1]) or block(*given)
    )
    fl.fit(Slices(X, y), None, fl.L1Loss(), progress=lambda number, *_: told.add(number))
    assert told == set(range(1, read.count(5000) + 1))


def test_nearly_dependent_columns_are_told_apart():
    X, apart, y = nearly_dependent(1e6)
    found = fl.fit(Slices(X, y), None, fl.MSELoss())
    assert found.success
    assert found.fun == pytest.approx(fl.fit(apart, y, fl.MSELoss()).fun, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_spread_may_be_asked_for_first_and_where_the_sample_is_like_nothing_else(weighted):
    X, y, weight = problem(N, 5)
    weight = weight + 1 if weighted else None
    w = np.linspace(-1, 1, 5)
    kept = len(streamed(Slices(X, y, weight), None).model.sample(N)[1])
    unlike = y.copy()
    rows = spread_out(N, kept)
    unlike[rows] = X[rows] @ w + 1e-3
    for target in (y, unlike):
        found = streamed(Slices(X, target, weight), None).spread(w)
        expected = fl.LinearObjective(X, target, weight=weight).spread(w)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_finite_rows_whose_squares_overflow_are_said_to_be_too_large():
    X, y, _ = problem(100, 2)
    with pytest.raises(ValueError, match="X or y is too large"):
        fl.fit(Slices(X, 1e300 * y), None)


@pytest.mark.parametrize("row", [0, N // 2, N - 1])
@pytest.mark.parametrize("name", ["X", "y"])
def test_the_first_row_that_is_not_finite_is_named(tmp_path, name, row):
    X, y, _ = problem(N, 5)
    (X if name == "X" else y)[row::7] = np.nan
    path = in_parquet(tmp_path, y=y, **{f"x{j}": X[:, j] for j in range(5)})
    for arguments in [(in_map(tmp_path, X), y), (path, "y")]:
        with pytest.raises(ValueError, match=rf"{name} must be finite, but its row {row}\b"):
            fl.fit(*arguments, memory_limit=LEAST)


def test_weights_out_of_range_are_refused(tmp_path):
    X, y, weight = problem(N, 5)
    bad = weight.copy()
    bad[-1] = -1.0
    path = in_parquet(tmp_path, a=X[:, 0], y=y, w=bad)
    for arguments, given in [((in_map(tmp_path, X), y), bad), ((path, "y"), "w")]:
        said = rf"weight must not be negative or NaN, got -1\.0 in row {len(bad) - 1}\b"
        with pytest.raises(ValueError, match=said):
            fl.LinearObjective(*arguments, weight=given, memory_limit=LEAST)


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("1GB", TypeError),
        (None, TypeError),
        (True, TypeError),
        (0, ValueError),
        (-5, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
    ],
)
def test_a_limit_that_is_none(limit, error):
    with pytest.raises(error, match="memory_limit must be"):
        fl.fit(np.ones((3, 1)), np.ones(3), memory_limit=limit)


@pytest.mark.parametrize("source", ["map", "zarr", "parquet", "rows"])
def test_objectives_can_be_sent_elsewhere(tmp_path, source):
    X, y, _ = problem(N, 5)
    path = in_parquet(tmp_path, y=y, **{f"x{j}": X[:, j] for j in range(5)})
    arguments = {
        "map": lambda: (in_map(tmp_path, X), y),
        "zarr": lambda: (in_zarr(tmp_path, X), y),
        "parquet": lambda: (path, "y"),
        "rows": lambda: (Parquet(path, "y"), None),
    }[source]()
    objective = streamed(*arguments)
    w = np.ones(5)
    value, gradient = pickle.loads(pickle.dumps(objective))(w)
    assert value == objective(w)[0]
    np.testing.assert_array_equal(gradient, objective(w)[1])


def test_two_threads_read_at_a_time(tmp_path):
    X, y, _ = problem(N, 5)
    objective = streamed(in_map(tmp_path, X), y)
    points = [np.full(5, value) for value in (-1.0, 0.5, 2.0)]
    expected = [objective(w)[0] for w in points]
    found = [None] * 3

    def evaluate(i):
        found[i] = [objective(points[i])[0] for _ in range(5)]

    threads = [threading.Thread(target=evaluate, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[value] * 5 for value in expected]


@pytest.mark.parametrize("source", ["map", "parquet"])
def test_an_interrupted_fit_gives_the_best_point_and_leaves_nothing_behind(tmp_path, source):
    X, y, _ = problem(N, 5)
    arguments = (in_map(tmp_path, X), y)
    if source == "parquet":
        path = in_parquet(tmp_path, y=y, **{f"x{j}": X[:, j] for j in range(5)})
        arguments = (path, "y")
    before = set(threading.enumerate())

    def interrupt_in(number):
        def progress(at, read, rows):
            if at == number:
                raise KeyboardInterrupt

        return progress

    def fit(**options):
        return fl.fit(*arguments, memory_limit=LEAST, **options)

    with pytest.raises(KeyboardInterrupt) as early:
        fit(progress=interrupt_in(1))
    assert early.value.best is None
    whole = fit()
    with pytest.raises(KeyboardInterrupt) as late:
        fit(progress=interrupt_in(4))
    best = late.value.best
    assert whole.fun <= best.fun < 1.1 * whole.fun
    assert best.x.shape == whole.x.shape
    assert set(threading.enumerate()) == before
    np.testing.assert_array_equal(fit().x, whole.x)

"""The kernel that reads X once, against sums of exact terms; and where it is used."""

import math
from functools import partial

import numpy as np
import pytest
from numba.core.errors import TypingError

import fastloss as fl
from fastloss import matrix
from fastloss.cuda import launch, model, parts
from fastloss.cuda.jit import THREADS
from fastloss.cuda.libraries import Numba
from tests.cpu.test_formula import LogCosh
from tests.cuda.fake import Recorder, device
from tests.cuda.matrices import Matrix, Products, plain
from tests.reference import quick
from tests.registry import LOSSES, ONE_OF_EACH, cases

DTYPES = [np.float32, np.float64]
LANES = {np.float32: 4, np.float64: 2}
# Columns that a block of threads has room for.
MOST = {dtype: lanes * THREADS for dtype, lanes in LANES.items()}


@pytest.fixture(autouse=True)
def _matrices(monkeypatch):
    monkeypatch.setattr(matrix, "algebra_of", lambda X, place: Products())
    monkeypatch.setattr(launch, "new", lambda *like: Matrix(np.empty(*like)))


@pytest.fixture(autouse=True)
def _blocks_of_few_rows(monkeypatch):
    """Several blocks, and several tiles in each, for few rows."""
    monkeypatch.setattr(model, "ROWS_OF_A_BLOCK", 1)
    monkeypatch.setattr(model, "BLOCKS", 3)


def kernels(recorder):
    return [call[1].fn.__name__ for call in recorder.calls if call[0] == "run"]


FUSED = ["rows", "outputs"]


def problem(n, p, dtype, weighted, seed=0):
    rng = np.random.default_rng([seed, n, p])
    X = rng.standard_normal((n, p)).astype(dtype)
    y = rng.standard_normal(n).astype(dtype)
    weight = rng.uniform(0.5, 1.5, n).astype(dtype) if weighted else None
    return X, y, weight, rng.standard_normal(p + 1), rng.standard_normal(p + 1)


def aligned(X):
    """Rows from multiples of 16 bytes on."""
    lanes = LANES[X.dtype.type]
    memory = np.zeros(X.shape[0] * X.shape[1] + lanes, X.dtype)
    start = -memory.ctypes.data // X.itemsize % lanes
    laid = memory[start : start + X.size].reshape(X.shape)
    laid[...] = X
    return laid


def shifted(X):
    """No row from a multiple of 16 bytes on."""
    memory = aligned(np.zeros((1, X.size + 4), X.dtype))[0]
    laid = memory[1 : 1 + X.size].reshape(X.shape)
    laid[...] = X
    return laid


def padded(X, by):
    wide = aligned(np.full((X.shape[0], X.shape[1] + by), np.nan, X.dtype))
    wide[:, : X.shape[1]] = X
    return wide[:, : X.shape[1]]


def every_other_row(X):
    wide = aligned(np.full((2 * X.shape[0], X.shape[1]), np.nan, X.dtype))
    wide[::2] = X
    return wide[::2]


def backwards(X):
    return aligned(X[::-1].copy())[::-1]


LAYOUTS = {
    "aligned": aligned,
    "shifted": shifted,
    "padded to 16 bytes": partial(padded, by=4),
    "padded by one": partial(padded, by=1),
    "every other row": every_other_row,
    "backwards": backwards,
}


def exact(formula, X, y, weight, w, along=None):
    """Value and gradient, or a Hessian product: exact sums of terms of exact predictions."""

    def predicted(coefficients):
        return np.array(
            [math.fsum([*(row * coefficients[:-1]), coefficients[-1]]) for row in X.astype(float)]
        )

    c = np.ones(len(y)) if weight is None else weight.astype(float)
    value, grad, hess = quick(formula, predicted(w) - y.astype(float))
    slope = c * grad if along is None else c * hess * predicted(along)
    gradient = [math.fsum(slope * column) for column in X.astype(float).T]
    return math.fsum(c * value), np.array([*gradient, math.fsum(slope)])


def objective(X, y, weight, formula, **options):
    options = {"fit_intercept": True, **options}
    loss = fl.Loss(formula, options.pop("reduction", "sum"))
    return fl.LinearObjective(device(X), device(y), loss, weight=device(weight), **options)


def check(formula, X, y, weight, w, v):
    """Compare value, gradient and Hessian product with the exact ones."""
    found = objective(X, y, weight, formula)
    assert found.model.rows is not None
    value, gradient = found(w)
    wanted, wanted_gradient = exact(formula, X, y, weight, w)
    assert value == pytest.approx(wanted, rel=1e-14)
    # Terms of any sign: what rounding leaves is measured by the sum of their sizes.
    limit = 1e-14 * X.shape[0] * (1 + np.abs(X).max(initial=0)) ** 2 * X.shape[1]
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-13, atol=limit)
    _, product = exact(formula, X, y, weight, w, v)
    np.testing.assert_allclose(found.hessp(w, v), product, rtol=1e-13, atol=limit)


@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("p", [4, 5])
def test_every_formula_with_and_without_weights(formula, dtype, weighted, p, recorder):
    X, y, weight, w, v = problem(41, p, dtype, weighted)
    check(formula, X, y, weight, w, v)
    assert kernels(recorder) == FUSED * 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33])
def test_every_number_of_columns_up_to_the_bound(dtype, p):
    X, y, weight, w, v = problem(11, p, dtype, True)
    if p <= MOST[dtype]:
        check(ONE_OF_EACH[0], X, y, weight, w, v)
    else:
        assert objective(X, y, weight, ONE_OF_EACH[0]).model.rows is None


def around_a_tile(threads):
    """Numbers of rows around those of a load, a tile and a block."""
    slots = THREADS // threads
    tile = parts.UNROLL * slots
    return sorted({1, 2, *(n + k for n in (slots, tile, 3 * tile) for k in (-1, 0, 1))})


@pytest.mark.parametrize(
    ("p", "n"), [(4 * t, n) for t in (3, THREADS) for n in around_a_tile(t) if n]
)
def test_every_number_of_rows_around_a_tile_and_a_block(p, n):
    X, y, _, w, v = problem(n, p, np.float32, False)
    check(ONE_OF_EACH[1], X, y, None, w, v)


@pytest.mark.parametrize("n", [1, 3, 70])
def test_one_block_where_there_are_few_rows(n, monkeypatch, recorder):
    monkeypatch.setattr(model, "ROWS_OF_A_BLOCK", 64)
    X, y, weight, w, v = problem(n, 8, np.float64, True)
    check(ONE_OF_EACH[0], X, y, weight, w, v)
    blocks = [call[2] for call in recorder.calls if call[0] == "run"]
    assert blocks == [1 if n < 64 else 2, 8 + 2] * 2


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 3, 8])
def test_rows_anywhere_in_memory(layout, dtype, p):
    X, y, weight, w, v = problem(37, p, dtype, True)
    laid = layout(X)
    np.testing.assert_array_equal(laid, X)
    check(ONE_OF_EACH[0], laid, y[::-1][::-1], weight, w, v)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_moved_16_bytes_at_a_time_where_they_are_aligned(dtype, recorder):
    X, y, _, w, _ = problem(9, 8, dtype, False)
    for name, laid in [(name, layout(X)) for name, layout in LAYOUTS.items()]:
        recorder.calls.clear()
        objective(laid, y, None, ONE_OF_EACH[0])(w)
        singly, *_ = recorder.calls[[c[0] for c in recorder.calls].index("run")][-1]
        narrow = ["shifted", "padded by one"]
        assert (singly != ()) is (name in narrow)


@pytest.mark.parametrize("step", [2, -1])
def test_targets_and_weights_of_any_steps(step):
    X, y, weight, w, v = problem(37, 3, np.float64, True)
    y_wide, weight_wide = np.zeros(74), np.zeros(74)
    y_wide[::step][:37], weight_wide[::step][:37] = y, weight
    check(ONE_OF_EACH[0], X, y_wide[::step][:37], weight_wide[::step][:37], w, v)


@pytest.mark.parametrize("special", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("place", ["X", "y", "weight"])
@pytest.mark.parametrize("formula", LOSSES[:2], ids=repr)
def test_what_is_not_finite_is_where_the_products_put_it(special, place, formula, monkeypatch):
    X, y, weight, w, v = problem(37, 5, np.float32, True)
    if place == "weight":
        special = abs(special)
    {"X": X[:, 2], "y": y, "weight": weight}[place][-1] = special
    if place == "weight":
        with pytest.raises(ValueError, match="weight must"):
            objective(X, y, weight, formula)
        return
    fused = objective(X, y, weight, formula)
    found = (*fused(w), fused.hessp(w, v))
    fused.model.rows = None
    for ours, theirs in zip(found, (*fused(w), fused.hessp(w, v)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "how"),
    cases(
        LOSSES,
        [(np.float32, True, "mean"), (np.float64, False, "sum")],
        slow=lambda formula, _: any(formula is loss for loss in LOSSES[1:6]),
    ),
    ids=str,
)
def test_as_the_products_and_the_cpu(formula, how, recorder):
    dtype, fit_intercept, reduction = how
    X, y, weight, w, v = problem(25, 6, dtype, True)
    w, v = w[: 6 + fit_intercept], v[: 6 + fit_intercept]
    options = {"fit_intercept": fit_intercept, "l2": 0.3}
    ours = objective(X, y, weight, formula, reduction=reduction, **options)
    found = (*ours(w), ours.hessp(w, v))
    assert kernels(recorder) == FUSED * 2
    ours.model.rows = None
    by_products = (*ours(w), ours.hessp(w, v))
    loss = fl.Loss(formula, reduction)
    cpu = fl.LinearObjective(X, y, loss, weight=weight, **options)
    for a, b, c in zip(found, by_products, (*cpu(w), cpu.hessp(w, v)), strict=True):
        assert type(a) is type(b)
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(a, c, rtol=1e-11, atol=1e-11)


def test_a_formula_of_ones_own():
    X, y, _, w, _ = problem(30, 4, np.float64, False)
    value, gradient = objective(X, y, None, LogCosh())(w)
    r = X @ w[:-1] + w[-1] - y
    assert value == pytest.approx(np.log(np.cosh(r)).sum(), rel=1e-12)
    np.testing.assert_allclose(gradient[:-1], X.T @ np.tanh(r), rtol=1e-12)


def test_a_formula_that_cannot_be_compiled_is_named(monkeypatch):
    def compile(*_):
        raise TypingError("Unknown attribute 'f'")

    X, y, _, w, v = problem(30, 4, np.float64, False)
    ours = objective(X, y, None, LogCosh())
    monkeypatch.setattr(launch, "run", compile)
    for call in (lambda: ours(w), lambda: ours.hessp(w, v)):
        with pytest.raises(TypeError, match=r"LogCosh\(.*cannot.*Unknown attribute 'f'") as caught:
            call()
        assert isinstance(caught.value.__cause__, TypingError)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_every_time(dtype):
    X, y, weight, w, v = problem(100, 7, dtype, True)
    ours = objective(X, y, weight, ONE_OF_EACH[0])
    found = {(ours(w)[0], *ours(w)[1], *ours.hessp(w, v)) for _ in range(3)}
    assert len(found) == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_value_is_as_exact_as_a_sum_of_elements(seed, monkeypatch):
    """Terms of very different sizes, all of one thread, in rows that are predicted exactly."""
    monkeypatch.setattr(model, "BLOCKS", 1)
    rng = np.random.default_rng(seed)
    y = np.zeros(100 * THREADS)
    y[::THREADS] = np.ldexp(rng.random(100), rng.integers(0, 8, 100))
    ours = objective(np.zeros((y.size, 1)), y, None, fl.L1Loss().formula)
    assert ours(np.zeros(2))[0] == math.fsum(y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 1000, 10_000_000])
def test_a_tile_fits_the_shared_memory_of_a_block_on_a_gpu(dtype, n, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(model, "THREADS", 256)
    for p in range(1, 256 * LANES[dtype] + 1):
        X = np.lib.stride_tricks.as_strided(
            np.zeros(1, dtype), (n, p), (0, np.dtype(dtype).itemsize)
        )
        how = model.tiling(X)
        assert how.height * how.pitch <= parts.UNROLL * (256 + 128)
        assert how.pitch % 2  # threads that read down a column of parts meet no other one's bank
        assert how.each % how.height == 0
        assert (how.blocks - 1) * how.each < n <= how.blocks * how.each
        assert how.blocks <= 2048
        assert how.slots * how.threads <= 256 < (how.slots + 1) * how.threads


def fortran(X):
    return np.asfortranarray(X)


def every_other_column(X):
    wide = np.zeros((X.shape[0], 2 * X.shape[1]), X.dtype)
    wide[:, ::2] = X
    return wide[:, ::2]


@pytest.mark.parametrize("change", [fortran, every_other_column, np.float16, np.int32])
def test_other_matrices_are_multiplied_by_their_library(change, recorder):
    X, y, weight, w, v = problem(20, 4, np.float64, True)
    X = change(X)
    ours = objective(X, y, weight, ONE_OF_EACH[0])
    found = (*ours(w), ours.hessp(w, v))
    assert kernels(recorder)
    assert not set(FUSED) & set(kernels(recorder))
    cpu = fl.LinearObjective(
        X.astype(float), y, fl.Loss(ONE_OF_EACH[0], "sum"), weight=weight, fit_intercept=True
    )
    for a, b in zip(found, (*cpu(w), cpu.hessp(w, v)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_a_matrix_of_no_columns_is_multiplied_by_its_library(recorder):
    X, y, _, w, _ = problem(9, 0, np.float64, False)
    value, _ = objective(X, y, None, ONE_OF_EACH[3])(w)
    assert value == pytest.approx(math.fsum((w[0] - y) ** 2))
    assert not set(FUSED) & set(kernels(recorder))


def test_coefficients_are_sent_once_and_outputs_fetched_once(recorder):
    X, y, weight, w, v = problem(30, 5, np.float32, True)
    ours = objective(X, y, weight, ONE_OF_EACH[0])
    for sent, call in ((1, lambda: ours(w)), (2, lambda: ours.hessp(w, v))):
        recorder.calls.clear()
        call()
        assert [array.size for array in recorder.arguments("send_to", 1)] == [sent * (5 + 1)]
        assert recorder.arguments("fetch_at", 1) == [5 + 2]
        assert recorder.count("send") == 0


@pytest.mark.parametrize("index", [0, 1])
def test_kernels_run_on_the_device_and_stream_of_the_matrix(index, monkeypatch):
    monkeypatch.setattr(model, "library_of", lambda X: Numba(77 + X.index))
    monkeypatch.setattr(launch, "stream_at", lambda address: ("stream", address))
    monkeypatch.setattr(Products, "take", lambda self, value: Matrix(plain(value), index))
    X, y, _, w, _ = problem(30, 5, np.float32, False)
    recorder = Recorder(monkeypatch)
    fl.LinearObjective(device(X, index=index), device(y, index=index))(w[:5])
    assert set(recorder.arguments("run", 2)) == {("stream", 77 + index)}
    assert set(recorder.arguments("send_to", 2)) == {("stream", 77 + index)}
    assert set(recorder.arguments("fetch_at", 3)) == {("stream", 77 + index)}
    assert set(recorder.arguments("active", 0)) == {index}

import math

import dask.array as da
import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import backend
from fastloss.cpu.sums import TILE
from tests.dask.lazily import SHAPE, arrays, chunked, computed, eagerly
from tests.formulas import PseudoHuber, Tilted
from tests.registry import DTYPES, LOSSES, METHODS, ONE_OF_EACH, REDUCTIONS

CHUNKINGS = {
    "one block": -1,
    "rows": (7, -1),
    "columns": (-1, 5),
    "both": (11, 4),
    "uneven": ((1, 20, 9), (13, 1)),
}
# Of an input, a target and a weight.
BROADCASTS = {
    "a row": ((14,), SHAPE, SHAPE),
    "a column": ((30, 1), SHAPE, (14,)),
    "a number": ((), SHAPE, (1, 1)),
    "one element": ((1, 1), SHAPE, ()),
    "more axes": ((14,), (1, 14), (14,)),
    "the target": (SHAPE, (14,), (30, 1)),
    "both": ((14,), (30, 1), SHAPE),
}


def axes_of(chunks, shape):
    """The chunks of an argument that broadcasts to an array of these chunks."""
    whole = da.core.normalize_chunks(chunks, SHAPE)[2 - len(shape) :]
    return tuple((1,) if n == 1 else c for n, c in zip(shape, whole, strict=True))


# --- values


@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("formula", LOSSES, ids=str)
def test_results_are_those_of_numpy_arrays(formula, reduction, chunks):
    loss = fl.Loss(formula, reduction)
    x, y, w = arrays()
    dx, dy, dw = (chunked(a, chunks) for a in (x, y, w))
    for method in METHODS:
        for weight, lazy_weight in ((None, None), (w, dw), (2.0, 2.0)):
            expected = eagerly(loss, method, x, y, weight)
            for found, known in zip(
                computed(loss, method, dx, dy, lazy_weight), expected, strict=True
            ):
                np.testing.assert_allclose(found, known, rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("formula", ONE_OF_EACH, ids=str)
def test_elements_have_the_bits_of_numpy_arrays(formula, method, dtype):
    x, y, _ = arrays((3 * TILE + 5, 70), dtype)
    lazy = chunked(x, (1000, 33)), chunked(y, (1000, 33))
    for reduction in ("none", "mean"):
        loss = fl.Loss(formula, reduction)
        found, expected = computed(loss, method, *lazy), eagerly(loss, method, x, y)
        for part, known in zip(found, expected, strict=True):
            assert part.dtype == known.dtype
            if part.ndim:
                np.testing.assert_array_equal(part, known)
            else:
                np.testing.assert_allclose(part, known, rtol=1e-15)


@pytest.mark.parametrize("which", range(3), ids=["input", "target", "weight"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_one_dask_array_is_enough(reduction, which):
    given = arrays()
    lazy = [chunked(a, (11, 4)) if i == which else a for i, a in enumerate(given)]
    loss = fl.SmoothL1Loss(reduction=reduction)
    for method in METHODS:
        for found, expected in zip(
            computed(loss, method, *lazy), eagerly(loss, method, *given), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_numbers_and_lists_meet_dask_arrays():
    x = da.from_array(np.array([1.0, 2.0, 5.0], np.float32), 2)
    assert fl.L1Loss()(x, 1.0).compute() == 5 / 3
    assert fl.L1Loss()(1, x).compute() == 5 / 3
    assert fl.L1Loss()(x, [1.0, 2.0, 3.0], [0, 0, 4]).compute() == 2.0
    assert fl.L1Loss().grad(1, x).compute() == np.float32(-2 / 3)
    number = np.array(1.0)
    assert fl.L1Loss(reduction="none")(x, number).compute().dtype == np.float64


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_axis_of_one_element_may_be_cut(reduction):
    """As after a mask: one chunk has the element, others have none."""
    x, y, w = (a[:1] for a in arrays())
    cut = da.from_array(x, chunks=((0, 1, 0), (6, 8)))
    loss = fl.SmoothL1Loss(reduction=reduction)
    for method in METHODS:
        for given in ((y, w), (chunked(y, ((0, 1), (6, 8))), w), (chunked(y, (1, (6, 8))), 2.0)):
            plain = [np.asarray(a) if isinstance(a, da.Array) else a for a in given]
            found = computed(loss, method, cut, *given)
            for part, known in zip(found, eagerly(loss, method, x, *plain), strict=True):
                assert part.shape == known.shape
                np.testing.assert_allclose(part, known, rtol=1e-15)


@pytest.mark.parametrize(
    ("lazy", "plain"),
    [
        (da.zeros((5, 0, 7), chunks=(5, 0, (6, 1))), np.zeros((1, 0, 7))),
        (da.zeros((7, 1), chunks=((1, 1, 5), 1)), np.zeros((0, 7, 2))),
        (da.zeros((0, 3), chunks=(0, 2)), np.zeros(3)),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:(input|target) of shape", "ignore:mean of no elements")
def test_nothing_has_the_loss_of_numpy_arrays(lazy, plain):
    for reduction in REDUCTIONS:
        loss = fl.MSELoss(reduction=reduction)
        for x, y in ((lazy, plain), (plain, lazy)):
            for method in METHODS:
                known = eagerly(loss, method, np.asarray(x), np.asarray(y))
                for part, expected in zip(computed(loss, method, x, y), known, strict=True):
                    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (fl.smooth_l1_loss, {"beta": 0.3}),
        (fl.huber_loss, {"delta": 0.3}),
        (fl.l1_loss, {}),
        (fl.mse_loss, {}),
    ],
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_functions_take_dask_arrays(function, options, reduction):
    x, y, w = arrays()
    options |= {"reduction": reduction}
    found = function(chunked(x, 7), chunked(y, 7), weight=chunked(w, 7), **options)
    np.testing.assert_allclose(found.compute(), function(x, y, weight=w, **options), rtol=1e-15)


@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
@pytest.mark.parametrize("shapes", BROADCASTS.values(), ids=BROADCASTS)
@pytest.mark.filterwarnings("ignore:input of shape")
def test_arguments_broadcast_and_gradients_are_summed_back(shapes, chunks):
    rng = np.random.default_rng(2)
    given = [rng.uniform(-1, 1, shape) for shape in shapes]
    given[2] = abs(given[2])
    lazy = [chunked(a, axes_of(chunks, a.shape)) for a in given]
    for reduction in REDUCTIONS:
        loss = fl.SmoothL1Loss(reduction=reduction, beta=0.5)
        for method in METHODS:
            for count in (2, 3):
                found = computed(loss, method, *lazy[:count])
                expected = eagerly(loss, method, *given[:count])
                for part, known in zip(found, expected, strict=True):
                    assert part.shape == known.shape
                    np.testing.assert_allclose(part, known, rtol=1e-13, atol=1e-15)


def test_gradients_of_an_input_that_broadcasts_are_added_up_before_they_are_rounded():
    target = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    target[:500] += 1000
    target[500:] -= 1000  # so blocks' sums are large and cancel
    input = np.full(3, 0.1, np.float32)
    loss = fl.MSELoss(reduction="sum")
    found = computed(loss, "grad", chunked(input, 2), chunked(target, (7, 2)))[0]
    np.testing.assert_array_equal(found, loss.grad(input, target))


def test_a_mean_is_finite_where_the_gradients_it_divides_are_not():
    x = np.full(100, 3e38, np.float32)
    grad = computed(fl.MSELoss(), "grad", chunked(x, 30), 0.0)[0]
    np.testing.assert_array_equal(grad, fl.MSELoss().grad(x, np.float32(0)))
    weighted = computed(fl.MSELoss(), "grad", chunked(x, 30), 0.0, np.float32(2))[0]
    np.testing.assert_array_equal(weighted, grad)


@pytest.mark.parametrize("formula", [PseudoHuber(0.7), Tilted()], ids=str)
def test_formulas_of_ones_own_run_in_blocks_on_threads(formula):
    x, y, w = arrays()
    lazy = [chunked(a, (11, 4)) for a in (x, y, w)]
    for method in METHODS:
        found = computed(fl.Loss(formula), method, *lazy, scheduler="threads")
        for part, known in zip(found, eagerly(fl.Loss(formula), method, x, y, w), strict=True):
            np.testing.assert_allclose(part, known, rtol=1e-15)


# --- one pass


@pytest.fixture
def passes(monkeypatch):
    """Counts how often elements go through a kernel."""
    sizes = []
    compute = backend.compute

    def counted(formula, arrays, **options):
        sizes.append(arrays.size)
        return compute(formula, arrays, **options)

    monkeypatch.setattr(backend, "compute", counted)
    return lambda: sum(sizes) / math.prod(SHAPE)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("method", ["value_and_grad", "grad_and_hess"])
def test_two_results_take_one_pass_over_each_block(method, reduction, passes):
    x, y, _ = arrays()
    computed(fl.SmoothL1Loss(reduction=reduction), method, chunked(x, 7), chunked(y, 7))
    assert passes() == 1


def test_a_weighted_mean_takes_one_more_pass_over_the_weights(passes):
    x, y, w = arrays()
    computed(fl.SmoothL1Loss(), "value_and_grad", chunked(x, 7), chunked(y, 7), chunked(w, 7))
    assert passes() == 2


def test_equal_calls_have_equal_names_and_others_have_not():
    x, y, _ = arrays()
    dx, dy = chunked(x, 7), chunked(y, 7)
    assert fl.L1Loss()(dx, dy).name == fl.L1Loss()(dx, dy).name
    names = {
        loss(dx, dy).name
        for loss in (
            fl.SmoothL1Loss(),
            fl.SmoothL1Loss(beta=2.0),
            fl.SmoothL1Loss(reduction="sum"),
            fl.HuberLoss(),
        )
    }
    assert len(names) == 4

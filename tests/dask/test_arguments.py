"""What is taken, and refused, beside Dask arrays before anything is computed."""

import dask
import dask.array as da
import numpy as np
import pytest

import fastloss as fl
from tests.dask.elsewhere import OnGpu, on_gpu
from tests.dask.lazily import arrays, chunked, computed, eagerly, lazily
from tests.registry import METHODS
from tests.test_losses import call

# --- chunks


def test_chunks_that_meet_give_no_warning_and_stay():
    x, y, w = arrays()
    grad = lazily(fl.L1Loss(), "grad", *(chunked(a, (11, 4)) for a in (x, y, w)))[0]
    assert grad.chunks == ((11, 11, 8), (4, 4, 4, 2))


@pytest.mark.parametrize(
    ("chunks", "moved"),
    [
        (((10, -1), (7, -1)), "input and target"),
        (((10, -1), -1), "target"),
        (((30, 5), (10, -1)), "input and target"),
        (((10, -1), (5, -1)), "input"),
    ],
)
def test_chunks_that_do_not_meet_are_rechunked_with_a_warning(chunks, moved):
    x, y, _ = arrays()
    lazy = [chunked(a, c) for a, c in zip((x, y), chunks, strict=True)]
    with pytest.warns(da.PerformanceWarning, match=f"so {moved} will be rechunked") as caught:
        found = fl.SmoothL1Loss()(*lazy)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(found.compute(), fl.SmoothL1Loss()(x, y), rtol=1e-15)


@pytest.fixture
def unknown():
    """Two arrays whose chunks have sizes that are not known, and their elements."""
    x, y, _ = arrays((40,))
    keep = x > -0.5
    lazy = [chunked(a, 9)[chunked(keep, 9)] for a in (x, y)]
    return lazy, (x[keep], y[keep])


def test_elements_and_sums_need_no_sizes_of_chunks(unknown):
    lazy, given = unknown
    for reduction in ("none", "sum"):
        loss = fl.SmoothL1Loss(reduction=reduction)
        for method in METHODS:
            for weight in (None, 2.0):
                found = dask.compute(*lazily(loss, method, *lazy, weight))
                for part, known in zip(found, eagerly(loss, method, *given, weight), strict=True):
                    np.testing.assert_allclose(part, known, rtol=1e-15)


def test_what_needs_sizes_of_chunks_says_how_to_get_them(unknown):
    (x, y), given = unknown
    for method in METHODS[:2]:
        with pytest.raises(ValueError, match=r"the mean needs.*compute_chunk_sizes\(\)"):
            call(fl.L1Loss(), method, x, y)
    total = fl.L1Loss(reduction="sum")
    for other in (
        given[1],
        da.from_array(given[1], 9),
        y[:, None],
    ):
        with pytest.raises(ValueError, match=r"input has chunks of unknown.*compute_chunk_sizes"):
            total(x, other)
    found = fl.L1Loss()(x.compute_chunk_sizes(), y.compute_chunk_sizes())
    np.testing.assert_allclose(found.compute(), fl.L1Loss()(*given), rtol=1e-15)


def test_axes_of_known_size_still_meet():
    x, y, _ = arrays()
    keep = x[:, 0] > 0
    lazy = [chunked(a, (9, n))[chunked(keep, 9)] for a, n in ((x, 4), (y, 7))]
    loss = fl.L1Loss(reduction="sum")
    with pytest.warns(da.PerformanceWarning, match="input and target will be rechunked"):
        value, grad = loss.value_and_grad(*lazy)
    np.testing.assert_allclose(value.compute(), loss(x[keep], y[keep]), rtol=1e-15)
    np.testing.assert_array_equal(grad.compute(), loss.grad(x[keep], y[keep]))


def test_blocks_of_unknown_size_do_not_broadcast_against_each_other():
    x = da.from_array(np.arange(6.0), 3)
    lazy = fl.L1Loss(reduction="sum")(x[x > 1], x[x != 5])
    with pytest.raises(ValueError, match=r"chunks must have one shape, got \(\d,\) and \(\d,\)"):
        lazy.compute()


# --- arguments


@pytest.mark.parametrize(
    ("input", "target", "result"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float16, np.float16, np.float16),
        (np.int32, np.float32, np.float64),
        (np.int8, np.uint8, np.float64),
        (np.bool_, np.bool_, np.float64),
    ],
)
def test_dtypes_promote_as_those_of_numpy_arrays(input, target, result):
    x, y = np.array([0, 1, 1], input), np.array([1, 1, 0], target)
    lazy = chunked(x, 2), chunked(y, 2)
    loss = fl.SmoothL1Loss(reduction="none")
    for method in METHODS:
        for found in computed(loss, method, *lazy):
            assert found.dtype == result
    assert fl.SmoothL1Loss()(*lazy).dtype == np.float64
    assert fl.SmoothL1Loss().grad(da.zeros(1, dtype=input), lazy[1]).dtype == result


def test_python_numbers_promote_weakly():
    x = da.ones(3, dtype=np.float32, chunks=2)
    loss = fl.SmoothL1Loss(reduction="none")
    assert loss(x, 0.5).dtype == loss(x, x, 2.0).dtype == np.float32
    assert loss(x, np.float64(0.5)).dtype == loss(x, da.zeros(())).dtype == np.float64
    assert loss(x, 0.5).compute().dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("position", range(3), ids=["input", "target", "weight"])
@pytest.mark.parametrize(
    "bad",
    [
        da.ones(3, dtype=complex),
        da.ones(3).astype(object),
        da.ones(3).astype(str),
        da.ma.masked_equal(da.ones(3), 2.0),
        np.ones(3, complex),
        ["a", "b", "c"],
    ],
    ids=["complex", "object", "strings", "masked", "NumPy complex", "list of strings"],
)
def test_what_holds_no_real_numbers_is_refused_by_name(method, position, bad):
    given = [da.ones(3), da.ones(3), da.ones(3)]
    given[position] = bad
    with pytest.raises(TypeError, match=f"{('input', 'target', 'weight')[position]} must"):
        lazily(fl.SmoothL1Loss(), method, *given)


@pytest.mark.parametrize("method", METHODS)
def test_results_of_chunks_on_a_gpu_live_there(method):
    x = on_gpu(np.ones(3, np.float32), 2)
    for found in lazily(fl.SmoothL1Loss(reduction="none"), method, x, da.ones(3, chunks=2)):
        assert isinstance(found._meta, OnGpu)
        assert found._meta.dtype == found.dtype == np.float64
    with pytest.raises(TypeError, match="target must hold real numbers.*complex128"):
        lazily(fl.SmoothL1Loss(), method, x, on_gpu(np.ones(3, complex), 2))


@pytest.mark.parametrize("method", METHODS)
def test_an_array_on_a_gpu_is_to_come_as_a_dask_array(method):
    words = r"target must be a Dask array too.*OnGpu: pass dask\.array\.from_array\(target, asarray"
    with pytest.raises(TypeError, match=words):
        lazily(fl.SmoothL1Loss(), method, da.ones(3), OnGpu(np.ones(3)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((3,), (4,)), r"input and target must broadcast.*\(3,\) and \(4,\)"),
        (((3,), (3,), (2,)), r"weight must broadcast.*\(3,\), got \(2,\)"),
        (((3,), (3,), (2, 3)), r"weight must broadcast.*\(3,\), got \(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(method, shapes, words):
    with pytest.raises(ValueError, match=words):
        lazily(fl.SmoothL1Loss(), method, *map(da.ones, shapes))


def test_a_column_against_a_row_warns_once():
    loss = fl.L1Loss(reduction="none")
    with pytest.warns(UserWarning, match=r"\(3,\).*\(3, 1\).*\(3, 3\)") as caught:
        found = loss(da.zeros(3, chunks=2), da.ones((3, 1), chunks=2))
    assert caught[0].filename == __file__
    assert len(caught) == 1
    np.testing.assert_array_equal(found.compute(), np.ones((3, 3)))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_empty_arrays(shape):
    empty = da.empty(shape, chunks=2)
    assert computed(fl.L1Loss(reduction="none"), "value", empty, empty)[0].shape == shape
    assert computed(fl.L1Loss(reduction="sum"), "value", empty, empty)[0] == 0.0
    assert computed(fl.L1Loss(), "grad", empty, empty)[0].shape == shape
    for weight in (None, empty):
        with pytest.warns(RuntimeWarning, match="mean of no elements"):
            assert np.isnan(computed(fl.L1Loss(), "value", empty, empty, weight)[0])


@pytest.mark.parametrize(("input", "target"), [((1,), (0,)), ((), (0,)), ((3, 1), (3, 0))])
def test_an_input_broadcast_to_nothing_has_the_gradient_zero(input, target):
    lazy = da.ones(input), da.ones(target)
    for found in computed(fl.L1Loss(reduction="sum"), "grad_and_hess", *lazy):
        np.testing.assert_array_equal(found, np.zeros(input))


def test_weights_without_a_mean_are_found_when_it_is_computed():
    x = da.ones(4, chunks=3)
    lazy = lazily(fl.L1Loss(), "value", x, 0.0, 0.0)[0]
    with pytest.warns(RuntimeWarning, match="weights that sum to zero"):
        assert np.isnan(lazy.compute())
    lazy = lazily(fl.L1Loss(), "value", x, 0.0, 1e-310 * x)[0]
    with pytest.raises(ValueError, match="weight must have a sum.*rescale"):
        lazy.compute()


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("value", {"out": np.empty(())}, "out and total must be None.*lazy"),
        ("grad", {"out": np.empty(3)}, "out and total must be None.*lazy"),
        ("value_and_grad", {"out": np.empty(3)}, "out and total must be None.*lazy"),
        ("value_and_grad", {"total": np.empty(())}, "out and total must be None.*lazy"),
        ("grad_and_hess", {"out": (None, np.empty(3))}, "out and total must be None.*lazy"),
        *((method, {"device": "cpu"}, "device must be None") for method in METHODS),
    ],
)
def test_lazy_results_go_nowhere(method, options, words):
    with pytest.raises(TypeError, match=words):
        lazily(fl.L1Loss(), method, da.ones(3), da.ones(3), **options)


def test_a_dask_array_takes_no_results():
    with pytest.raises(TypeError, match="out must be a NumPy array or None"):
        fl.L1Loss().grad(np.ones(3), np.ones(3), out=da.ones(3))


def test_a_threshold_still_to_be_found_is_missed_at_once():
    with pytest.raises(ValueError, match="fastloss.fit finds it"):
        lazily(fl.SmoothL1Loss(beta="auto"), "value", da.ones(3), da.ones(3))


@pytest.mark.parametrize("other", [np.ones(3), da.ones(3)], ids=["NumPy", "Dask"])
def test_a_column_of_a_table_says_how_it_becomes_an_array(other):
    class Series:
        __dask_graph__ = to_dask_array = None

    with pytest.raises(TypeError, match=r"target\.to_dask_array\(lengths=True\)"):
        fl.L1Loss()(other, Series())

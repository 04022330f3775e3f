"""Arrays of any strides, broadcast either way, and cut into pieces."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastloss as fl
from fastloss.cuda import backend, elementwise, launch
from fastloss.cuda.absent import position
from fastloss.cuda.address import addresses
from fastloss.cuda.layout import axes, first_element, pieces
from tests.cuda.fake import DeviceArray, device, host
from tests.reference import exact_sum, quick
from tests.registry import (  # fmt: skip
    REDUCTIONS,
    contiguous,
    fortran,
    read_only,
    reversed_,
    rows_of_wider,
    strided,
    transposed,
)

LAYOUTS = [contiguous, fortran, strided, reversed_, rows_of_wider, transposed, read_only]


def memory(array):
    """The vector of all elements between the lowest and the highest address of an array."""
    low, size = addresses(array)
    return np.ndarray(size // array.itemsize, array.dtype, _bytes(low, size))


def _bytes(low, size):
    import ctypes

    return (ctypes.c_char * size).from_address(low)


def unaligned_by_one(array):
    """Contiguous, but not from a multiple of 16 bytes on."""
    return np.zeros(array.size + 1, array.dtype)[1:].reshape(array.shape)


def wider(array):
    return array.astype(np.float64)


shapes = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(tuple)


@st.composite
def views(draw, count=2):
    """Arrays of one shape, each permuted, reversed, stretched and broadcast in its own way."""
    shape = draw(shapes)
    made = []
    for _ in range(count):
        order = draw(st.permutations(range(len(shape))))
        steps = [draw(st.integers(1, 2)) for _ in shape]
        own = [1 if draw(st.booleans()) else n for n in shape]
        base = np.arange(prod(own) * prod(steps), dtype=float)
        base = base.reshape([own[k] * steps[k] for k in order]).transpose(np.argsort(order))
        view = base[tuple(slice(None, None, step) for step in steps)]
        view = view[tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)]
        made.append(np.broadcast_to(view, shape))
    return made


@given(views())
def test_axes_lead_to_every_element_of_all_arrays_in_one_order(arrays):
    found = axes(arrays)
    size = arrays[0].size
    seen = [
        [memory(a)[position(found.shape, strides, i)] for i in range(size)]
        for a, strides in zip(arrays, found.strides, strict=True)
    ]
    pairs = sorted(zip(*seen, strict=True))
    assert pairs == sorted(zip(*(a.reshape(-1).tolist() for a in arrays), strict=True))


@given(views())
def test_the_first_element_is_found_behind_those_that_steps_backwards_leave(arrays):
    for array in arrays:
        assert memory(array)[first_element(array)] == array.flat[0]


def test_axes_that_all_arrays_step_along_alike_are_one():
    x = np.zeros((3, 4, 5))
    assert axes([x, x, None]) == ((), ((), (), ()))
    assert axes([x.T, x.T]).shape == ()
    assert axes([x[:, :, :3], x[:, :, :3]]).shape == (12, 3)
    assert axes([x, np.broadcast_to(np.zeros(5), x.shape)]).shape == (12, 5)
    assert axes([np.zeros((1, 1))]).shape == ()


@given(views(3), st.integers(2, 20))
def test_pieces_are_small_and_hold_every_element_once(arrays, size):
    cut = list(pieces([*arrays, None], size))
    assert all(part[0].size < max(size, 2) for part in cut)
    assert all(part[3] is None for part in cut)
    for k, array in enumerate(arrays):
        together = np.concatenate([part[k].reshape(-1) for part in cut])
        np.testing.assert_array_equal(np.sort(together), np.sort(array.reshape(-1)))


def test_a_strided_call_runs_piece_by_piece(monkeypatch, recorder):
    rng = np.random.default_rng(0)
    x, y, w = rng.uniform(0.5, 1, (3, 12, 10))
    arguments = [device(a) for a in (x.T, y.copy(), w.T.copy())]
    arguments[1] = device(np.ascontiguousarray(y.T))
    loss = fl.HuberLoss()
    whole = host(loss.value_and_grad(*arguments))
    recorder.calls.clear()
    monkeypatch.setattr(backend, "PIECE", 20)
    found = host(loss.value_and_grad(*arguments))
    assert recorder.arguments("run", 0).count(elementwise.scalars) == 8
    np.testing.assert_array_equal(found[1], whole[1])
    assert found[0] == pytest.approx(whole[0], rel=4.4e-16)


# --- whole calls


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_the_layout_changes_no_result(layout, other):
    rng = np.random.default_rng(0)
    x, y, w = rng.uniform(0.5, 1, (3, 5, 9)).astype(np.float32)
    loss = fl.SmoothL1Loss(beta=0.1)
    value, grad = loss.value_and_grad(x, y, w)
    found, gradient = loss.value_and_grad(*map(device, (layout(x), other(y), layout(w))))
    assert found == pytest.approx(value, rel=4.4e-16)
    np.testing.assert_allclose(host(gradient), grad, rtol=2.4e-7)


@pytest.mark.parametrize("layout", LAYOUTS[:-1])
def test_outputs_of_any_layout_are_written_and_nothing_beside_them(layout):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 6, 7))
    out = layout(np.full((6, 7), 5.0))
    before = memory(out).copy()
    assert fl.MSELoss(reduction="sum").grad(device(x), device(y), out=device(out)).array is out
    np.testing.assert_array_equal(out, 2 * (x - y))
    fl.MSELoss(reduction="none")(device(out), 0.0, out=device(out))
    np.testing.assert_array_equal(out, (2 * (x - y)) ** 2)
    out[...] = 5.0
    np.testing.assert_array_equal(memory(out), before)


def test_results_lie_in_the_memory_order_of_the_arguments():
    x, y = np.asfortranarray(np.ones((3, 4))), np.asfortranarray(np.zeros((3, 4)))
    for result in fl.L1Loss().grad_and_hess(device(x), device(y)):
        assert result.array.flags.f_contiguous
    assert fl.L1Loss().grad(device(x), device(np.zeros((3, 4)))).array.flags.c_contiguous


def test_arrays_without_axes():
    x, y = device(np.array(3.0)), device(np.array(1.0))
    assert fl.SmoothL1Loss()(x, y) == 1.5
    value, gradient = host(fl.SmoothL1Loss(reduction="none").value_and_grad(x, y))
    assert value.shape == gradient.shape == ()
    assert (value, gradient) == (1.5, 1.0)


@pytest.mark.parametrize(
    "shape", [(7,), (1, 7), (5, 1), (1, 1), (), (1,), (2, 1, 7), (2, 5, 1), (1, 5, 1)]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_broadcast_input_gets_its_gradient_summed_back(shape, reduction):
    rng = np.random.default_rng(0)
    full = (2, 5, 7)
    input, target, weight = rng.standard_normal(shape), rng.standard_normal(full), 2.0
    weight = rng.uniform(0.5, 1, (5, 1))
    loss = fl.SmoothL1Loss(beta=0.7, reduction=reduction)
    elements, slopes, curves = quick(loss.formula, input - target)
    w = np.broadcast_to(weight, full)
    scale = 1 / exact_sum(w) if reduction == "mean" else 1.0
    padded = (1,) * (3 - len(shape)) + shape
    along = tuple(k for k in range(3) if padded[k] == 1 and full[k] != 1)
    value, grad = host(loss.value_and_grad(*map(device, (input, target, weight))))
    same, hess = host(loss.grad_and_hess(*map(device, (input, target, weight))))
    np.testing.assert_array_equal(same, grad)
    want = elements * w if reduction == "none" else exact_sum(elements * w) * scale
    np.testing.assert_allclose(value, want, rtol=1e-14)
    for found, whole in ((grad, slopes), (hess, curves)):
        assert found.shape == shape
        exact = (whole * w * scale).sum(axis=along).reshape(shape)
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layout", [contiguous, fortran, reversed_, strided])
def test_a_broadcast_input_and_outputs_of_any_layout(layout):
    rng = np.random.default_rng(0)
    input, target = layout(rng.standard_normal((4, 1, 3))), layout(rng.standard_normal((4, 5, 3)))
    out = layout(np.zeros((4, 1, 3))), layout(np.zeros((4, 1, 3)))
    fl.MSELoss(reduction="sum").grad_and_hess(
        device(input), device(target), out=tuple(map(device, out))
    )
    exact = 2 * (input - target).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out[0], exact, rtol=1e-13)
    np.testing.assert_array_equal(out[1], np.full((4, 1, 3), 10.0))
    expected = fl.MSELoss(reduction="sum").grad(device(input), device(target), out=device(input))
    np.testing.assert_array_equal(expected.array, out[0])


def test_a_summed_gradient_that_is_not_finite():
    x, y = np.zeros((1, 2)), np.zeros((9, 2))
    y[3] = -np.inf, np.nan
    gradient = host(fl.MSELoss(reduction="sum").grad(device(x), device(y)))
    np.testing.assert_array_equal(gradient, [[np.inf, np.nan]])


@pytest.mark.parametrize("shapes", [((7,), (5, 7)), ((), (5, 7)), ((5, 1), (5, 7))])
def test_a_broadcast_target_or_weight_is_read_in_place(shapes):
    rng = np.random.default_rng(0)
    small, x = rng.uniform(0.5, 1, shapes[0]), rng.uniform(0.5, 1, shapes[1])
    whole = np.broadcast_to(small, x.shape)
    for reduction in REDUCTIONS:
        loss = fl.HuberLoss(delta=0.1, reduction=reduction)
        found = host(loss.value_and_grad(device(x), device(small), device(small)))
        for ours, cpu in zip(found, loss.value_and_grad(x, whole, whole), strict=True):
            np.testing.assert_allclose(ours, cpu, rtol=1e-15)


@pytest.mark.parametrize(("input", "target"), [((1,), (0,)), ((), (0,)), ((3, 1), (3, 0))])
def test_an_input_broadcast_to_nothing_has_the_gradient_zero(input, target):
    arguments = np.ones(input), np.ones(target)
    loss = fl.SmoothL1Loss(reduction="sum")
    for ours, cpu in zip(
        host(loss.grad_and_hess(*map(device, arguments))),
        loss.grad_and_hess(*arguments),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, cpu)
    assert loss(*map(device, arguments)) == 0.0


def test_a_view_into_the_middle_reads_nothing_beside_it():
    memory = np.full(50, np.nan)
    memory[11:31] = 2.0
    assert fl.MSELoss()(DeviceArray(memory[11:31]), 0.0) == 4.0
    assert fl.MSELoss()(DeviceArray(memory[30:10:-1]), 0.0) == 4.0


def test_addresses_of_arrays_that_step_backwards_or_not_at_all():
    x = np.zeros((3, 4))
    base = x.__array_interface__["data"][0]
    assert addresses(x[::-1]) == (base, 96)
    assert addresses(np.broadcast_to(x[0], (9, 4))) == (base, 32)
    assert addresses(x[:0])[1] == 0


@pytest.mark.parametrize("layout", [unaligned_by_one, wider, transposed, reversed_])
def test_a_sum_takes_the_elements_in_the_same_order_whatever_is_written(monkeypatch, layout):
    launches = []
    original = launch.run

    def run(kernel, blocks, stream, *arguments):
        launches.append((kernel, blocks))
        original(kernel, blocks, stream, *arguments)

    monkeypatch.setattr(launch, "run", run)
    rng = np.random.default_rng(0)
    x, y = map(device, rng.standard_normal((2, 15, 16)).astype(np.float32))
    loss = fl.SmoothL1Loss(reduction="sum")
    expected = loss.grad(x, y).array
    launches.clear()
    alone = loss(x, y)
    kernels = launches.copy()
    launches.clear()
    value, gradient = loss.value_and_grad(x, y, out=device(layout(np.zeros((15, 16), np.float32))))
    assert value == alone
    assert launches[: len(kernels)] == kernels
    np.testing.assert_array_equal(gradient.array, expected)

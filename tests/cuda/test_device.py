"""``device=`` moves arguments; results come back as what the arguments are."""

import numpy as np
import pytest

import fastloss as fl
from fastloss.cuda.arrays import Remote
from fastloss.cuda.backend import compute
from tests.cuda.fake import DeviceArray, device, host
from tests.registry import LAYOUTS

X, Y = np.random.default_rng(0).standard_normal((2, 5, 7))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_numpy_goes_to_the_gpu_and_comes_back(reduction, recorder):
    loss = fl.HuberLoss(delta=0.5, reduction=reduction)
    value, grad = loss.value_and_grad(X, Y, device="cuda")
    assert recorder.count("send") == 2
    assert type(grad) is np.ndarray
    np.testing.assert_allclose(value, loss(X, Y), rtol=4.4e-16)
    np.testing.assert_allclose(grad, loss.grad(X, Y), rtol=4.4e-16)
    assert loss(3.0, 1.0, device="cuda") == loss(3.0, 1.0)
    assert type(loss(3.0, 1.0, device="cuda")) is type(loss(3.0, 1.0))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_copies_and_kernels_are_on_the_named_device(device, recorder):
    fl.HuberLoss().value_and_grad(X, Y, device=device)
    index = 1 if device == "cuda:1" else 0
    assert set(recorder.arguments("active", 0)) == {index}
    names = [call[0] for call in recorder.calls]
    assert names.index("active") < names.index("send")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_sent_is_aligned_contiguous_and_of_the_machines_byte_order(layout, recorder):
    x, y = layout(X), layout(Y)
    found = fl.HuberLoss(reduction="none")(x, y, device="cuda")
    np.testing.assert_array_equal(found, fl.HuberLoss(reduction="none")(X, Y))
    for call in recorder.calls:
        if call[0] == "run":
            assert all(a.dtype.isnative for a in call[4:] if hasattr(a, "dtype"))


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_arrays_of_no_element_or_no_axis_go_and_come_back(shape):
    x, y = np.ones(shape), np.zeros(shape)
    loss = fl.L1Loss(reduction="none")
    assert loss(x, y, device="cuda").shape == shape
    assert loss.grad(device(x), device(y), device="cpu").shape == shape
    assert type(loss(x, y, device="cuda")) is type(loss(x, y))


def test_results_in_fortran_order_come_back_in_it():
    x, y = np.asfortranarray(X), np.asfortranarray(Y)
    grad = fl.HuberLoss().grad(x, y, device="cuda")
    assert grad.flags.f_contiguous
    np.testing.assert_allclose(grad, fl.HuberLoss().grad(X, Y), rtol=4.4e-16)


@pytest.mark.parametrize("index", [0, 1])
def test_arrays_on_a_gpu_are_fetched_for_the_cpu(index, recorder):
    x, y = DeviceArray(X.T[::-1], index), DeviceArray(Y.T, index, stream=77)
    value, grad = fl.HuberLoss().value_and_grad(x, y, device="cpu")
    assert type(grad) is np.ndarray
    assert value == fl.HuberLoss()(X.T[::-1], Y.T)
    np.testing.assert_array_equal(grad, fl.HuberLoss().grad(X.T[::-1], Y.T))
    assert recorder.count("run") == 0
    assert set(recorder.arguments("active", 0)) == {index}
    assert recorder.arguments("stream_at", 0) == [0, 77]


@pytest.mark.parametrize("where", ["cuda", "cuda:0", "cpu"])
@pytest.mark.parametrize("swapped", [False, True])
def test_device_says_where_mixed_arguments_meet(where, swapped):
    x, y = (X, device(Y)) if swapped else (device(X), Y)
    value, grad = fl.HuberLoss().value_and_grad(x, y, device=where)
    assert value == pytest.approx(fl.HuberLoss()(X, Y), rel=4.4e-16)
    assert isinstance(grad, np.ndarray) is (where == "cpu")
    np.testing.assert_allclose(host(grad), fl.HuberLoss().grad(X, Y), rtol=4.4e-16)


def test_an_array_of_another_gpu_is_copied(recorder):
    x, y = device(X, index=0), device(Y, index=1)
    grad = fl.HuberLoss().grad(x, y, device="cuda:1")
    np.testing.assert_allclose(host(grad), fl.HuberLoss().grad(X, Y), rtol=4.4e-16)
    assert recorder.count("fetch") == 1
    assert recorder.count("send") == 1
    assert recorder.arguments("active", 0)[:2] == [0, 1]


def test_out_of_a_call_on_the_cpu_may_be_numpys():
    out = np.empty_like(X)
    assert fl.HuberLoss().grad(device(X), device(Y), out=out, device="cpu") is out
    np.testing.assert_array_equal(out, fl.HuberLoss().grad(X, Y))


def test_arrays_where_they_are_told_to_be_are_not_copied(recorder):
    fl.HuberLoss().grad(device(X), device(Y), device="cuda")
    assert recorder.count("send") == recorder.count("fetch") == 0


def test_functions_take_a_device_too():
    assert fl.smooth_l1_loss(X, Y, device="cuda") == pytest.approx(fl.smooth_l1_loss(X, Y))
    assert isinstance(fl.mse_loss(X, Y, reduction="none", device="cuda"), np.ndarray)


def test_a_view_of_a_described_array_keeps_its_memory():
    from fastloss.cuda.arrays import remote

    owner = device(X)
    view = remote("x", owner)[1:].T
    assert type(view) is Remote
    assert view.owner is owner


def test_the_back_end_takes_arrays_of_a_device_only():
    from fastloss.arrays import operands
    from fastloss.place import HOST

    with pytest.raises(AssertionError):
        compute(fl.L1Loss().formula, operands(HOST, X, Y, None))

"""Where calls run and what they give: kind, device, mixed arguments, memory that is not there."""

import numpy as np
import pytest

import fastloss as fl
from tests.cpu.test_elementwise import all_outputs
from tests.gpu.arrays import KINDS
from tests.gpu.problem import DTYPES, assert_close, outputs
from tests.registry import REDUCTIONS, pair

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_results_are_of_the_library_the_dtype_and_the_device_of_the_input(arrays, dtype, reduction):
    x, y = (arrays.send(a) for a in pair(1000, dtype))
    for name, result in all_outputs(fl.SmoothL1Loss(reduction=reduction), x, y).items():
        if isinstance(result, float):
            assert name.endswith("value")
            continue
        assert arrays.owns(result), name
        assert arrays.index(result) == arrays.index(x) == 0
        assert arrays.host(result).dtype == dtype


def test_the_library_of_the_first_argument_counts():
    torch, cupy = KINDS["torch"](), KINDS["cupy"]()
    x, y = pair(1000, np.float32)
    plain = fl.L1Loss().grad(x, y)
    for first, second in ((torch, cupy), (cupy, torch)):
        result = fl.L1Loss().grad(first.send(x), second.send(y))
        assert first.owns(result)
        np.testing.assert_array_equal(first.host(result), plain)


@pytest.mark.parametrize("position", range(3), ids=["input", "target", "weight"])
def test_host_and_device_are_not_mixed_in_silence(arrays, position):
    arguments = [arrays.send(np.ones(3)) for _ in range(3)]
    arguments[position] = np.ones(3)
    with pytest.raises(TypeError, match="cuda:0.*copy one of them, or say device=") as error:
        fl.SmoothL1Loss()(*arguments)
    assert f"{('input', 'target', 'weight')[position]} " in str(error.value)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_device_cuda_takes_arrays_of_the_host_and_gives_them_back(reduction):
    x, y = (a.reshape(100, 100) for a in pair(10_000, np.float32))
    loss = fl.SmoothL1Loss(reduction=reduction)
    calls = {
        "value": loss(x, y, device="cuda"),
        "grad": loss.grad(np.asfortranarray(x), np.asfortranarray(y), device="cuda:0"),
        "hess": loss.grad_and_hess(x, y, device="cuda")[1],
    }
    of_the_cpu = all_outputs(loss, x, y)
    for name, found in calls.items():
        assert type(found) is type(of_the_cpu[name])
        assert_close(found, of_the_cpu[name], np.float32, name, times=2)
    assert fl.SmoothL1Loss()([3.0, 0.5], [0.0, 0.0], device="cuda") == 1.3125


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_device_cpu_fetches_arrays_and_gives_those_of_numpy(arrays, reduction):
    x, y = pair(10_000, np.float32)
    loss = fl.SmoothL1Loss(reduction=reduction)
    of_the_cpu = all_outputs(loss, x, y)
    x, y = arrays.send(x), arrays.send(y)
    value, grad = loss.value_and_grad(x, y, device="cpu")
    assert type(grad) is np.ndarray
    np.testing.assert_array_equal(value, of_the_cpu["value"])
    np.testing.assert_array_equal(grad, of_the_cpu["grad"])


def test_device_cuda_takes_a_mix(arrays):
    x, y = pair(10_000, np.float32)
    result = fl.L1Loss().grad(arrays.send(x), y, device="cuda")
    assert arrays.owns(result)
    np.testing.assert_array_equal(arrays.host(result), fl.L1Loss().grad(x, y))


def test_out_on_the_host_is_refused_for_arrays_of_the_device(arrays):
    x = arrays.send(np.ones(3))
    with pytest.raises(TypeError, match="out must be an array on cuda:0"):
        fl.L1Loss().grad(x, x, out=np.ones(3))


def test_another_device_than_the_first(arrays):
    if arrays.count_devices() < 2:
        pytest.skip("one device only")
    x, y = pair(100_003, np.float32)
    loss = fl.SmoothL1Loss()
    on_first = outputs(arrays, loss, x, y)
    x_there, y_there = arrays.send(x, 1), arrays.send(y, 1)
    results = all_outputs(loss, x_there, y_there)
    assert arrays.index(results["grad"]) == 1
    for name, found in arrays.all_to_host(results).items():
        np.testing.assert_array_equal(found, on_first[name], err_msg=name)
    with pytest.raises(TypeError, match="cuda:0.*cuda:1|cuda:1.*cuda:0"):
        loss(arrays.send(x), y_there)


@pytest.mark.parametrize("method", ["value", "grad"])
def test_a_result_that_has_no_room_is_a_memory_error_and_changes_nothing(arrays, method):
    from numba import cuda

    size = 2 * cuda.current_context().get_memory_info().total // 8
    one = arrays.send(np.array([3.0]))
    x = arrays.view(one, 0, (size,), (0,))
    loss = fl.L1Loss(reduction="none")
    with pytest.raises(MemoryError, match=rf"no room on cuda:0 for a float64 array.*{size}"):
        loss(x, x) if method == "value" else loss.grad(x, x)
    assert arrays.host(one) == 3.0
    again = arrays.send(np.array([1.0]))
    assert loss(one, again, out=again) is again
    assert arrays.host(again) == 2.0


def test_tensors_that_record_gradients_are_refused_with_the_way_out():
    x = KINDS["torch"]().send(np.ones(3)).requires_grad_()
    with pytest.raises(TypeError, match="input requires grad.*detach.*fastloss.torch"):
        fl.SmoothL1Loss()(x, x)

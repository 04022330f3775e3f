"""The same numbers as torch 2.13: pinned ones everywhere, torch itself where it is installed."""

import json
import math

import numpy as np
import pytest

import fastloss as fl
from tests.pin_torch import INPUTS, PINNED, TARGETS, cases, key
from tests.registry import DTYPES, REDUCTIONS

CASES = [(*loss, reduction, dtype) for loss, reduction, dtype in cases()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: key(*case))
def test_agrees_with_the_numbers_of_torch(case):
    name, parameters, reduction, dtype = case
    expected = json.loads(PINNED.read_text())[key(*case)]
    loss = getattr(fl, name)(reduction=reduction, **parameters)
    x, y = np.array(INPUTS, dtype), np.array(TARGETS, dtype)
    rtol = 4 * float(np.finfo(dtype).eps)
    value, grad = loss.value_and_grad(x, y)
    np.testing.assert_allclose(value, expected["value"], rtol=rtol)
    np.testing.assert_allclose(grad, expected["grad"], rtol=rtol)
    np.testing.assert_allclose(loss(x, y), expected["value"], rtol=rtol)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed; its numbers are pinned")


@pytest.mark.parametrize("name", ["SmoothL1Loss", "HuberLoss", "L1Loss", "MSELoss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch_on_random_arrays(torch, name, reduction, dtype):
    rng = np.random.default_rng(0)
    x, y = (3 * rng.standard_normal((2, 40, 50))).astype(dtype)
    theirs = torch.tensor(x, requires_grad=True)
    value = getattr(torch.nn, name)(reduction=reduction)(theirs, torch.tensor(y))
    value.sum().backward()
    loss = getattr(fl, name)(reduction=reduction)
    rtol = 2000 * float(np.finfo(dtype).eps) if reduction != "none" else 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss(x, y), value.detach().numpy(), rtol=rtol)
    np.testing.assert_allclose(loss.grad(x, y), theirs.grad.numpy(), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shapes", [((3, 1), (3, 4)), ((4,), (3, 4)), ((), (5,)), ((3, 4), (4,))])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_broadcasts_as_torch_does(torch, shapes, reduction):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape) for shape in shapes)
    theirs = torch.tensor(x, requires_grad=True)
    value = torch.nn.SmoothL1Loss(reduction=reduction)(theirs, torch.tensor(y))
    value.sum().backward()
    loss = fl.SmoothL1Loss(reduction=reduction)
    np.testing.assert_allclose(loss(x, y), value.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(loss.grad(x, y), theirs.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize("name", ["SmoothL1Loss", "HuberLoss", "L1Loss", "MSELoss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_agree_with_torch_over_the_whole_exponent_range(torch, name, reduction, dtype):
    info = np.finfo(dtype)
    x = (1.7 * 2.0 ** np.arange(info.minexp, info.maxexp)).astype(dtype)
    x = np.concatenate([x, -x])
    theirs = torch.tensor(x, requires_grad=True)
    getattr(torch.nn, name)(reduction=reduction)(theirs, torch.zeros_like(theirs)).sum().backward()
    gradient = getattr(fl, name)(reduction=reduction).grad(x, np.zeros_like(x))
    np.testing.assert_allclose(
        gradient, theirs.grad, rtol=2 * info.eps, atol=2 * info.smallest_subnormal
    )


@pytest.mark.parametrize("residual", [math.inf, -math.inf, math.nan, 0.0, 1.0, -1.0])
def test_agrees_with_torch_at_special_residuals(torch, residual):
    for name in ("SmoothL1Loss", "HuberLoss"):
        theirs = torch.tensor([residual], dtype=torch.float64, requires_grad=True)
        value = getattr(torch.nn, name)()(theirs, torch.zeros(1, dtype=torch.float64))
        value.backward()
        loss = getattr(fl, name)()
        np.testing.assert_equal(loss([residual], [0.0]), value.item())
        np.testing.assert_equal(loss.grad([residual], [0.0]), theirs.grad.numpy())


def test_differs_from_torch_where_that_overflows_or_loses_nan(torch):
    x, y = torch.tensor([1e20]), torch.zeros(1)
    assert torch.nn.functional.smooth_l1_loss(x, y, beta=1e30).item() == math.inf
    assert fl.smooth_l1_loss(x.numpy(), y.numpy(), beta=1e30) == pytest.approx(5e9, rel=1e-6)
    nan = torch.tensor([math.nan], requires_grad=True)
    torch.nn.functional.l1_loss(nan, y).backward()
    assert nan.grad.item() == 0
    assert math.isnan(fl.L1Loss().grad([math.nan], [0.0])[0])


def test_host_tensors_are_taken_without_a_copy_and_given_back_as_tensors(torch):
    x, y = torch.tensor([3.0, 0.5]), torch.zeros(2)
    assert fl.SmoothL1Loss()(x, y) == 1.3125
    elements = fl.SmoothL1Loss(reduction="none")(x, y)
    assert torch.equal(elements, torch.nn.functional.smooth_l1_loss(x, y, reduction="none"))
    value, gradient = fl.SmoothL1Loss().value_and_grad(x, y.numpy())
    assert value == 1.3125
    assert torch.equal(gradient, torch.tensor([0.5, 0.25]))
    out = torch.empty(2)
    assert fl.SmoothL1Loss().grad(x, y, out=out) is out
    assert torch.equal(out, gradient)
    zero_dim = fl.SmoothL1Loss(reduction="none")(x[0], y[0])
    assert torch.equal(zero_dim, torch.tensor(2.5))


def test_tensors_that_record_gradients_are_refused_with_the_way_out(torch):
    x = torch.tensor([3.0, 0.5], requires_grad=True)
    with pytest.raises(TypeError, match="input requires grad.*detach.*fastloss.torch"):
        fl.SmoothL1Loss()(x, torch.zeros(2))


def test_a_device_may_be_named_by_torch(torch):
    x = torch.tensor([3.0, 0.5])
    assert fl.SmoothL1Loss()(x, 0.0, device=torch.device("cpu")) == 1.3125
    with pytest.raises(ValueError, match="device must be None, 'cpu', 'cuda' or 'cuda:N'"):
        fl.SmoothL1Loss()(x, 0.0, device=torch.device("meta"))


def test_tensors_without_memory_are_refused(torch):
    with pytest.raises(TypeError, match="input must live on the CPU or a CUDA device"):
        fl.SmoothL1Loss()(torch.zeros(3, device="meta"), 0.0)

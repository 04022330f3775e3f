"""fastloss.torch on CUDA tensors: values and derivatives of torch, and nothing that waits."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import fastloss.torch as ft
from tests.gpu import slow
from tests.gpu.arrays import KINDS
from tests.registry import REDUCTIONS
from tests.test_torch_autograd import DTYPES, FORMULAS, NAMES, SHAPES, smooth_points, step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Using a target size"),
]

DEVICE = "cuda"

every_formula = pytest.mark.parametrize("formula", FORMULAS, ids=repr)
every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
every_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def tensors(_on_a_gpu):
    return KINDS["torch"]()


def pair(size, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, y = 2 * torch.randn(2, size, generator=generator)
    return x.to(DEVICE, dtype), y.to(DEVICE, dtype)


def leaves(shapes):
    """Tensors whose residuals lie apart from the kinks, each a leaf on the device."""
    return [
        None if t is None else t.detach().to(DEVICE).requires_grad_() for t in smooth_points(shapes)
    ]


@every_name
@every_reduction
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [1, 5, 2000, 100_003])
def test_value_and_gradient_are_those_of_torch(name, reduction, dtype, size):
    x, y = pair(size, dtype)
    ours = step(getattr(ft, name)(reduction=reduction), x, y)
    wide = torch.promote_types(dtype, torch.float64)
    theirs = step(getattr(torch.nn, name)(reduction=reduction), x.to(wide), y.to(wide))
    rtol = 8 * torch.finfo(dtype).eps
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        assert a.device == x.device
        atol = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
        torch.testing.assert_close(a, b.to(dtype), rtol=rtol, atol=atol)


@every_formula
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_gradients_are_derivatives_of_the_value(formula, reduction, shapes):
    assert torch.autograd.gradcheck(ft.Loss(formula, reduction), leaves(shapes))


@every_formula
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_curvatures_are_derivatives_of_the_gradient(formula, reduction, shapes):
    assert torch.autograd.gradgradcheck(ft.Loss(formula, reduction), leaves(shapes))


@every_name
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_computes_in_float32_as_torch_does(name, dtype):
    x, y = pair(1000, dtype)
    x.requires_grad_()
    with torch.autocast(DEVICE, dtype=dtype):
        value = getattr(ft, name)()(x, y)
        torch.testing.assert_close(value, getattr(torch.nn, name)()(x, y))
    assert value.dtype == torch.float32
    value.backward()
    assert x.grad.dtype == dtype


def test_tensors_on_two_devices_are_refused():
    x, y = pair(10)
    with pytest.raises(ValueError, match="input and target must be on one device"):
        ft.SmoothL1Loss()(x, y.cpu())


@every_reduction
def test_a_training_step_waits_for_nothing(tensors, reduction):
    x, y = pair(slow.SIZE)
    other = torch.zeros_like(x)
    loss = ft.SmoothL1Loss(reduction=reduction)
    slow.compile_for(other)
    with tensors.stream() as address:
        tensors.synchronize()
        wanted = step(loss, x, y)
        del wanted
        torch.cuda.synchronize()
        end = slow.fill(other, np.float32(0), address)
        with tensors.waiting_is_an_error():
            value, gradient = step(loss, x, y)
        assert not end.query()
    torch.cuda.synchronize()
    again, same = step(loss, x, y)
    assert torch.equal(value, again)
    assert torch.equal(gradient, same)


def test_a_total_of_float16_is_rounded_once():
    x = torch.full((5000,), 3.0, dtype=torch.float16, device=DEVICE)
    value = ft.L1Loss(reduction="sum")(x, torch.zeros_like(x))
    assert value.item() == 15_000.0

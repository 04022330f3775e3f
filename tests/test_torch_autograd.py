"""fastloss.torch: values, gradients and errors as torch.nn gives them, in one pass over memory."""

import copy
import inspect
import itertools
import math
import os
import pickle
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import fastloss as fl
import fastloss.torch as ft
from fastloss.formulas import L1, Huber, SmoothL1, SquaredError
from tests.formulas import PseudoHuber, Tilted
from tests.registry import REDUCTIONS

NAMES = ["SmoothL1Loss", "HuberLoss", "L1Loss", "MSELoss"]
FUNCTIONS = ["smooth_l1_loss", "huber_loss", "l1_loss", "mse_loss"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Input, target and weight; they meet in the same residuals, or in more than either has.
SHAPES = [
    ((6,), (6,), None),
    ((6,), (6,), (6,)),
    ((2, 3), (3,), (2, 1)),
    ((2, 1), (1, 3), None),
    ((3,), (2, 3), ()),
    ((), (4,), (4,)),
]


FORMULAS = [SmoothL1(0.7), SmoothL1(0.0), Huber(0.7), L1(), SquaredError(), PseudoHuber(), Tilted()]

every_formula = pytest.mark.parametrize("formula", FORMULAS, ids=repr)
every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
every_name = pytest.mark.parametrize("name", NAMES)
broadcasting = pytest.mark.filterwarnings("ignore:Using a target size")


def smooth_points(shapes):
    """Tensors whose residuals lie apart from 0 and from 0.7, where a loss has a kink."""
    x_shape, y_shape, w_shape = shapes
    generator = torch.Generator().manual_seed(0)
    for _ in range(1000):
        x, y = (
            2 * torch.randn(shape, dtype=torch.float64, generator=generator)
            for shape in (x_shape, y_shape)
        )
        r = (x - y).abs()
        if min(r.min(), (r - 0.7).abs().min()) > 0.02:
            break
    else:
        raise AssertionError
    w = None if w_shape is None else torch.rand(w_shape, dtype=x.dtype, generator=generator) + 0.5
    return [t if t is None else t.requires_grad_() for t in (x, y, w)]


def pair(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, y = 2 * torch.randn(2, *shape, generator=generator)
    return x.to(dtype).requires_grad_(), y.to(dtype)


def step(loss, x, y):
    """Give value and gradient; the value's own gradient is not 1, as under a model or a scale."""
    x = x.detach().requires_grad_()
    value = loss(x, y)
    (3 * value).sum().backward()
    return value.detach(), x.grad


@pytest.fixture
def calls(monkeypatch):
    """The kernels' methods that were called, in order."""
    seen = []
    for name in ("__call__", "grad", "value_and_grad", "grad_and_hess"):
        monkeypatch.setattr(fl.Loss, name, _recorded(seen, name, getattr(fl.Loss, name)))
    return seen


def _recorded(seen, name, method):
    def record(*arguments, **options):
        seen.append(name)
        return method(*arguments, **options)

    return record


# Agreement with torch


@every_name
@every_reduction
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_value_and_gradient_are_those_of_torch(name, reduction, dtype):
    x, y = pair(40, 50, dtype=dtype)
    ours = step(getattr(ft, name)(reduction=reduction), x, y)
    # Half precision is rounded at the end alone, so the oracle is torch in float32.
    wide = torch.promote_types(dtype, torch.float32)
    theirs = step(getattr(torch.nn, name)(reduction=reduction), x.to(wide), y.to(wide))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b.to(dtype), rtol=8 * torch.finfo(dtype).eps, atol=0)


@broadcasting
@every_name
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasts_as_torch_does(name, reduction, shapes):
    x, y, _ = smooth_points(shapes)
    for a, b in zip(
        step(getattr(ft, name)(reduction=reduction), x, y),
        step(getattr(torch.nn, name)(reduction=reduction), x, y),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)


def test_sizes_that_differ_are_warned_of_as_by_torch():
    with pytest.warns(UserWarning, match="Using a target size"):
        ft.l1_loss(torch.ones(2, 3), torch.ones(3))


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss"])
@every_reduction
def test_weights_are_those_of_torch(name, reduction):
    x, y, w = smooth_points(((6,), (6,), (6,)))
    ours = getattr(ft, name)(x, y, reduction=reduction, weight=w)
    theirs = getattr(torch.nn.functional, name)(x, y, reduction=reduction, weight=w)
    torch.testing.assert_close(ours, theirs)


def test_the_weighted_mean_of_huber_is_divided_by_the_weights_too():
    x, y, w = smooth_points(((6,), (6,), (6,)))
    ours = ft.huber_loss(x, y, weight=w)
    theirs = torch.nn.functional.huber_loss(x, y, reduction="sum", weight=w) / w.sum()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_the_arguments_of_torch_at_their_places(name):
    ours = inspect.signature(getattr(ft, name)).parameters.values()
    theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters.values()
    places = [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY]
    assert places == [(p.name, p.default) for p in theirs]
    assert "weight" in [p.name for p in ours]


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float32, torch.int64)])
def test_dtypes_promote_and_each_gradient_has_its_own(dtypes):
    x, y = torch.tensor([3.0], dtype=dtypes[0]), torch.tensor([1], dtype=dtypes[1])
    for a, b in ((x, y), (y, x)):
        leaves = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in (a, b)]
        value = ft.mse_loss(*leaves)
        assert value.dtype == torch.nn.functional.mse_loss(*leaves).dtype
        value.backward()
        assert all(leaf.grad is None or leaf.grad.dtype == leaf.dtype for leaf in leaves)
        assert any(leaf.grad is not None for leaf in leaves)


@every_name
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_computes_in_float32_as_torch_does(name, dtype):
    x, y = pair(50, dtype=dtype)
    with torch.autocast("cpu", dtype=dtype):
        value = getattr(ft, name)()(x, y)
        torch.testing.assert_close(value, getattr(torch.nn, name)()(x, y))
    assert value.dtype == torch.float32
    value.backward()
    assert x.grad.dtype == dtype


def test_a_loss_scale_keeps_gradients_of_float16_from_underflow():
    x = torch.full((1_000_000,), 0.3, dtype=torch.float16, requires_grad=True)
    (4096 * ft.SmoothL1Loss()(x, torch.zeros_like(x))).backward()
    expected = 4096 * x[0].item() / x.numel()  # unscaled, it would have three bits
    assert x.grad[0].item() == pytest.approx(expected, rel=1e-3)


# Derivatives, numerically


@broadcasting
@every_formula
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_gradients_are_derivatives_of_the_value(formula, reduction, shapes):
    leaves = smooth_points(shapes)
    assert torch.autograd.gradcheck(ft.Loss(formula, reduction), leaves)


@broadcasting
@every_formula
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_curvatures_are_derivatives_of_the_gradient(formula, reduction, shapes):
    leaves = smooth_points(shapes)
    assert torch.autograd.gradgradcheck(ft.Loss(formula, reduction), leaves)


@broadcasting
@every_formula
@every_reduction
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_a_gradient_that_can_be_differentiated_is_the_same(formula, reduction, shapes):
    leaves = smooth_points(shapes)
    value = 3 * ft.Loss(formula, reduction)(*leaves).sum()
    leaves = [leaf for leaf in leaves if leaf is not None]
    plain = torch.autograd.grad(value, leaves, retain_graph=True)
    recorded = torch.autograd.grad(value, leaves, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        assert b.requires_grad
        torch.testing.assert_close(a, b)


@every_reduction
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)], ids=str)
def test_gradients_go_where_they_are_wanted_alone(reduction, wanted):
    x, y, _ = smooth_points(((5,), (5,), None))
    full = torch.autograd.grad(ft.Loss(Tilted(), reduction)(x, y).sum(), (x, y))
    leaves = [t.detach().requires_grad_(want) for t, want in zip((x, y), wanted, strict=True)]
    ft.Loss(Tilted(), reduction)(*leaves).sum().backward()
    for leaf, gradient, want in zip(leaves, full, wanted, strict=True):
        assert torch.equal(leaf.grad, gradient) if want else leaf.grad is None


@every_reduction
def test_weights_alone_may_get_a_gradient(reduction):
    x, y, w = smooth_points(((5,), (5,), (5,)))
    full = torch.autograd.grad(ft.Loss(Tilted(), reduction)(x, y, w).sum(), w)[0]
    for create_graph in (False, True):
        value = ft.Loss(Tilted(), reduction)(x.detach(), y.detach(), w).sum()
        alone = torch.autograd.grad(value, w, create_graph=create_graph)[0]
        assert torch.equal(alone, full)


def test_a_third_derivative_is_refused():
    x, y, _ = smooth_points(((5,), (5,), None))
    first = torch.autograd.grad(ft.Loss(Tilted())(x, y), x, create_graph=True)[0]
    second = torch.autograd.grad((first**2).sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="differentiated twice"):
        second.sum().backward()


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch's own
@pytest.mark.parametrize(
    "use",
    [
        lambda loss, x, y: torch.func.vmap(loss)(x, y),
        lambda loss, x, y: torch.func.grad(loss)(x, y),
        lambda loss, x, y: torch.func.jvp(lambda a: loss(a, y), (x,), (y,)),
    ],
    ids=["vmap", "grad", "jvp"],
)
def test_function_transforms_are_refused(use):
    x, y = pair(3, 4)
    with pytest.raises(RuntimeError, match="functorch transforms"):
        use(ft.SmoothL1Loss(), x.detach(), y)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch's own
@pytest.mark.parametrize("enabled", [True, False])
def test_forward_mode_is_refused(enabled):
    x, y = pair(4)
    forward = torch.autograd.forward_ad
    with torch.set_grad_enabled(enabled), forward.dual_level():
        dual = forward.make_dual(x.detach(), y)
        with pytest.raises(NotImplementedError, match="jvp"):
            ft.SmoothL1Loss()(dual, y)


# One pass each way


def test_the_forward_pass_computes_the_gradient_and_the_backward_pass_nothing(calls):
    x, y = pair(1000)
    value = ft.SmoothL1Loss()(x, y)
    assert calls == ["value_and_grad"]
    value.backward()
    assert calls == ["value_and_grad"]
    assert x.grad is not None


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_no_gradient_is_computed_where_none_can_be_asked_for(calls, context):
    x, y = pair(1000)
    with context():
        value = ft.SmoothL1Loss()(x, y)
    assert not value.requires_grad
    ft.SmoothL1Loss()(x.detach(), y)
    assert calls == ["__call__", "__call__"]


@every_reduction
def test_a_retained_graph_gives_the_same_gradient_again(reduction):
    x, y = pair(1000)
    value = ft.SmoothL1Loss(reduction=reduction)(x, y).sum()
    (first,) = torch.autograd.grad(value, x, retain_graph=True)
    expected = first.clone()
    first.fill_(math.nan)  # whoever asked owns the gradient
    for _ in range(2):
        (again,) = torch.autograd.grad(value, x, retain_graph=True)
        assert torch.equal(again, expected)


def test_gradients_accumulate_in_the_leaf():
    x, y = pair(1000)
    value = ft.SmoothL1Loss()(x, y)
    value.backward(retain_graph=True)
    once = x.grad.clone()
    value.backward()
    ft.SmoothL1Loss()(x, y).backward()
    torch.testing.assert_close(x.grad, 3 * once)


def test_one_tensor_on_two_paths_gets_both_gradients():
    x, y = pair(1000)
    (ft.SmoothL1Loss()(x, y) + ft.SmoothL1Loss()(x + 0, y)).backward()
    (once,) = torch.autograd.grad(ft.SmoothL1Loss()(x, y), x)
    torch.testing.assert_close(x.grad, 2 * once)


def test_a_graph_that_is_not_retained_is_gone():
    x, y = pair(5)
    value = ft.SmoothL1Loss()(x, y)
    value.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()


def test_the_gradient_becomes_the_leaf_s_without_a_copy(monkeypatch):
    given = []
    inner = ft.autograd._value_and_grad
    monkeypatch.setattr(
        ft.autograd, "_value_and_grad", lambda *a: given.append(inner(*a)) or given[-1]
    )
    x, y = pair(1000)
    value = ft.SmoothL1Loss()(x, y)
    address = given.pop()[1].data_ptr()
    value.backward()
    assert x.grad.data_ptr() == address


# Tensors of every kind


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.transpose(0, 2),
        lambda x: x[:, ::2],
        lambda x: x.flip(1)[..., 1:],
        lambda x: x[None].to(memory_format=torch.channels_last),
        lambda x: x[0, 0, 0],
        lambda x: x[:0],
        lambda x: torch.complex(x, -x).conj().imag,
        lambda x: torch.nn.Parameter(x),
    ],
    ids=[
        "transposed",
        "strided",
        "offset",
        "channels last",
        "0-d",
        "empty",
        "negated",
        "parameter",
    ],
)
@every_reduction
@pytest.mark.filterwarnings("ignore:mean of no elements")
def test_layouts_change_nothing(layout, reduction):
    x, y = (layout(t.detach()) for t in pair(3, 4, 5))
    for a, b in zip(
        step(ft.HuberLoss(reduction=reduction), x, y),
        step(torch.nn.HuberLoss(reduction=reduction), x, y),
        strict=True,
    ):
        torch.testing.assert_close(a, b, equal_nan=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], torch.ones(1)), TypeError, "input must be a torch.Tensor, got list"),
        ((torch.ones(1), 0.0), TypeError, "target must be a torch.Tensor, got float"),
        ((torch.ones(1), torch.ones(1), 2.0), TypeError, "weight must be a torch.Tensor"),
        ((torch.ones(2), torch.ones(3)), ValueError, r"input and target must broadcast.*\(2,\)"),
        ((torch.ones(2), torch.ones(2), torch.ones(3)), ValueError, "weight must broadcast"),
        ((torch.ones(2), torch.ones(2), torch.ones(2, 2)), ValueError, "weight must broadcast"),
        ((torch.ones(1) * 1j, torch.ones(1)), TypeError, "input must hold real numbers.*complex"),
        ((torch.arange(2), torch.arange(2)), TypeError, "floating-point numbers.*int64"),
        ((torch.ones(1), torch.ones(1, device="meta")), ValueError, "target must be on.*got meta"),
        ((torch.eye(2).to_sparse(), torch.eye(2)), TypeError, "input must be a dense tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_computed_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        ft.SmoothL1Loss()(*arguments)


class OnGpu(torch.Tensor):
    """A tensor that says it lives on a GPU and lies in the memory of the host."""

    __module__ = "torch"  # results are made as tensors, too
    is_cpu, is_cuda = False, True


class OnSecondGpu(OnGpu):
    device = torch.device("cuda:1")


def test_devices_that_differ_are_both_named():
    for name, weight in (("target", None), ("weight", torch.ones(1).as_subclass(OnSecondGpu))):
        target = torch.ones(1).as_subclass(OnSecondGpu) if weight is None else torch.ones(1)
        words = f"input and {name} must be on one device, got cpu and cuda:1"
        with pytest.raises(ValueError, match=words):
            ft.smooth_l1_loss(torch.ones(1), target, weight=weight)


@every_reduction
def test_numbers_of_a_gpu_are_not_waited_for(reduction, monkeypatch):
    """A total that goes to a tensor stays on the device."""
    slots = []
    for name, slot in (("__call__", "out"), ("value_and_grad", "total")):
        original = getattr(fl.Loss, name)

        def record(*arguments, original=original, slot=slot, **options):
            slots.append(options.get(slot))
            return original(*arguments, **options)

        monkeypatch.setattr(fl.Loss, name, record)
    x, y = (t.as_subclass(OnGpu) for t in pair(50))
    loss = ft.SmoothL1Loss(reduction=reduction)
    value = loss(x.detach(), y)
    with_gradient, gradient = step(loss, x, y)
    expected = step(loss, *pair(50))
    for found in (value, with_gradient):
        torch.testing.assert_close(found.as_subclass(torch.Tensor), expected[0])
    torch.testing.assert_close(gradient.as_subclass(torch.Tensor), expected[1])
    if reduction == "none":
        assert slots[:2] == [None, None]
    else:
        assert [(slot.shape, slot.dtype, slot.device) for slot in slots[:2]] == [
            ((), x.dtype, x.device)
        ] * 2


# Modules


@every_name
def test_modules_stand_in_for_those_of_torch(name):
    ours, theirs = getattr(ft, name)(), getattr(torch.nn, name)()
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    assert ours.state_dict() == theirs.state_dict() == {}
    assert ours.reduction == theirs.reduction
    for threshold in ("beta", "delta"):
        assert getattr(ours, threshold, None) == getattr(theirs, threshold, None)


@pytest.mark.parametrize(
    "loss",
    [
        ft.SmoothL1Loss(reduction="sum", beta=2.0),
        ft.HuberLoss("sum", 2.0),
        ft.L1Loss(reduction="none"),
        ft.MSELoss(),
        ft.Loss(Huber(2.0), "sum"),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_copies_are_the_same_loss(loss):
    x, y = pair(50)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(other(x, y), loss(x, y))
        assert repr(other) == repr(loss)


def test_attributes_can_be_changed_as_on_those_of_torch():
    x, y = pair(50)
    loss = ft.SmoothL1Loss()
    loss.reduction, loss.beta = "sum", 0.5
    torch.testing.assert_close(
        loss(x, y), torch.nn.functional.smooth_l1_loss(x, y, reduction="sum", beta=0.5)
    )


@pytest.mark.parametrize("name", ["SmoothL1Loss", "L1Loss", "MSELoss"])
@pytest.mark.parametrize("legacy", [(False, None), (None, False), (True, True)])
@pytest.mark.filterwarnings("ignore:size_average and reduce:UserWarning")
def test_deprecated_arguments_mean_what_they_did(name, legacy):
    with pytest.warns(DeprecationWarning, match="use reduction="):
        ours = getattr(ft, name)(*legacy)
    with pytest.warns(UserWarning, match="deprecated"):
        assert ours.reduction == getattr(torch.nn, name)(*legacy).reduction


def test_a_formula_of_ones_own_shows_in_the_repr():
    loss = ft.Loss(PseudoHuber(0.5), "sum")
    assert repr(loss) == "Loss(PseudoHuber(delta=0.5), reduction='sum')"
    assert (loss.formula, loss.reduction) == (PseudoHuber(0.5), "sum")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ft.SmoothL1Loss(beta=-1.0), ValueError, "beta must be >= 0"),
        (lambda: ft.SmoothL1Loss(beta="auto"), ValueError, "no threshold yet"),
        (lambda: ft.SmoothL1Loss("sum"), TypeError, "size_average must be a bool"),
        (lambda: ft.HuberLoss(delta=0.0), ValueError, "delta must be > 0"),
        (lambda: ft.L1Loss(reduction="max"), ValueError, "reduction must be"),
        (lambda: ft.Loss(Huber("auto")), ValueError, "no threshold yet"),
        (lambda: ft.Loss(1.0), TypeError, "formula must be an instance of a NamedTuple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arguments_are_refused_when_the_loss_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_a_compiled_model_runs_the_loss_outside_of_its_graphs():
    x, y = pair(50)
    expected = step(ft.SmoothL1Loss(), x, y)
    for a, b in zip(
        step(torch.compile(ft.SmoothL1Loss(), backend="eager"), x, y), expected, strict=True
    ):
        assert torch.equal(a, b)


def test_while_a_model_is_compiled_the_loss_is_kept_out_of_its_graph(monkeypatch):
    kept_out = []
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(torch.compiler, "disable", lambda f: kept_out.append(f) or f)
    x, y = pair(50)
    value = ft.smooth_l1_loss(x, y)
    assert kept_out == [ft.functional._evaluate]
    torch.testing.assert_close(value, torch.nn.functional.smooth_l1_loss(x, y))


def test_a_torch_that_cannot_be_imported_is_not_called_absent(tmp_path):
    (tmp_path / "torch.py").write_text("import part_of_torch")
    result = subprocess.run(
        [sys.executable, "-c", "import fastloss.torch"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode != 0
    assert result.stderr.endswith("ModuleNotFoundError: No module named 'part_of_torch'\n")


def test_without_torch_the_import_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; import fastloss, fastloss.torch"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode != 0
    assert 'ImportError: fastloss.torch needs PyTorch: pip install "fastloss[torch]"' in (
        result.stderr
    )


# Memory of gradients


@pytest.fixture
def large():
    """A prediction whose gradient's memory is worth keeping, and a step that gives it."""
    ft.release_memory()
    x, y = pair(1 << 19)

    def gradient(loss=None):
        x.grad = None
        (loss or ft.SmoothL1Loss())(x, y).backward()
        return x.grad

    yield x, gradient
    ft.release_memory()


def test_the_memory_of_a_gradient_that_was_dropped_is_used_again(large):
    _, gradient = large
    address = gradient().data_ptr()
    for _ in range(3):
        assert gradient().data_ptr() == address


@pytest.mark.parametrize(
    "hold",
    [
        lambda g: g,
        lambda g: g[10:20],
        lambda g: g.numpy(),
        lambda g: g.numpy()[::2],
        lambda g: memoryview(g.numpy()),
        lambda g: torch.utils.dlpack.to_dlpack(g),
        lambda g: g.untyped_storage(),
        lambda g: torch.nn.Parameter(g),
    ],
    ids=["itself", "slice", "array", "slice of array", "buffer", "capsule", "storage", "parameter"],
)
def test_memory_that_is_still_held_is_not_used_again(large, hold):
    _, gradient = large
    first = gradient()
    before, address = first.clone(), first.data_ptr()
    held = hold(first)
    del first
    second = gradient(ft.MSELoss())
    assert second.data_ptr() != address
    assert not torch.equal(second, before)
    del held


def test_gradients_of_several_losses_in_one_graph_do_not_meet(large):
    x, _ = large
    losses = [ft.SmoothL1Loss(), ft.MSELoss(), ft.L1Loss()]
    y = torch.zeros_like(x)
    values = [loss(x, y) for loss in losses]  # all forward passes before any backward
    gradients = [torch.autograd.grad(value, x)[0] for value in values]
    for loss, gradient in zip(losses, gradients, strict=True):
        assert torch.equal(gradient, torch.autograd.grad(loss(x, y), x)[0])


def test_threads_do_not_share_gradients(large):
    from concurrent.futures import ThreadPoolExecutor

    def step(seed):
        x = torch.full((1 << 19,), float(seed)).requires_grad_()
        ft.MSELoss(reduction="sum")(x, torch.zeros_like(x)).backward()
        return x.grad

    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for seed, gradient in enumerate(pool.map(step, range(8))):
                assert (gradient == 2 * seed).all()


def test_memory_order_of_permuted_tensors_stays(large):
    x = large[0].detach().reshape(1 << 9, 1 << 10).T.requires_grad_()
    y = torch.zeros_like(x)
    # Not backward(), in which torch puts a gradient into the order of its leaf.
    (gradient,) = torch.autograd.grad(ft.SmoothL1Loss()(x, y), x)
    assert gradient.stride() == x.stride()
    (theirs,) = torch.autograd.grad(torch.nn.SmoothL1Loss()(x, y), x)
    torch.testing.assert_close(gradient, theirs)


def test_released_memory_is_gone(large):
    from fastloss.torch import memory

    large[1]()
    assert memory.kept._vector.size == 1 << 19
    ft.release_memory()
    assert memory.kept._vector.size == 0


# What a recorded gradient is


def test_a_third_derivative_is_refused_not_forgotten():
    x, y = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True), torch.zeros(2)
    (g,) = torch.autograd.grad(ft.Loss(PseudoHuber(), "sum")(x, y.double()), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        ((h**2).sum() + (x**2).sum()).backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_of_a_mean_does_not_overflow_on_its_way(create_graph):
    x = torch.tensor([3e38, 0, 0, 0], requires_grad=True)
    (g,) = torch.autograd.grad(ft.mse_loss(x, torch.zeros(4)), x, create_graph=create_graph)
    torch.testing.assert_close(g.detach(), torch.tensor([1.5e38, 0, 0, 0]))
    weight = torch.tensor([1e-30, 1.0])
    x = torch.tensor([3e38, 1.0], requires_grad=True)
    value = ft.mse_loss(x, torch.zeros(2), reduction="none", weight=weight)
    (g,) = torch.autograd.grad(value, x, torch.ones(2), create_graph=create_graph)
    torch.testing.assert_close(g.detach(), torch.tensor([6e8, 2.0]))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtypes", list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_a_value_has_the_dtype_of_torchs(name, dtypes):
    x, y = (torch.tensor([1.0, 2.0], dtype=dtype) for dtype in dtypes)
    for reduction in REDUCTIONS:
        expected = getattr(torch.nn.functional, name)(x, y, reduction=reduction)
        assert getattr(ft, name)(x, y, reduction=reduction).dtype == expected.dtype


def permuted(*order):
    return torch.arange(24.0).reshape(2, 3, 4).permute(order)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_losses_keep_the_memory_order_as_those_of_torch_do(order):
    x, y = permuted(*order).requires_grad_(), permuted(*order) + 0.5
    ours, theirs = (f.smooth_l1_loss(x, y, reduction="none") for f in (ft, torch.nn.functional))
    assert ours.stride() == theirs.stride()
    torch.testing.assert_close(ours, theirs)
    weight = torch.rand(x.shape)
    (gradient,) = torch.autograd.grad((ours * weight).sum(), x)
    (expected,) = torch.autograd.grad((theirs * weight).sum(), x)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_mean_of_no_elements_is_nan_without_a_warning(name):
    x = torch.empty(0, requires_grad=True)
    value = getattr(ft, name)(x, torch.empty(0))
    value.backward()
    assert math.isnan(value.item())
    assert x.grad.shape == (0,)

import copy
import itertools
import math
import pickle
from typing import NamedTuple

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastloss as fl
from fastloss import arrays
from fastloss.formulas import FORMULAS, SmoothL1
from tests.registry import DTYPES, METHODS, REDUCTIONS, pair

ALL = [
    fl.SmoothL1Loss(),
    fl.SmoothL1Loss(beta=0.3, reduction="sum"),
    fl.SmoothL1Loss(beta="auto"),
    fl.HuberLoss(),
    fl.HuberLoss(delta=2.5, reduction="none"),
    fl.HuberLoss(delta=math.inf),
    fl.L1Loss(),
    fl.MSELoss(reduction="sum"),
    fl.Loss(SmoothL1(0.3)),
]


class NoMethods(NamedTuple):
    x: float = 1.0
    value = abs
    hess = abs
    grad = 5


class ClassMethod(NamedTuple):
    x: float = 1.0
    value = abs

    @classmethod
    def grad(cls, r):
        return r

    @staticmethod
    def hess(r):
        return r


class Count(NamedTuple):
    count: int
    value = abs
    grad = abs
    hess = abs


def call(loss, method, *arguments, **options):
    return (
        loss(*arguments, **options)
        if method == "value"
        else getattr(loss, method)(*arguments, **options)
    )


def test_worked_example_of_the_smooth_l1_loss():
    predictions, targets = [1.4, 2.1, 2.9], [1.5, 2.0, 3.0]
    assert fl.SmoothL1Loss()(predictions, targets) == pytest.approx(0.005, abs=1e-15)


# --- as objects


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_repr_makes_an_equal_loss(loss):
    names = {cls.__name__: cls for cls in FORMULAS} | {"inf": math.inf}
    again = eval(repr(loss), vars(fl) | names)
    assert again == loss
    assert type(again) is type(loss)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(loss, protocol):
    again = pickle.loads(pickle.dumps(loss, protocol))
    assert again == loss
    assert hash(again) == hash(loss)
    assert repr(again) == repr(loss)


def test_equal_only_if_class_formula_and_reduction_are():
    for a, b in itertools.combinations(ALL, 2):
        assert a != b
    assert fl.SmoothL1Loss(beta=1) == fl.SmoothL1Loss(beta=1.0)
    assert hash(fl.SmoothL1Loss(beta=1)) == hash(fl.SmoothL1Loss(beta=1.0))
    assert fl.SmoothL1Loss() != fl.HuberLoss()  # though their formulas are equal as tuples
    assert fl.SmoothL1Loss() != "SmoothL1Loss"


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_copies_are_equal(loss):
    assert copy.copy(loss) == loss
    assert copy.deepcopy(loss) == loss


class Named(fl.SmoothL1Loss):
    """What users put into a class of their own."""

    def __init__(self, name, beta):
        super().__init__(beta=beta)
        self.name = name


class Slotted(fl.Loss):
    __slots__ = ("name",)

    def __init__(self, name, beta):
        super().__init__(SmoothL1(beta))
        self.name = name


@pytest.mark.parametrize("cls", [Named, Slotted])
def test_copies_of_a_class_derived_from_a_loss_keep_its_attributes(cls):
    loss = cls("mine", 0.5)
    loss(np.ones(3), np.zeros(3))
    copies = [copy.copy(loss), copy.deepcopy(loss), *pickled(loss)]
    assert all(again == loss and again.name == "mine" for again in copies)
    assert {again([2.0], [0.0]) for again in copies} == {1.75}


def pickled(loss):
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    return [pickle.loads(pickle.dumps(loss, protocol)) for protocol in protocols]


def test_a_fit_gives_a_loss_of_the_same_class_with_its_attributes():
    X = np.arange(10.0)[:, None]
    result = fl.fit(X, X[:, 0] + np.tile([0.1, -0.1], 5), Named("mine", "auto"))
    assert type(result.loss) is Named
    assert result.loss.name == "mine"
    assert result.loss.beta == pytest.approx(1.345 * result.scale)


def test_attributes_are_those_of_torch_and_cannot_be_set():
    loss = fl.SmoothL1Loss(reduction="sum", beta=0.5)
    assert (loss.reduction, loss.beta) == ("sum", 0.5)
    assert fl.HuberLoss(delta=2).delta == 2.0
    with pytest.raises(AttributeError):
        loss.beta = 2.0
    with pytest.raises(AttributeError):
        loss.other = 2.0


def test_a_class_that_leaves_out_what_a_loss_is_is_told_so():
    class Forgetful(fl.Loss):
        def __init__(self):
            self.name = "mine"

    loss = Forgetful()
    for use in (lambda: loss(1.0, 2.0), lambda: repr(loss), lambda: loss.reduction):
        with pytest.raises(AttributeError, match=r"Forgetful.__init__ must call super\(\)"):
            use()
    assert loss.name == "mine"
    with pytest.raises(AttributeError, match="'L1Loss' object has no attribute 'other'"):
        _ = fl.L1Loss().other


# --- arguments of the constructors


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fl.SmoothL1Loss(beta=-1), ValueError, "beta must be >= 0, got -1.0"),
        (lambda: fl.SmoothL1Loss(beta=math.nan), ValueError, "beta must be >= 0, got nan"),
        (lambda: fl.HuberLoss(delta=0), ValueError, "delta must be > 0, got 0.0"),
        (lambda: fl.HuberLoss(delta=math.nan), ValueError, "delta must be > 0, got nan"),
        (lambda: fl.SmoothL1Loss(beta="1"), TypeError, "beta must be a real number or 'auto'"),
        (lambda: fl.SmoothL1Loss(beta=None), TypeError, "beta must be a real number, got None"),
        (lambda: fl.SmoothL1Loss(beta=[1.0]), TypeError, "beta must be a real number"),
        (lambda: fl.HuberLoss(delta=1j), TypeError, "delta must be a real number"),
        (lambda: fl.L1Loss(reduction="avg"), ValueError, "'none', 'mean' or 'sum', got 'avg'"),
        (lambda: fl.MSELoss(reduction=None), ValueError, "'none', 'mean' or 'sum', got None"),
        (lambda: fl.HuberLoss("max"), ValueError, "'none', 'mean' or 'sum', got 'max'"),
        (lambda: fl.SmoothL1Loss("sum"), TypeError, "size_average.*'sum'.*reduction='sum'"),
        (lambda: fl.L1Loss(None, "none"), TypeError, "reduce must be.*reduction='none'"),
        (lambda: fl.Loss(SmoothL1), TypeError, "an instance of a NamedTuple"),
        (lambda: fl.Loss(abs), TypeError, "an instance of a NamedTuple"),
        (lambda: fl.Loss((1.0,)), TypeError, "formula must have _fields, value, grad, hess"),
        (lambda: fl.SmoothL1Loss(beta=10**400), ValueError, "beta must be in the range of float64"),
        (lambda: fl.Loss(NoMethods()), TypeError, "formula must have grad as methods"),
        (lambda: fl.Loss(ClassMethod()), TypeError, "formula must have grad, hess as methods"),
        (lambda: fl.Loss(Count(2**64)), ValueError, "count must be an integer of 64 bits, got 184"),
        (lambda: fl.Loss(Count(-(2**63) - 1)), ValueError, "count must be an integer of 64 bits"),
        (lambda: fl.Loss(Count("3")), TypeError, "count must be a real number, got '3'"),
        (lambda: fl.Loss(Count(None)), TypeError, "count must be a real number, got None"),
        (lambda: fl.Loss(Count((1, 2))), TypeError, r"count must be a real number, got \(1, 2\)"),
        (
            lambda: fl.HuberLoss(delta=np.timedelta64(1, "s")),
            TypeError,
            "delta must be a real number",
        ),
        (lambda: fl.Loss(SmoothL1(-2.0)), ValueError, "beta must be >= 0, got -2.0"),
    ],
)
def test_bad_parameters_are_refused_when_the_loss_is_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("cls", [fl.SmoothL1Loss, fl.L1Loss, fl.MSELoss])
@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [
        (True, None, "mean"),
        (False, None, "sum"),
        (None, True, "mean"),
        (None, False, "none"),
        (True, False, "none"),
        (False, False, "none"),
        (True, True, "mean"),
        (False, True, "sum"),
    ],
)
def test_deprecated_arguments_override_with_a_warning(cls, size_average, reduce, reduction):
    with pytest.warns(DeprecationWarning, match=f"use reduction='{reduction}'") as caught:
        loss = cls(size_average, reduce, "sum")
    assert loss.reduction == reduction
    assert caught[0].filename == __file__


# --- shapes


def test_broadcast_input_gets_its_gradient_summed_back():
    rng = np.random.default_rng(0)
    target, weight = rng.standard_normal((5, 7)), rng.uniform(size=(5, 7))
    for shape in [(7,), (1, 7), (5, 1), (1, 1), (), (1,)]:
        input = rng.standard_normal(shape)
        full = np.ascontiguousarray(np.broadcast_to(input, (5, 7)))
        for reduction in REDUCTIONS:
            loss = fl.SmoothL1Loss(reduction=reduction)
            grad, hess = loss.grad_and_hess(input, target, weight)
            full_grad, full_hess = loss.grad_and_hess(full, target, weight)
            axes = tuple(i for i in range(2) if ((1,) * (2 - len(shape)) + shape)[i] == 1)
            for result, whole in ((grad, full_grad), (hess, full_hess)):
                assert result.shape == shape
                np.testing.assert_allclose(result, whole.sum(axis=axes).reshape(shape), rtol=1e-12)
            value, fused = loss.value_and_grad(input, target, weight)
            np.testing.assert_array_equal(fused, grad)
            np.testing.assert_array_equal(value, loss(full, target, weight))


def test_mean_divides_by_the_number_of_residuals():
    assert fl.L1Loss()(np.ones((3, 1)), np.zeros((3, 4))) == 1.0
    np.testing.assert_allclose(fl.L1Loss().grad(np.ones((3, 1)), np.zeros((3, 4))), 4 / 12)


def test_a_column_against_a_row_warns():
    with pytest.warns(UserWarning, match=r"\(3,\).*\(3, 1\).*\(3, 3\)") as caught:
        result = fl.L1Loss(reduction="none")(np.zeros(3), np.ones((3, 1)))
    assert result.shape == (3, 3)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((3,), (4,)), r"input and target must broadcast.*\(3,\) and \(4,\)"),
        (((2, 3), (3, 2)), r"input and target must broadcast.*\(2, 3\) and \(3, 2\)"),
        (((3,), (3,), (2,)), r"weight must broadcast.*\(3,\), got \(2,\)"),
        (((3,), (3,), (2, 3)), r"weight must broadcast.*\(3,\), got \(2, 3\)"),
        (((2**31, 1), (1, 2**33)), r"input and target must make at most \d+ residuals"),
    ],
)
def test_shapes_that_do_not_fit_are_named(method, shapes, words):
    with pytest.raises(ValueError, match=words):
        call(fl.SmoothL1Loss(), method, *(np.broadcast_to(1.0, shape) for shape in shapes))


def test_scalars_and_lists_are_taken():
    assert fl.SmoothL1Loss()(3, 1) == 1.5
    assert fl.SmoothL1Loss(reduction="none")(3.0, 1.0) == 1.5
    assert fl.SmoothL1Loss().grad([3.0], [1]).tolist() == [1.0]
    assert fl.SmoothL1Loss()(np.float32(3), np.float32(1)) == 1.5


# --- empty input


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_empty_input(shape):
    empty = np.empty(shape)
    assert fl.SmoothL1Loss(reduction="none")(empty, empty).shape == shape
    assert fl.SmoothL1Loss(reduction="sum")(empty, empty) == 0.0
    assert fl.SmoothL1Loss().grad(empty, empty).shape == shape
    with pytest.warns(RuntimeWarning, match="mean of no elements"):
        assert math.isnan(fl.SmoothL1Loss()(empty, empty))
    with pytest.warns(RuntimeWarning, match="mean of no elements"):
        assert math.isnan(fl.SmoothL1Loss().value_and_grad(empty, empty, empty)[0])


@pytest.mark.parametrize(("input", "target"), [((1,), (0,)), ((), (0,)), ((3, 1), (3, 0))])
def test_an_input_broadcast_to_nothing_has_the_gradient_zero(input, target):
    out = np.ones(input), np.ones(input)
    fl.L1Loss(reduction="sum").grad_and_hess(np.ones(input), np.ones(target), out=out)
    np.testing.assert_array_equal(out, np.zeros((2, *input)))


# --- dtypes


@pytest.mark.parametrize(
    ("input", "target", "result"),
    [
        (np.float32, np.float32, np.float32),
        (np.float64, np.float64, np.float64),
        (np.float32, np.float64, np.float64),
        (np.float16, np.float16, np.float16),
        (np.float16, np.float32, np.float32),
        (np.int32, np.int32, np.float64),
        (np.int8, np.uint8, np.float64),
        (np.bool_, np.bool_, np.float64),
        (np.int32, np.float32, np.float64),
        (np.int8, np.float32, np.float32),
    ],
)
def test_dtypes_promote_as_numpy_does(input, target, result):
    x, y = np.array([0, 1, 1], input), np.array([1, 1, 0], target)
    loss = fl.SmoothL1Loss(reduction="none")
    outputs = loss(x, y), loss.grad(x, y), *loss.value_and_grad(x, y), *loss.grad_and_hess(x, y)
    assert {output.dtype.type for output in outputs} == {result}
    assert loss(x, y).tolist() == [0.5, 0.0, 0.5]


def test_python_numbers_and_weights_promote_weakly_or_not():
    x = np.ones(3, np.float32)
    loss = fl.SmoothL1Loss(reduction="none")
    assert loss(x, 0).dtype == loss(x, 0.5).dtype == loss(x, x, 2.0).dtype == np.float32
    assert loss(x, np.float64(0.5)).dtype == loss(x, x, np.ones(3)).dtype == np.float64


def test_float16_is_computed_in_float32():
    x = np.array([200.0, 300.0], np.float16)
    loss = fl.MSELoss()
    assert loss(x, np.zeros_like(x)) == (200.0**2 + 300.0**2) / 2  # 65,504 is float16's largest
    assert fl.MSELoss(reduction="none")(x, np.zeros_like(x)).tolist() == [40000.0, math.inf]


def test_float16_equals_float32_rounded_for_every_bit_pattern():
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    loss = fl.SmoothL1Loss(reduction="none", beta=0.3)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = loss(x.astype(np.float32), np.zeros(1, np.float32)).astype(np.float16)
    np.testing.assert_array_equal(loss(x, np.float16(0)), wide)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("position", [0, 1, 2], ids=["input", "target", "weight"])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.ones(3, complex), TypeError),
        (np.ones(3, object), TypeError),
        (np.array(["a", "b", "c"]), TypeError),
        ([1.0, "b", 2.0], TypeError),
        (np.ones(3, "datetime64[s]"), TypeError),
        (np.ones(3, [("a", float)]), TypeError),
        (np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]), TypeError),
        ([[1.0], [1.0, 2.0]], ValueError),
        ({1.0, 2.0}, TypeError),
        (10**400, TypeError),
    ],
    ids=lambda v: None if isinstance(v, type) else str(v)[:20],
)
def test_what_holds_no_real_numbers_is_refused_by_name(method, position, bad, error):
    arguments = [np.ones(3), np.ones(3), np.ones(3)]
    arguments[position] = bad
    with pytest.raises(error, match=("input", "target", "weight")[position]):
        call(fl.SmoothL1Loss(), method, *arguments)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_double_is_refused():
    with pytest.raises(TypeError, match="input must hold real numbers of at most 64 bits"):
        fl.SmoothL1Loss()(np.ones(3, np.longdouble), np.ones(3))


def test_an_object_that_fails_to_become_an_array_is_named():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise KeyError("boo")

    with pytest.raises(TypeError, match="weight must be an array of real numbers.*boo"):
        fl.SmoothL1Loss()([1.0], [1.0], Broken())


def test_parameters_beyond_float32_are_taken_as_infinite_or_zero():
    x = np.array([3.0], np.float32)
    assert fl.HuberLoss(delta=1e308)(x, x - 2) == 2.0
    assert fl.SmoothL1Loss(beta=1e-300)(x, x - 2) == 2.0
    assert fl.Loss(SmoothL1(10**30))(x, x) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [10, 70_000])
def test_a_mean_is_finite_where_the_gradients_it_divides_are_not(dtype, size):
    largest = np.finfo(dtype).max
    x, y = np.full(size, 0.9 * largest, dtype), np.zeros(size, dtype)
    expected = np.full(size, 0.9 * float(largest) / size * 2)
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(fl.MSELoss().grad(x, y), expected, rtol=rtol)
    assert np.isinf(fl.MSELoss(reduction="sum").grad(x, y)).all()
    heavy = np.full(size, 1e30, dtype)  # times the residual, beyond float32
    for loss in (fl.MSELoss(), fl.HuberLoss(delta=math.inf)):
        np.testing.assert_allclose(loss.grad(x, y, heavy), loss.grad(x, y), rtol=rtol)
        np.testing.assert_allclose(
            loss.grad_and_hess(x, y, heavy)[1], loss.grad_and_hess(x, y)[1], rtol=rtol
        )


def test_none_is_no_array():
    with pytest.raises(TypeError, match="target must hold real numbers.*NoneType"):
        fl.SmoothL1Loss()(np.ones(3), None)


# --- out


def test_a_total_may_be_written_where_the_caller_wants_it():
    x, y = pair(1000, np.float64)
    loss = fl.SmoothL1Loss()
    total = np.empty(())
    value, grad = loss.value_and_grad(x, y, total=total)
    assert value is total
    assert total == loss(x, y)
    np.testing.assert_array_equal(grad, loss.grad(x, y))
    with pytest.raises(ValueError, match="total must be None with the reduction 'none'"):
        fl.SmoothL1Loss(reduction="none").value_and_grad(x, y, total=total)
    with pytest.raises(ValueError, match=r"total must have the shape \(\), got \(1,\)"):
        loss.value_and_grad(x, y, total=np.empty(1))
    with pytest.raises(ValueError, match="out and total must not share memory"):
        loss.value_and_grad(x[:1], y[:1], out=grad[:1], total=grad[0:1].reshape(()))
    with pytest.raises(TypeError, match="total must be a NumPy array"):
        loss.value_and_grad(x, y, total=1.0)


def test_out_may_be_an_input_itself():
    for position in range(3):
        arguments = [*pair(40_000, np.float64), np.linspace(0, 1, 40_000)]
        loss = fl.SmoothL1Loss()
        value, grad = loss.value_and_grad(*arguments)
        again, same = loss.value_and_grad(*arguments, out=arguments[position])
        assert same is arguments[position]
        assert again == value
        np.testing.assert_array_equal(same, grad)


@pytest.mark.parametrize("strided", [False, True])
def test_out_that_overlaps_partly_is_refused(strided):
    memory = np.zeros(30)
    x, y, out = (
        (memory[:20:2], memory[1:21:2], memory[2:22:2])
        if strided
        else (
            memory[:10],
            memory[15:25],
            memory[5:15],
        )
    )
    with pytest.raises(ValueError, match="out must not overlap input partly"):
        fl.SmoothL1Loss().grad(x, np.zeros(10), out=out)
    with pytest.raises(ValueError, match="out must not overlap target partly"):
        fl.SmoothL1Loss().grad(np.zeros(10), x, out=out)
    interleaved = np.zeros(20)
    fl.SmoothL1Loss().grad(interleaved[::2], y, out=interleaved[1::2])


def test_out_of_a_broadcast_input_may_be_the_input():
    x, y = np.array([[1.0], [2.0]]), np.zeros((2, 5))
    expected = fl.MSELoss().grad(x, y)
    np.testing.assert_array_equal(fl.MSELoss().grad(x, y, out=x), expected)


def test_two_outputs_must_not_share_memory():
    x = np.ones(5)
    memory = np.empty(8)
    with pytest.raises(ValueError, match=r"out\[0\] and out\[1\] must not share memory"):
        fl.SmoothL1Loss().grad_and_hess(x, x, out=(memory[:5], memory[3:]))


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.empty(4), ValueError, r"out must have the shape \(3,\), got \(4,\)"),
        (np.empty((3, 1)), ValueError, r"out must have the shape \(3,\), got \(3, 1\)"),
        (np.empty(3, int), TypeError, "out must have a dtype that float64 casts to, got int64"),
        (np.empty(3, complex), TypeError, "out must have a dtype"),
        ([0.0, 0.0, 0.0], TypeError, "out must be a NumPy array or None, got list"),
        (np.broadcast_to(np.zeros(1), 3), ValueError, "out must be writeable"),
        (as_strided(np.zeros(1), (3,), (0,)), ValueError, "out must not overlap itself"),
        (as_strided(np.zeros(4), (3,), (4,)), ValueError, "out must not overlap itself"),
        (np.ma.zeros(3), TypeError, "out must be a NumPy array or None, got numpy.ma"),
    ],
)
def test_out_that_cannot_take_the_result_is_refused(out, error, words):
    x = np.ones(3)
    for method in ("grad", "value_and_grad"):
        with pytest.raises(error, match=words):
            getattr(fl.SmoothL1Loss(), method)(x, x, out=out)
    with pytest.raises(error, match=words):
        fl.SmoothL1Loss(reduction="none")(x, x, out=out)


@pytest.mark.parametrize("out", [np.empty(3), (np.empty(3),), "ab"])
def test_out_of_grad_and_hess_is_a_pair(out):
    with pytest.raises(TypeError, match="out"):
        fl.SmoothL1Loss().grad_and_hess(np.ones(3), np.ones(3), out=out)


def test_out_of_another_precision_gets_the_result_cast():
    x, y = pair(1000, np.float64)
    out = np.empty(1000, np.float32)
    grad = fl.SmoothL1Loss(reduction="sum").grad(x, y)
    np.testing.assert_array_equal(
        fl.SmoothL1Loss(reduction="sum").grad(x, y, out=out), grad.astype(np.float32)
    )


def test_an_out_whose_axes_meet_overlaps_itself():
    x = np.ones((5, 2))
    meeting = as_strided(np.zeros(7), (5, 2), (8, 8))
    with pytest.raises(ValueError, match=r"out must not overlap itself, got the strides \(8, 8\)"):
        fl.MSELoss(reduction="none")(x, 0 * x, out=meeting)
    for free in (np.zeros((5, 4))[:, ::2], np.zeros((2, 5)).T, np.zeros((5, 2))[::-1, ::-1]):
        np.testing.assert_array_equal(fl.MSELoss(reduction="none")(x, 0 * x, out=free), x)


@pytest.mark.parametrize("axes", [33, 64])
def test_as_many_axes_as_numpy_has_broadcast(axes):
    x = np.full((1,) * (axes - 1) + (3,), 2.0)
    assert fl.MSELoss()(x, 1.0) == 1.0
    assert fl.MSELoss()(x, np.ones(1), np.ones(3)) == 1.0
    assert fl.MSELoss(reduction="none").grad(x, np.ones(3)).shape == x.shape


def test_reduced_value_goes_into_an_out_without_axes():
    out = np.empty(())
    assert fl.SmoothL1Loss()([3.0], [1.0], out=out) is out
    assert out == 1.5
    with pytest.raises(ValueError, match=r"out must have the shape \(\), got \(1,\)"):
        fl.SmoothL1Loss()([3.0], [1.0], out=np.empty(1))


# --- weights


def test_weighted_mean_is_that_of_numpy_average():
    x, y = pair(1000, np.float64)
    weight = np.random.default_rng(0).uniform(size=1000)
    elements = fl.SmoothL1Loss(reduction="none")(x, y)
    expected = np.average(elements, weights=weight)
    assert fl.SmoothL1Loss()(x, y, weight) == pytest.approx(expected, rel=1e-14)


def test_a_single_residual_may_have_a_weight():
    for weight in (0.3, np.float32(0.3), np.array(0.3)):
        assert fl.SmoothL1Loss()(0.7, 0.2, weight=weight) == pytest.approx(0.125)
        assert fl.SmoothL1Loss().grad(0.7, 0.2, weight=weight) == pytest.approx(0.5)


def test_weight_broadcasts():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 6, 5))
    for weight in (2.0, rng.uniform(size=5), rng.uniform(size=(6, 1)), np.ones((1, 1))):
        full = np.ascontiguousarray(np.broadcast_to(weight, (6, 5)))
        for reduction in REDUCTIONS:
            loss = fl.SmoothL1Loss(reduction=reduction)
            np.testing.assert_allclose(loss(x, y, weight), loss(x, y, full), rtol=1e-14)
            np.testing.assert_allclose(loss.grad(x, y, weight), loss.grad(x, y, full), rtol=1e-14)


def test_weights_that_sum_to_zero_have_no_mean():
    with pytest.warns(RuntimeWarning, match="weights that sum to zero"):
        assert math.isnan(fl.SmoothL1Loss()([1.0], [0.0], [0.0]))


@pytest.mark.parametrize(
    ("dtype", "weight"),
    [(np.float64, 1e-310), (np.float64, 1.7e308), (np.float32, 1e-40), (np.float32, 3e38)],
)
def test_weights_whose_sum_is_out_of_range_are_refused(dtype, weight):
    x = np.ones(2, dtype)
    with pytest.raises(ValueError, match="weight must have a sum.*rescale"):
        fl.MSELoss().value_and_grad(x, 0 * x, np.full(2, weight, dtype))


# --- a threshold still to be found


def test_auto_threshold_cannot_be_evaluated():
    for loss in (fl.SmoothL1Loss(beta="auto"), fl.HuberLoss(delta="auto")):
        with pytest.raises(ValueError, match="fastloss.fit finds it"):
            loss([1.0], [2.0])
        with pytest.raises(ValueError, match="fastloss.fit finds it"):
            loss.grad([1.0], [2.0])


# --- arrays that live elsewhere


def test_arrays_of_other_libraries_are_named_not_computed():
    class OnDevice:
        __cuda_array_interface__ = {"shape": (3,)}

    class OnMetal:
        def __dlpack_device__(self):
            return 8, 0

    class Lazy:
        def __dask_graph__(self):
            raise AssertionError("computed")

        __array__ = __dask_graph__

    with pytest.raises(TypeError, match="input lives on cuda:0 and target on cpu"):
        fl.SmoothL1Loss()(OnDevice(), np.ones(3))
    with pytest.raises(TypeError, match="input must live on the CPU or a CUDA device"):
        fl.SmoothL1Loss()(OnMetal(), np.ones(3))
    with pytest.raises(TypeError, match="Dask"):
        fl.SmoothL1Loss()(np.ones(3), Lazy())


def test_memory_maps_are_read_where_they_lie(tmp_path):
    x, y = pair(50_000, np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert fl.SmoothL1Loss()(mapped, y) == fl.SmoothL1Loss()(x, y)
    np.testing.assert_array_equal(fl.SmoothL1Loss().grad(mapped, y), fl.SmoothL1Loss().grad(x, y))


def test_out_may_be_the_memory_that_an_input_sees_read_only():
    x = np.array([3.0, 0.5])
    seen = x[...]
    seen.flags.writeable = False
    assert fl.MSELoss(reduction="sum").grad(seen, np.zeros(2), out=x).tolist() == [6.0, 1.0]


def test_infinities_are_summed_back_to_a_broadcast_input_without_a_warning():
    target = np.array([math.inf, -math.inf])
    assert math.isnan(fl.HuberLoss(reduction="sum", delta=math.inf).grad(0.0, target))
    huge = np.full(2, -3e38, np.float32)
    assert fl.HuberLoss(reduction="sum", delta=math.inf).grad(np.float32(0), huge) == math.inf


def test_overlaps_that_are_too_hard_to_tell_are_taken_for_overlaps(monkeypatch):
    room = np.zeros(4000)
    x = as_strided(room, (6, 5, 4), (616, 104, 24))
    out = as_strided(room[5:], (6, 5, 4), (808, 88, 16))
    monkeypatch.setattr(arrays, "OVERLAP_WORK", 1)
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(x, out, max_work=1)
    with pytest.raises(ValueError, match="out must not overlap"):
        fl.MSELoss(reduction="none")(x, np.zeros(x.shape), out=out)

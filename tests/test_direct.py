"""The short way of a call gives what the long way gives, and takes nothing else."""

import pickle

import numpy as np
import pytest

import fastloss as fl
from fastloss import direct
from fastloss.cpu.ready import Ready
from fastloss.cpu.sizes import ALWAYS_PARALLEL_FROM as PARALLEL_FROM
from fastloss.cpu.sizes import BLOCK
from fastloss.formulas import SmoothL1
from tests.registry import DTYPES, METHODS, ONE_OF_EACH, REDUCTIONS, contiguous, pair

SIZES = [1, 2, 7, 100, BLOCK, PARALLEL_FROM + 1]


class Counted:
    """Counts how often a function answers with something."""

    def __init__(self, function):
        self.function = function
        self.taken = 0

    def __call__(self, *arguments):
        found = self.function(*arguments)
        self.taken += found is not None and found is not False
        return found


@pytest.fixture
def short_calls(monkeypatch):
    names = "total", "values", "gradient", "both", "curvature"
    counted = {name: Counted(getattr(direct, name)) for name in names}
    for name, function in counted.items():
        monkeypatch.setattr(direct, name, function)
    return lambda: sum(function.taken for function in counted.values())


def results(loss, method, *given, **out):
    found = (loss if method == "value" else getattr(loss, method))(*given, **out)
    return [np.asarray(part) for part in (found if isinstance(found, tuple) else (found,))]


def without_short_calls(monkeypatch, call):
    with monkeypatch.context() as patched:
        patched.setattr(direct, "kernels", lambda *_: None)
        return call()


def given_and_weighted(formula):
    marks = [] if type(formula) is SmoothL1 else pytest.mark.slow
    name = str(formula)
    yield pytest.param(formula, False, id=name)
    yield pytest.param(formula, True, marks=marks, id=f"{name}, weights")


@pytest.mark.parametrize(
    ("formula", "weighted"), [case for one in ONE_OF_EACH for case in given_and_weighted(one)]
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_both_ways_give_the_same_bits(
    formula, dtype, reduction, weighted, short_calls, monkeypatch
):
    loss = fl.Loss(formula, reduction)
    for size in SIZES:
        x, y = pair(size, dtype)
        weight = np.random.default_rng(size).uniform(0.5, 2, size).astype(dtype)
        given = (x, y, weight)[: 2 + weighted]
        for special in (np.inf, np.nan):
            for method in METHODS:
                before = short_calls()
                short = results(loss, method, *given)
                if not (reduction == "none" and method == "value_and_grad"):
                    assert short_calls() == before + (size <= BLOCK or not weighted)
                long = without_short_calls(monkeypatch, lambda: results(loss, method, *given))  # noqa: B023
                for a, b in zip(short, long, strict=True):
                    np.testing.assert_array_equal(a, b)
                    assert a.dtype == b.dtype
            x[size // 2] = special


class Subclass(np.ndarray):
    pass


def unaligned(x):
    room = np.empty(x.nbytes + 1, np.uint8)
    found = room[1:].view(x.dtype)
    found[:] = x
    return found


NOT_PLAIN = {
    "list": lambda x: x.tolist(),
    "subclass": lambda x: x.copy().view(Subclass),
    "float16": lambda x: x.astype(np.float16),
    "integers": lambda x: x.astype(np.int64),
    "another byte order": lambda x: x.astype(">f8"),
    "two axes": lambda x: x[None],
    "no axis": lambda x: x[0],
    "strided": lambda x: np.repeat(x, 2)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "unaligned": unaligned,
    "another precision": lambda x: x.astype(np.float32),
    "empty": lambda x: x[:0],
    "another size": lambda x: x[:1],
    "one less": lambda x: x[:-1],
}


def outs(method, x, make):
    """Ways to give an output, in each of which one is made."""
    if method != "grad_and_hess":
        return [make]
    return [lambda: (make(), np.empty_like(x)), lambda: (None, make())]


def outcome(call):
    """What a call gives, or which error it raises."""
    try:
        found = call()
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return [np.asarray(part).tolist() for part in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("size", [10, BLOCK + 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", NOT_PLAIN)
@pytest.mark.filterwarnings("ignore:input of shape")
def test_only_plain_arrays_go_the_short_way(kind, method, size, short_calls, monkeypatch):
    x, y = pair(size, np.float64)
    other = NOT_PLAIN[kind](x)
    calls = []
    for reduction in ("none", "mean"):
        loss = fl.SmoothL1Loss(reduction=reduction, beta=0.7)
        call = loss if method == "value" else getattr(loss, method)
        calls += [lambda c=call: c(other, y), lambda c=call: c(y, other)]
        calls += [lambda c=call: c(x, y, NOT_PLAIN[kind](abs(x)))]
        if method != "value" or reduction == "none":
            calls += [
                lambda c=call, out=out: c(x, y, out=out())
                for out in outs(method, x, lambda: NOT_PLAIN[kind](x))
            ]
    found = [outcome(call) for call in calls]
    assert short_calls() == 0
    monkeypatch.setattr(direct, "kernels", lambda *_: None)
    assert found == [outcome(call) for call in calls]


# Sums of weights that are told of, or that a mean is not divided by.
WEIGHTS = {
    "negative": [-1.0, -2.0],
    "no sum": [1.0, -1.0],
    "zero": [0.0, 0.0],
    "NaN": [np.nan, 1.0],
    "infinite": [np.inf, 1.0],
    "both infinite": [np.inf, -np.inf],
    "tiny": [1e-310, 1e-310],
    "huge": [1.7e308, 1.7e308],
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.filterwarnings("ignore:mean with weights")
def test_weights_of_any_sum_are_treated_as_on_the_long_way(weight, method, reduction, monkeypatch):
    loss, weight = fl.SmoothL1Loss(reduction=reduction), np.array(weight)
    x, y = pair(2, np.float64)

    def call():
        return outcome(lambda: tuple(results(loss, method, x, y, weight)))

    np.testing.assert_equal(call(), without_short_calls(monkeypatch, call))


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_many_scales_have_the_sum_of_the_long_way(method, monkeypatch):
    loss = fl.SmoothL1Loss()
    x, y = pair(1000, np.float64)
    for seed in range(50):
        weight = 10 ** np.random.default_rng(seed).uniform(-8, 8, x.size)

        def call(weight=weight):
            return results(loss, method, x, y, weight)

        np.testing.assert_equal(call(), without_short_calls(monkeypatch, call))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(16, 1), (1, 16), (2, 8), (9,)])
def test_weights_of_another_shape_are_refused(shape, method):
    """The second length of (2, 8) is where compiled code would look for a step of 8 bytes."""
    x, y = pair(16, np.float64)
    with pytest.raises(ValueError, match="weight must broadcast to the residual's shape"):
        results(fl.SmoothL1Loss(), method, x, y, np.ones(shape))


@pytest.mark.parametrize("size", [10, BLOCK + 2])
def test_read_only_arguments_are_taken_and_a_read_only_out_is_refused(size, short_calls):
    x, y = pair(size, np.float64)
    loss = fl.SmoothL1Loss()
    weight = abs(x)
    expected = loss.grad(x, y), loss.grad(x, y, weight)
    x.flags.writeable = y.flags.writeable = weight.flags.writeable = False
    before = short_calls()
    np.testing.assert_array_equal(loss.grad(x, y), expected[0])
    np.testing.assert_array_equal(loss.grad(x, y, weight), expected[1])
    assert short_calls() == before + 2 * (size <= BLOCK)
    with pytest.raises(ValueError, match="out must be writeable"):
        loss.grad(y, y, out=x)


def test_no_elements_have_no_mean(short_calls):
    x = np.empty(0)
    loss = fl.SmoothL1Loss()
    with pytest.warns(RuntimeWarning, match="mean of no elements"):
        assert np.isnan(loss(x, x))
    assert loss.grad(x, x).size == 0
    assert short_calls() == 0


def losing(method):
    """A loss and its method that writes elements."""
    loss = fl.SmoothL1Loss(reduction="none" if method == "value" else "mean", beta=0.7)
    return loss, loss if method == "value" else getattr(loss, method)


@pytest.mark.parametrize("method", ["value", "grad", "value_and_grad"])
@pytest.mark.parametrize("size", [100, BLOCK + 1])
def test_an_out_that_overlaps_partly_is_refused_and_nothing_written(method, size):
    room = np.random.default_rng(0).standard_normal(size + 1)
    copy = room.copy()
    target = np.zeros(size)
    for x, out in ((room[1:], room[:-1]), (room[:-1], room[1:])):
        with pytest.raises(ValueError, match="out must not overlap input partly"):
            losing(method)[1](x, target, out=out)
        with pytest.raises(ValueError, match="out must not overlap target partly"):
            losing(method)[1](target, x, out=out)
        with pytest.raises(ValueError, match="out must not overlap weight partly"):
            losing(method)[1](target, target, x, out=out)
    np.testing.assert_array_equal(room, copy)


@pytest.mark.parametrize("method", ["value", "grad", "value_and_grad"])
@pytest.mark.parametrize("size", [100, BLOCK + 1])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["input", "target", "weight"])
def test_an_out_may_be_an_argument_itself(method, size, which):
    arguments = *pair(size, np.float64), np.random.default_rng(0).uniform(1, 2, size)
    loss = losing(method)[0]
    expected = results(loss, method, *arguments)
    found = results(loss, method, *arguments, out=arguments[which])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [100, BLOCK + 1])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("which", [0, 1], ids=["gradient", "curvature"])
def test_two_outputs_share_no_memory_and_overlap_no_argument_partly(size, shift, which):
    room = np.random.default_rng(0).standard_normal(size + 1)
    copy = room.copy()
    loss, target = fl.SmoothL1Loss(), np.zeros(size)
    low, high = room[:size], room[shift : size + shift]
    with pytest.raises(ValueError, match=r"out\[0\].*out\[1\]"):
        loss.grad_and_hess(target, target + 1, out=(low, high))
    if shift:
        out = (low, np.empty(size)) if which == 0 else (np.empty(size), low)
        with pytest.raises(ValueError, match=rf"out\[{which}\] must not overlap input partly"):
            loss.grad_and_hess(high, target, out=out)
    np.testing.assert_array_equal(room, copy)


@pytest.mark.parametrize("size", [100, BLOCK + 1])
@pytest.mark.parametrize("which", [0, 1], ids=["gradient", "curvature"])
@pytest.mark.parametrize("argument", [0, 1], ids=["input", "target"])
def test_one_of_two_outputs_may_be_an_argument(size, which, argument):
    arguments = pair(size, np.float64)
    loss = fl.SmoothL1Loss(beta=0.7)
    expected = loss.grad_and_hess(*arguments)
    out = [None, None]
    out[which] = arguments[argument]
    found = loss.grad_and_hess(*arguments, out=out)
    assert found[which] is arguments[argument]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_given_out_is_the_result():
    x, y = pair(10, np.float64)
    out = np.empty_like(x)
    assert fl.SmoothL1Loss().grad(x, y, out=out) is out
    assert fl.SmoothL1Loss(reduction="none")(x, y, out=out) is out
    assert fl.SmoothL1Loss().value_and_grad(x, y, out=out)[1] is out


def test_sums_beyond_the_range_are_infinite():
    x = np.full(100, 1e200)
    assert fl.MSELoss()(x, 0 * x) == np.inf
    assert fl.MSELoss().value_and_grad(x, 0 * x)[0] == np.inf


def test_a_formula_of_ones_own_goes_the_long_way(short_calls):
    class Mine(SmoothL1):
        __slots__ = ()

    x, y = pair(10, np.float64)
    assert fl.Loss(Mine(1.0))(x, y) == fl.SmoothL1Loss()(x, y)
    assert short_calls() == 1


@pytest.mark.parametrize("method", METHODS)
def test_pickled_losses_compute(method):
    x, y = map(contiguous, pair(10, np.float64))
    loss = fl.SmoothL1Loss(beta=0.3)
    expected = results(loss, method, x, y)
    again = pickle.loads(pickle.dumps(loss))
    for a, b in zip(results(again, method, x, y), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_kernels_that_are_ready_have_the_names_of_kinds_alone():
    assert not hasattr(Ready(fl.formulas.SmoothL1(), np.dtype(np.float64)), "other")

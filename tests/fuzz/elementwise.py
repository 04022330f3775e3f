"""Losses, gradients and curvatures of any arguments, beside exact arithmetic."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import fastloss as fl
from fastloss.formulas import L1, Huber, SmoothL1, SquaredError
from tests import reference
from tests.fuzz import arrays
from tests.fuzz.outcome import Unchanged, attempt
from tests.registry import LOSSES, METHODS, REDUCTIONS

NAMES = ("input", "target", "weight", "out", "reduction", "loss", "array")
# Each formula's class, function and threshold.
NAMED = {
    SmoothL1: (fl.SmoothL1Loss, fl.smooth_l1_loss, "beta"),
    Huber: (fl.HuberLoss, fl.huber_loss, "delta"),
    L1: (fl.L1Loss, fl.l1_loss, None),
    SquaredError: (fl.MSELoss, fl.mse_loss, None),
}
THRESHOLDS = [-1, -1e-300, np.nan, -np.inf, "1", None, [1.0], 1j, np.ones(2)]
# For which exact arithmetic takes too long.
MANY = 1000
WRONG_REDUCTIONS = ["median", "", "MEAN", None, 3, ["mean"]]


class Case(NamedTuple):
    """One call."""

    formula: Any
    reduction: str
    method: str
    input: Any
    target: Any
    weight: Any
    out: Any
    wrong: tuple[str, ...]
    """The arguments that the call must refuse."""
    way: str
    """Through ``Loss``, the formula's own class, or its function."""
    options: dict[str, Any]
    """What is wrong with the loss itself."""


@st.composite
def cases(draw):
    formula, reduction = draw(st.sampled_from(LOSSES)), draw(st.sampled_from(REDUCTIONS))
    method = draw(st.sampled_from(METHODS))
    large = draw(st.integers(0, 19)) == 0
    shape = draw(st.sampled_from(arrays.LARGE if large else arrays.SHAPES))
    way = draw(st.sampled_from(["Loss", "class"] + ["function"] * (method == "value")))
    other = draw(st.sampled_from([shape, shape, shape, (), shape[-1:]]))
    given = {
        "input": draw(arrays.right(shape)),
        "target": draw(arrays.right(other)),
        "weight": None,
    }
    if draw(st.integers(0, 3)) == 0:
        given["weight"] = np.abs(np.nan_to_num(draw(arrays.right(other, special=False)), nan=1.0))
    wrong = []
    if draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(sorted(given)))
        given[name] = draw(arrays.wrong(shape))
        if name != "weight" or given[name] is not None:
            wrong.append(name)
    out, options = None, {}
    if not wrong and draw(st.integers(0, 11)) == 0:
        options = draw(wrong_options(formula, way))
        wrong += options
    if not wrong and method in ("value", "grad") and draw(st.booleans()):
        out, is_wrong = draw(outputs(reduction if method == "value" else "none", method, given))
        wrong += ["out"] * is_wrong
    return Case(
        formula, reduction, method, **given, out=out, wrong=tuple(wrong), way=way, options=options
    )


@st.composite
def wrong_options(draw, formula, way):
    threshold = NAMED[type(formula)][2]
    if way == "Loss" or threshold is None or draw(st.booleans()):
        return {"reduction": draw(st.sampled_from(WRONG_REDUCTIONS))}
    return {threshold: draw(st.sampled_from(THRESHOLDS))}


def callable_of(case):
    """Give what takes input, target, weight and out."""
    made, function, threshold = NAMED[type(case.formula)]
    options = {"reduction": case.reduction}
    if threshold is not None:
        options[threshold] = case.formula[0]
    if case.way == "function":
        return partial(function, **options | case.options)
    if case.way == "Loss":
        loss = fl.Loss(case.formula, case.options.get("reduction", case.reduction))
    else:
        loss = made(**options | case.options)
    return loss if case.method == "value" else getattr(loss, case.method)


@st.composite
def outputs(draw, reduction, method, given):
    """Give an ``out``, and whether it must be refused."""
    x, y = (np.asarray(given[name]) for name in ("input", "target"))
    shape = x.shape if method == "grad" else () if reduction != "none" else np.broadcast(x, y).shape
    dtype = _result_dtype(given)
    kind = draw(st.sampled_from(["right", "shape", "dtype", "list", "read-only", "same", "partly"]))
    if kind == "shape":
        return np.empty((*shape, 2)), True
    if kind == "dtype":
        return np.empty(shape, draw(st.sampled_from(["i8", "c16", "?", "O"]))), True
    if kind == "list":
        return [1.0], True
    if kind == "read-only":
        found = np.empty(shape)
        found.flags.writeable = False
        return found, True
    if kind == "partly" and x.shape == shape and x.size > 1:
        room = np.empty(x.size + 1, dtype)
        with np.errstate(over="ignore"):
            room[:-1] = x.reshape(-1)
        given["input"] = room[:-1].reshape(shape)
        return room[1:].reshape(shape), True
    both = given["input"]
    if kind == "same" and _may_be_out(both, shape, dtype):
        return both, False
    return np.empty(shape, draw(st.sampled_from([dtype, np.dtype(np.float64)]))), False


def _may_be_out(x, shape, dtype):
    plain = isinstance(x, np.ndarray) and x.flags.writeable and x.dtype.isnative
    return plain and x.shape == shape and x.dtype == dtype


def check(case):
    """Make the call, and compare what comes."""
    options = {} if case.out is None else {"out": case.out}
    # As they are now: one may be the out, too.
    copies = [] if case.wrong else [np.array(a) for a in (case.input, case.target)]
    unchanged = Unchanged(case.input, case.target, case.weight)
    result = attempt(
        lambda: callable_of(case)(case.input, case.target, weight=case.weight, **options),
        None if _is_unsure(case) else not case.wrong,
        case.wrong or NAMES,
    )
    unchanged.check(case.out)
    if result is None or case.wrong or _is_unsure(case):
        return
    if case.out is not None:
        assert result is case.out
    dtype = _result_dtype(case._asdict())
    expected = _expected(case, dtype, *copies)
    found = result if isinstance(result, tuple) else (result,)
    for got, (right, error) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(right))
        _compare(np.asarray(got, np.float64), right, error, dtype, case.out)


def _is_unsure(case):
    """Whether both an answer and a refusal are in order: a mean whose weights have no sum."""
    return case.weight is not None and case.reduction == "mean"


def _compare(got, right, error, dtype, out):
    if out is not None and out.dtype.itemsize < dtype.itemsize:
        dtype = out.dtype
    limits = np.finfo(dtype)
    right, error = (np.broadcast_to(a, got.shape) for a in (right, error))
    # The last numbers before infinity may round to it.
    huge = np.isfinite(right) & (np.abs(right) >= float(limits.max) * (1 - 8 * float(limits.eps)))
    exact = ~np.isfinite(right)
    np.testing.assert_array_equal(got[exact], right[exact])
    close = ~exact & ~huge
    allowed = 8 * float(limits.eps) * error[close] + 8 * float(limits.smallest_subnormal)
    with np.errstate(invalid="ignore", over="ignore"):
        bad = ~(np.abs(got[close] - right[close]) <= allowed)
    assert not bad.any(), (got[close][bad][:3], right[close][bad][:3])


def _result_dtype(given):
    present = [given[k] for k in ("input", "target", "weight") if given[k] is not None]
    kept = [a if isinstance(a, bool | int | float) else np.asarray(a).dtype for a in present]
    dtype = np.result_type(*kept)
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype.newbyteorder("=")


def _expected(case, dtype, input, target):
    """Give each result and the magnitude that its error is measured by, in float64."""
    compute = np.float64 if dtype == np.float64 else np.float32
    with np.errstate(all="ignore"):
        x, y = (np.asarray(a).astype(compute) for a in (input, target))
        r = x - y
        value, grad, hess = _elements(case.formula, r, compute)
        w = np.ones(r.shape) if case.weight is None else np.asarray(case.weight, np.float64)
        w = np.broadcast_to(w, r.shape)
        if type(case.formula) is SquaredError:
            # The weight and the factor 2 come before the residual: nothing overflows on the way.
            grad = 2.0 * r.astype(np.float64)
        scale = 1.0 if case.reduction != "mean" else 1 / r.size if r.size else np.nan
        results = {
            "grad": _gathered((w * grad * scale).astype(compute).astype(np.float64), x.shape),
            "hess": _gathered(w * hess * scale, x.shape),
        }
        losses = w * value
        results["value"] = (
            (losses, np.abs(losses)) if case.reduction == "none" else _total(losses, scale)
        )
    names = {"value_and_grad": ("value", "grad"), "grad_and_hess": ("grad", "hess")}
    return [results[name] for name in names.get(case.method, (case.method,))]


def _elements(formula, r, dtype):
    """Give value, grad and hess in float64, of many by NumPy."""
    if r.size < MANY:
        exact = reference.elements(formula, r, dtype)
    else:
        quick = reference.quick(type(formula)._make(map(dtype, formula)), r)
        exact = (e.astype(dtype) for e in quick)
    return [e.astype(np.float64) for e in exact]


def _total(losses, scale):
    try:
        total = reference.exact_sum(losses)
    except (OverflowError, ValueError):
        total = losses.sum()
    return np.float64(total) * scale, np.abs(total) * scale


def _gathered(array, shape):
    """Sum over the axes that the input was broadcast along."""
    extra = array.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and array.shape[extra + i] != 1
    )
    return array.sum(axes).reshape(shape), np.abs(array).sum(axes).reshape(shape)

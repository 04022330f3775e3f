"""A loss as an object: a formula and a reduction, called on arrays."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastloss import direct, dispatch
from fastloss.arrays import disjoint, operands
from fastloss.formulas import FORMULAS, Formula
from fastloss.reduction import Reduction, parse
from fastloss.typing import Array

if TYPE_CHECKING:
    from fastloss.cpu.ready import Ready

Value: TypeAlias = float | Array

METHODS = ("value", "grad", "hess")

# A threshold that is still to be found.
AUTO = "auto"
# Huber's constant: 95 % efficiency at the normal distribution (Huber, "Robust Statistics", 1981).
TUNING = 1.345


class Loss:
    """A loss over arrays from a formula of one residual.

    Parameters
    ----------
    formula : Formula
        A ``NamedTuple`` of numbers with the methods ``value(r)``, ``grad(r)`` and ``hess(r)`` of
        one residual, compiled by Numba in the precision of the data.
    reduction : {'mean', 'sum', 'none'}
        With weights, the mean is ``sum(weight * loss) / sum(weight)``.

    Raises
    ------
    TypeError
        If the formula is not a ``NamedTuple`` with the three methods.
    ValueError
        If the reduction has another name, or the formula's own ``check()`` refuses a parameter.

    Notes
    -----
    All methods take

    input, target : array_like of real numbers
        Predictions and observations; they broadcast. Both float32 is computed in float32,
        float16 in float32, integers in float64.
    weight : array_like, optional
        Broadcasts to the residual's shape.
    device : {None, 'cpu', 'cuda', 'cuda:N'}
        Where to compute; by default where the arrays live. Arrays that live elsewhere are copied.

    Results are given as arrays of the library that the arguments come from: NumPy, PyTorch (see
    :mod:`fastloss.torch` for gradients that PyTorch records), CuPy, JAX, Numba, pandas (rows meet
    by position, not by label). Of several libraries other than NumPy, the first argument's counts.

    Sums accumulate in float64 and have the same bits for any number of threads.

    The sum of weights has to be a number whose inverse the precision of the arithmetic holds;
    ValueError says so for the mean. On a GPU that is known only to who waits for it: a gradient by
    itself, or a value that goes to an ``out`` or ``total`` there, is NaN instead.

    Examples
    --------
    A loss of your own is a class with three methods:

    >>> import math
    >>> from typing import NamedTuple
    >>> import fastloss as fl
    >>> class PseudoHuber(NamedTuple):
    ...     delta: float = 1.0
    ...     def value(self, r):
    ...         return self.delta**2 * (math.sqrt(1 + (r / self.delta) ** 2) - 1)
    ...     def grad(self, r):
    ...         return r / math.sqrt(1 + (r / self.delta) ** 2)
    ...     def hess(self, r):
    ...         return (1 + (r / self.delta) ** 2) ** -1.5
    >>> loss = fl.Loss(PseudoHuber(delta=3.0), reduction="sum")
    >>> round(loss([4.0, 0.0], [0.0, 0.0]), 12)
    6.0
    """

    __slots__ = ("_formula", "_mean", "_ready", "_reduction", "_total")

    _formula: Formula
    _reduction: Reduction
    _mean: bool
    _total: bool
    # The short way, see direct.py; for formulas that cannot change, by the arrays' dtype.
    _ready: "dict[np.dtype[Any], Ready] | None"

    def __init__(self, formula: Formula, reduction: str = "mean") -> None:
        self._set(formula, parse(reduction))

    def _set(self, formula: Formula, reduction: Reduction) -> None:
        """Check and keep both."""
        if isinstance(formula, type) or not isinstance(formula, tuple):
            raise TypeError(f"formula must be an instance of a NamedTuple class, got {formula!r}")
        missing = [
            name
            for name in ("_fields", *METHODS)
            if not hasattr(formula, name) or name in getattr(formula, "_fields", ())
        ]
        if missing:
            raise TypeError(f"formula must have {', '.join(missing)}, got {formula!r}")
        uncallable = [n for n in METHODS if not callable(getattr(type(formula), n))]
        if uncallable:
            raise TypeError(f"formula must have {', '.join(uncallable)} as methods: {formula!r}")
        check = getattr(formula, "check", None)
        if callable(check) and not _is_auto(formula):
            check()
            if type(formula) in FORMULAS:  # whole numbers among the parameters would stay whole
                built_in: Any = type(formula)
                formula = built_in._make(map(float, formula))
        self._formula = formula
        self._reduction = reduction
        self._mean = reduction is Reduction.MEAN
        self._total = reduction is not Reduction.NONE
        self._ready = {} if type(formula) in FORMULAS and not _is_auto(formula) else None

    @property
    def formula(self) -> Formula:
        """The formula of one residual.

        Raises
        ------
        ValueError
            If its threshold is ``'auto'`` and so not known yet.
        """
        if _is_auto(self._formula):
            raise ValueError(
                f"{self!r} has no threshold yet: fastloss.fit finds it from the residuals; give a "
                "number to evaluate the loss"
            )
        return self._formula

    @property
    def reduction(self) -> str:
        """'none', 'mean' or 'sum'."""
        return self._reduction.value

    def __call__(
        self,
        input: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        out: Array | None = None,
        *,
        device: str | None = None,
    ) -> Value:
        """Give the loss: a float, or an array of the residual's shape if nothing is reduced.

        Parameters
        ----------
        input, target, weight, device
            See the class.
        out : ndarray, optional
            Takes the result and is returned; of the residual's shape, or ``()`` if reduced.

        Returns
        -------
        float or ndarray

        Raises
        ------
        TypeError
            If an argument does not hold real numbers, or ``out`` cannot take them.
        ValueError
            If shapes do not fit, or ``out`` overlaps another argument partly.
        """
        if weight is None and device is None:
            ready = direct.kernels(self._ready, self._formula, input, target)
            short: Value | None = None
            if ready is not None and self._total:
                short = direct.total(ready, self._mean, input, target) if out is None else None
            elif ready is not None and direct.takes(out, input):
                short = direct.values(ready, input, target, out)
            if short is not None:
                return short
        given, reduced = (input, target, weight), self._total
        outs, slot = (((), (), ()), out) if reduced else ((out, (), ()), None)
        done = dispatch.at_once(self, self._mean, given, device, outs, reduced, slot)
        if done is not None:
            found: Value = done[0] if reduced else done[1]
            return found
        backend, place = dispatch.elementwise(input, target, weight, device)
        arrays = operands(place, input, target, weight)
        if not self._total:
            values = arrays.output(out, "out", arrays.shape)
            backend.compute(self.formula, arrays, value=values)
            return arrays.given(out, values)
        slot = None if out is None else arrays.output(out, "out", ())
        value: Value = backend.compute(self.formula, arrays, mean=self._mean, total=True, slot=slot)
        return value if slot is None else arrays.given(out, slot)

    def grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        out: Array | None = None,
        *,
        device: str | None = None,
    ) -> Array:
        """Give the gradient of the (reduced) loss with respect to the input.

        Parameters
        ----------
        input, target, weight, device
            See the class.
        out : ndarray, optional
            Takes the gradient and is returned; it may be the input itself.

        Returns
        -------
        ndarray
            Of the input's shape: where the input is broadcast, its gradient is summed back. With
            ``reduction='none'``, of the sum of the elements.

        Raises
        ------
        TypeError, ValueError
            As :meth:`__call__`.
        """
        if weight is None and device is None:
            ready = direct.kernels(self._ready, self._formula, input, target)
            if ready is not None and direct.takes(out, input):
                slopes = direct.gradient(ready, self._mean, input, target, out)
                if slopes is not None:
                    return slopes
        given = input, target, weight
        done = dispatch.at_once(self, self._mean, given, device, ((), out, ()))
        if done is not None:
            found: Array = done[2]
            return found
        backend, place = dispatch.elementwise(input, target, weight, device)
        arrays = operands(place, input, target, weight)
        gradient = arrays.output(out, "out", arrays.input.shape)
        backend.compute(self.formula, arrays, mean=self._mean, grad=gradient)
        return arrays.given(out, gradient)

    def value_and_grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        out: Array | None = None,
        *,
        total: Array | None = None,
        device: str | None = None,
    ) -> tuple[Value, Array]:
        """Give the loss and its gradient, in one pass over memory.

        Parameters
        ----------
        input, target, weight, device
            See the class.
        out : ndarray, optional
            Takes the gradient; it may be the input itself.
        total : ndarray, optional
            Of shape (), takes the reduced value and is returned instead of a number: on a GPU,
            nothing waits then.

        Returns
        -------
        value : float or ndarray
            What calling the loss gives, to the bit.
        gradient : ndarray
            What :meth:`grad` gives.

        Raises
        ------
        TypeError, ValueError
            As :meth:`__call__`; and ValueError for a ``total`` where nothing is reduced.
        """
        if self._total and weight is None and total is None and device is None:
            ready = direct.kernels(self._ready, self._formula, input, target)
            if ready is not None and direct.takes(out, input):
                pair = direct.both(ready, self._mean, input, target, out)
                if pair is not None:
                    return pair
        given, reduced = (input, target, weight), self._total
        outs = () if reduced else None, out, ()
        done = dispatch.at_once(self, self._mean, given, device, outs, reduced, total)
        if done is not None:
            return done[0] if reduced else done[1], done[2]
        backend, place = dispatch.elementwise(input, target, weight, device)
        arrays = operands(place, input, target, weight)
        gradient = arrays.output(out, "out", arrays.input.shape)
        if total is not None and not reduced:
            raise ValueError("total must be None with the reduction 'none'")
        slot = None if total is None else arrays.output(total, "total", ())
        if slot is not None:
            disjoint((gradient, slot), ("out", "total"))
        values = None if reduced else arrays.empty()
        value = backend.compute(
            self.formula,
            arrays,
            mean=self._mean,
            value=values,
            grad=gradient,
            total=reduced,
            slot=slot,
        )
        if values is not None:
            value = arrays.given(None, values)
        return value if slot is None else arrays.given(total, slot), arrays.given(out, gradient)

    def grad_and_hess(
        self,
        input: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        out: tuple[Array | None, Array | None] | None = None,
        *,
        device: str | None = None,
    ) -> tuple[Array, Array]:
        """Give the gradient and the diagonal of the Hessian with respect to the input.

        Parameters
        ----------
        input, target, weight, device
            See the class.
        out : pair of ndarrays, optional
            Take the two results; they must not share memory.

        Returns
        -------
        gradient, curvature : ndarray
            Of the input's shape, as :meth:`grad`.

        Raises
        ------
        TypeError, ValueError
            As :meth:`__call__`.
        """
        if out is None:
            out = None, None
        elif not isinstance(out, tuple | list) or len(out) != 2:
            raise TypeError("out must be a pair of NumPy arrays, for the gradient and curvature")
        given = input, target, weight
        done = dispatch.at_once(self, self._mean, given, device, ((), *out))
        if done is not None:
            return done[2], done[3]
        backend, place = dispatch.elementwise(input, target, weight, device)
        arrays = operands(place, input, target, weight)
        gradient = arrays.output(out[0], "out[0]", arrays.input.shape)
        curvature = arrays.output(out[1], "out[1]", arrays.input.shape)
        disjoint((gradient, curvature), ("out[0]", "out[1]"))
        backend.compute(self.formula, arrays, mean=self._mean, grad=gradient, hess=curvature)
        return arrays.given(out[0], gradient), arrays.given(out[1], curvature)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle, by any protocol."""
        return _restore, (type(self), self._formula, self._reduction)

    def __eq__(self, other: object) -> bool:
        """Compare class, formula and reduction."""
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        # The formula's class too: as tuples, SmoothL1(1.0) and Huber(1.0) are equal.
        return type(self), type(self._formula), self._formula, self._reduction

    def __repr__(self) -> str:
        """Give an expression that makes this loss."""
        return f"Loss({self._formula!r}, reduction={self.reduction!r})"


def _restore(cls: type[Loss], formula: Formula, reduction: Reduction) -> Loss:
    loss = object.__new__(cls)
    loss._set(formula, reduction)
    return loss


def check_reduced(loss: object) -> None:
    """Raise an error unless the argument ``loss`` is a loss that gives one number."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a fastloss.Loss, got {loss!r}")
    if loss.reduction == Reduction.NONE:
        raise ValueError("loss must have the reduction 'mean' or 'sum', got 'none'")


def is_auto(loss: Loss) -> bool:
    """Whether the loss's threshold waits for the scale of the residuals."""
    return _is_auto(loss._formula)


def at_scale(loss: Loss, scale: float) -> Loss:
    """Give the loss whose threshold is 1.345 times this scale of the residuals."""
    formula: Any = type(loss._formula)
    return Loss(formula(TUNING * scale), loss.reduction)


def _is_auto(formula: Any) -> bool:
    return len(formula) == 1 and isinstance(formula[0], str) and formula[0] == AUTO

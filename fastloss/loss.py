"""A loss as an object: a formula and a reduction, called on arrays."""

from copy import copy
from typing import Any, TypeAlias, cast

from numpy.typing import ArrayLike

from fastloss import direct, evaluation
from fastloss.definition import Definition
from fastloss.evaluation import ABSENT
from fastloss.formulas import Formula
from fastloss.reduction import Reduction
from fastloss.typing import Array

Value: TypeAlias = float | Array

# Huber's constant: 95 % efficiency at the normal distribution (Huber, "Robust Statistics", 1981).
TUNING = 1.345


class Loss(Definition):
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

    Dask arrays, among the arguments, give Dask arrays: nothing is computed before Dask is asked to,
    and then block by block, a value and its gradient together. A total is float64 of shape ``()``,
    added up in an order that the chunks alone decide. There is no ``out``, ``total`` or ``device``
    then. Chunks that do not meet are rechunked, with a warning. Arrays with chunks of unknown size
    must have equal chunks, and have no mean.

    Sums accumulate in float64 and have the same bits for any number of threads.

    The mean with weights that sum to 0, or have a NaN, is NaN. Any other sum has to be a number
    whose inverse the precision of the arithmetic holds; ValueError says so for the mean. On a GPU
    that is known only to who waits for it: a gradient by itself, or a value that goes to an ``out``
    or ``total`` there, is NaN instead.

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

    __slots__ = ()

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
        if device is None:
            ready = direct.kernels(self._ready, self._formula, input, target, weight)
            short: Value | None = None
            if ready is not None and self._total:
                if out is None:
                    short = direct.total(ready, self._mean, input, target, weight)
            elif ready is not None and direct.takes(out, input):
                short = direct.values(ready, input, target, weight, out)
            if short is not None:
                return short
        given, reduced = (input, target, weight), self._total
        outs = (ABSENT if reduced else out), ABSENT, ABSENT
        found: Value
        slot = out if reduced else None
        found, values, _, _ = evaluation.compute(self, given, device, outs, reduced, slot)
        return found if reduced else values

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
        if device is None:
            ready = direct.kernels(self._ready, self._formula, input, target, weight)
            if ready is not None and direct.takes(out, input):
                slopes = direct.gradient(ready, self._mean, input, target, weight, out)
                if slopes is not None:
                    return slopes
        outs = ABSENT, out, ABSENT
        found: Array = evaluation.compute(self, (input, target, weight), device, outs)[2]
        return found

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
        if self._total and total is None and device is None:
            ready = direct.kernels(self._ready, self._formula, input, target, weight)
            if ready is not None and direct.takes(out, input):
                pair = direct.both(ready, self._mean, input, target, weight, out)
                if pair is not None:
                    return pair
        given, reduced = (input, target, weight), self._total
        outs = (ABSENT if reduced else None), out, ABSENT
        value, values, slopes, _ = evaluation.compute(self, given, device, outs, reduced, total)
        return value if reduced else values, slopes

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
        if device is None:
            ready = direct.kernels(self._ready, self._formula, input, target, weight)
            if ready is not None and all(direct.takes(one, input) for one in out):
                pair = direct.curvature(ready, self._mean, input, target, weight, (out[0], out[1]))
                if pair is not None:
                    return pair
        given = input, target, weight
        _, _, slopes, curvature = evaluation.compute(self, given, device, (ABSENT, *out))
        return slopes, curvature

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle, by any protocol, with what a class of a user's own has put in."""
        made = _restore, (type(self), self._formula, self._reduction)
        state = cast("tuple[dict[str, Any] | None, dict[str, Any]]", super().__getstate__())
        attributes, slots = state
        own = {k: v for k, v in slots.items() if k not in Definition.__slots__}
        return (*made, (attributes, own)) if attributes or own else made


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


def at_scale(loss: Loss, scale: float) -> Loss:
    """Give a loss of the same class whose threshold is 1.345 times this scale of the residuals."""
    formula: Any = type(loss._formula)
    scaled = copy(loss)
    scaled._set(formula(TUNING * scale), loss._reduction)
    return scaled

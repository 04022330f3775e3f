"""What a loss is: a formula and a reduction, checked, and what follows from both."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss.formulas import FORMULAS, Formula, number
from fastloss.reduction import Reduction, parse

if TYPE_CHECKING:
    from fastloss.cpu.ready import Ready

METHODS = ("value", "grad", "hess")

# A threshold that is still to be found.
AUTO = "auto"


class Definition:
    """A formula and a reduction; see :class:`fastloss.Loss`, which computes with them."""

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
        uncallable = [n for n in METHODS if not _is_method(type(formula), n)]
        if uncallable:
            raise TypeError(f"formula must have {', '.join(uncallable)} as methods: {formula!r}")
        if type(formula) not in FORMULAS and not _is_auto(formula):
            for name, parameter in zip(formula._fields, formula, strict=True):  # type: ignore[attr-defined]
                _check_parameter(name, parameter)
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

    def __getattr__(self, name: str) -> Any:
        """Say what the class of a user's own has left out, if that is why there is no such name."""
        cls = type(self).__name__
        try:
            object.__getattribute__(self, "_formula")
        except AttributeError:
            raise AttributeError(
                f"this {cls} has no formula: {cls}.__init__ must call super().__init__(formula, "
                "reduction) before the loss is used"
            ) from None
        raise AttributeError(f"{cls!r} object has no attribute {name!r}")

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


def _check_parameter(name: str, parameter: object) -> None:
    """Raise an error unless kernels can be given this parameter of a user's formula."""
    number(name, parameter)
    if isinstance(parameter, int) and not -(2**63) <= parameter < 2**64:
        raise ValueError(f"{name} must be an integer of 64 bits, got {parameter}")


def _is_method(cls: type, name: str) -> bool:
    own = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
    return callable(own) and not isinstance(own, staticmethod)  # a classmethod cannot be called


def is_auto(loss: Definition) -> bool:
    """Whether the loss's threshold waits for the scale of the residuals."""
    return _is_auto(loss._formula)


def _is_auto(formula: Any) -> bool:
    return len(formula) == 1 and isinstance(formula[0], str) and formula[0] == AUTO

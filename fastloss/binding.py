"""A formula as kernels see it: current code, parameters in the precision of the data.

Kernels call the module functions ``value``, ``grad``, ``hess`` and ``scaled_grad`` below; each back
end has its compiler resolve them to the formula's own methods through its type, so that a kernel
is written once for all formulas.
"""

import types as python_types
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numba.core.dispatcher import Dispatcher

from fastloss.formulas import FORMULAS, Formula


def value(formula: Formula, r: float) -> float:
    """rho(r)."""
    return formula.value(r)


def grad(formula: Formula, r: float) -> float:
    """rho'(r)."""
    return formula.grad(r)


def hess(formula: Formula, r: float) -> float:
    """rho''(r)."""
    return formula.hess(r)


def scaled_grad(formula: Any, r: float, scale: float) -> Any:
    """Give ``scale * rho'(r)``, by the formula's own method if it has one."""
    if callable(getattr(formula, "scaled_grad", None)):
        return formula.scaled_grad(r, scale)
    return scale * formula.grad(r)


class Itself(NamedTuple):
    """The sum of an array, by the kernel that sums losses."""

    def value(self, r: float) -> float:
        """Give the residual."""
        return r

    def grad(self, r: float) -> float:
        """Give 1."""
        T = type(r)
        return T(1)

    def hess(self, r: float) -> float:
        """Give 0."""
        T = type(r)
        return T(0)


# Those that are compiled, the last one if a formula has it.
METHODS = "value", "grad", "hess", "scaled_grad"
BUILT_IN: frozenset[type] = frozenset((*FORMULAS, Itself))


def bind(formula: Any, dtype: np.dtype[Any]) -> Any:
    """Give the formula as a kernel's argument: current code, parameters of type ``dtype``."""
    cls: Any = type(formula)
    if cls in BUILT_IN:
        return _bind_built_in(cls, formula, dtype)
    return _convert(_current(cls), formula, dtype)


# The class is part of the key because tuples of different classes compare equal.
@lru_cache(maxsize=256)
def _bind_built_in(cls: Any, formula: Any, dtype: np.dtype[Any]) -> Any:
    return _convert(cls, formula, dtype)


def _convert(cls: Any, formula: Any, dtype: np.dtype[Any]) -> Any:
    convert = dtype.type
    with np.errstate(over="ignore", under="ignore"):  # what float32 cannot hold is infinite or 0
        # Only floats: a count or a switch among the parameters keeps its type.
        return cls._make(convert(p) if isinstance(p, float | np.floating) else p for p in formula)


# A user's class -> (what its code was, which is kept alive, its marks, the class compiled from it).
_compiled: WeakKeyDictionary[type, tuple[list[Any], list[Any], type]] = WeakKeyDictionary()
_numbers = count()


def _current(cls: type) -> type:
    """Give a class that stands for the formula's code as it is now.

    A notebook or ``%autoreload`` may replace the code of a method, or a function or constant that
    it uses, inside the same class. Numba compiles once for a class, so a changed formula becomes a
    new class.
    """
    code = _code_of(cls)
    marks = [_mark(thing) for thing in code]
    known = _compiled.get(cls)
    if known is not None:
        if known[1] == marks:
            return known[2]
        for thing in code:  # helpers that Numba has compiled keep the constants of that moment
            if isinstance(thing, Dispatcher):
                thing.recompile()
    # The name must be new too: Numba names machine code after it, and LLVM links by name.
    name = f"{cls.__name__}_{next(_numbers)}"
    current = type(name, (cls,), {"__slots__": (), "__module__": cls.__module__})
    _compiled[cls] = code, marks, current
    return current


def _mark(thing: Any) -> Any:
    """Give what tells a thing from another; arrays, which Numba freezes, may change in place."""
    return (id(thing), thing.tobytes()) if isinstance(thing, np.ndarray) else id(thing)


def _code_of(cls: type) -> list[Any]:
    """Every object that the formula's methods are compiled from, found through their names."""
    found: list[Any] = []
    seen: set[int] = set()

    def visit(thing: Any, names: tuple[str, ...] = ()) -> None:
        found.append(thing)
        thing = getattr(thing, "py_func", thing)  # of a function compiled by Numba
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, python_types.ModuleType):
            found.extend(vars(thing)[name] for name in names if name in vars(thing))
        elif isinstance(thing, python_types.FunctionType):
            visit_code(thing.__code__, thing)

    def visit_code(code: python_types.CodeType, function: python_types.FunctionType) -> None:
        found.append(code)
        for cell in function.__closure__ or ():
            visit(cell.cell_contents)
        for name in code.co_names:
            if name in function.__globals__:
                visit(function.__globals__[name], code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, python_types.CodeType):
                visit_code(constant, function)

    for name in METHODS:
        if hasattr(cls, name):
            visit(getattr(cls, name))
    return found

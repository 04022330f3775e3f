"""Errors of a user's formula that Numba cannot compile, in words that name what is at fault."""

from types import TracebackType
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.core.errors import NumbaError, UnsupportedBytecodeError

from fastloss.binding import BUILT_IN, METHODS, bind
from fastloss.formulas import Formula

FLOAT64 = np.dtype(np.float64)


class compiling:  # noqa: N801
    """Turn what Numba raises about a formula, in a block that compiles it, into a TypeError.

    What the formula itself raises passes.
    """

    __slots__ = ("_formula",)

    def __init__(self, formula: Formula) -> None:
        self._formula = formula

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise TypeError if a method cannot be compiled."""
        if not isinstance(error, Exception):
            return
        reason = _reason(self._formula)
        if reason is None and not isinstance(error, NumbaError | UnsupportedBytecodeError):
            return
        raise TypeError(
            f"the formula {self._formula!r} cannot be compiled; its methods must be what Numba can "
            f"compile for one number r, and functions they call be decorated by numba.njit: "
            f"{reason or _line(error)}"
        ) from error


def _reason(formula: Any) -> str | None:
    """Say why the first bad method cannot be compiled: of a kernel, Numba would say it of that."""
    if type(formula) in BUILT_IN or numba.config.DISABLE_JIT:
        return None
    signature = numba.typeof(bind(formula, FLOAT64)), types.float64
    for name in METHODS:
        method = getattr(type(formula), name, None)
        if not callable(method):
            continue
        more = (types.float64,) if name == "scaled_grad" else ()
        try:
            compiled = numba.njit(getattr(method, "py_func", method))
            compiled.compile(signature + more)
        except Exception as error:
            return f"{name}: {_line(error)}"
        gives = compiled.nopython_signatures[0].return_type
        if not isinstance(gives, types.Number | types.Boolean):
            return f"{name}: it gives no number but {gives}"
    return None


def _line(error: Exception) -> str:
    """Give the first line that says something."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not line.startswith("Failed in")), repr(error))

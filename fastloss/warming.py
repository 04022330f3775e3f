"""Compiling ahead, for images and containers whose first call is not to wait."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastloss.definition import is_auto
from fastloss.formulas import FORMULAS
from fastloss.interrupts import import_whole
from fastloss.loss import Loss

# What a method needs compiled, for totals and for single losses.
KINDS = {
    "value": ("total", "values"),
    "grad": ("gradient",),
    "value_and_grad": ("both",),
    "grad_and_hess": ("curvature",),
}
DTYPES = ("float32", "float64")


def warmup(
    losses: Iterable[Loss] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    methods: Iterable[str] = ("value", "grad", "value_and_grad"),
    weights: bool = False,
    large: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> int:
    """Compile CPU kernels ahead of their first call, and keep them on disk.

    A call compiles what it needs, once on a machine, in one to three seconds. This does it for all
    calls of some kinds. Thresholds and reductions make no difference: one loss stands for all of
    its class.

    Parameters
    ----------
    losses : iterable of Loss, optional
        One of each class by default.
    dtypes : iterable of {'float32', 'float64'}
        The precisions of the arithmetic. Integers are computed in float64, float16 in float32.
    methods : iterable of {'value', 'grad', 'value_and_grad', 'grad_and_hess'}
        ``'value'`` is the call of the loss itself.
    weights : bool
        Whether to compile the kernels for weights too.
    large : bool
        Whether to compile those for arrays of many elements, on several threads and past the
        cache: three quarters of the time.
    progress : callable, optional
        Called before each kernel with the number done, the number of all, and its name; at the
        end with the number of all twice.

    Returns
    -------
    int
        How many kernels are ready.

    Raises
    ------
    TypeError
        If one of the losses is no loss, or ``weights`` or ``large`` no bool.
    ValueError
        If a dtype or method has another name, or a threshold is ``'auto'``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.warmup([fl.L1Loss()], dtypes=["float64"], methods=["value"], large=False)
    2
    """
    formulas = [cls() for cls in FORMULAS] if losses is None else _formulas(losses)
    dtypes, methods = _known("dtypes", dtypes, DTYPES), _known("methods", methods, tuple(KINDS))
    for name, flag in (("weights", weights), ("large", large)):
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {flag!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable or None, got {progress!r}")
    import_whole("fastloss.cpu.ahead")
    from fastloss.cpu.ahead import compilations

    todo = [
        (f"{type(formula).__name__} {dtype} {name}", run)
        for formula in formulas
        for dtype in dtypes
        for method in methods
        for kind in KINDS[method]
        for name, run in compilations(formula, np.dtype(dtype), kind, weights, large)
    ]
    for done, (name, run) in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), name)
        run()
    if progress is not None:
        progress(len(todo), len(todo), "")
    return len(todo)


def _formulas(losses: Iterable[Loss]) -> list[object]:
    found: dict[type, object] = {}
    for loss in _items("losses", losses):
        if not isinstance(loss, Loss):
            raise TypeError(f"losses must be losses, got {loss!r}")
        if is_auto(loss):
            raise ValueError(f"losses must have their thresholds, got {loss!r}")
        found.setdefault(type(loss.formula), loss.formula)
    return list(found.values())


def _known(name: str, given: Iterable[str], allowed: tuple[str, ...]) -> list[str]:
    chosen = (
        [given] if isinstance(given, str) else list(dict.fromkeys(map(str, _items(name, given))))
    )
    for item in chosen:
        if item not in allowed:
            raise ValueError(f"{name} must be among {', '.join(allowed)}, got {item!r}")
    return chosen


def _items(name: str, given: Iterable[Any]) -> list[Any]:
    try:
        return list(given)
    except TypeError:
        raise TypeError(f"{name} must be an iterable, got {given!r}") from None

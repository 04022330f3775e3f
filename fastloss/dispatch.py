"""Which back end computes: the one where the arrays live.

Back ends load at the first call, so that ``import fastloss`` costs no more than ``import numpy``.
"""

from types import ModuleType

from fastloss.place import HOST, Place


def elementwise(*arrays: object) -> tuple[ModuleType, Place]:
    """Give the module whose ``compute`` runs on these arrays, and the place they live in.

    Raises
    ------
    TypeError
        If an array lives where no back end is.
    """
    _require_host(arrays)
    from fastloss.cpu import backend

    return backend, HOST


def linear(*arrays: object) -> ModuleType:
    """Give the module whose ``evaluate`` runs the linear model on these arrays.

    Raises
    ------
    TypeError
        If an array lives where no back end is.
    """
    _require_host(arrays)
    from fastloss.cpu import linear

    return linear


def _require_host(arrays: tuple[object, ...]) -> None:
    for array in arrays:
        if hasattr(array, "__dask_graph__"):
            raise TypeError("Dask collections have no back end: call compute() on them first")
        if hasattr(array, "__cuda_array_interface__"):
            raise TypeError("arrays on a GPU have no back end: copy them to the host first")

"""How elementwise losses become one number: torch's ``reduction`` and its two older spellings."""

import warnings
from enum import StrEnum

import numpy as np

from fastloss.arrays import caller_level


class Reduction(StrEnum):
    """What a loss gives: every element, their mean, or their sum."""

    NONE = "none"
    MEAN = "mean"
    SUM = "sum"


def parse(reduction: str) -> Reduction:
    """Give the reduction of this name; ValueError names the ones there are."""
    try:
        return Reduction(reduction)
    except (TypeError, ValueError):  # some arrays cannot be compared with a name
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}") from None


def parse_with_legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> Reduction:
    """Let torch's deprecated arguments override ``reduction``, as torch does.

    ``reduce=False`` is ``'none'``; otherwise ``size_average=False`` is ``'sum'``, and anything
    else ``'mean'``.
    """
    parsed = parse(reduction)
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None and not isinstance(value, bool | np.bool_):
            hint = f"; did you mean reduction={value!r}?" if isinstance(value, str) else ""
            raise TypeError(f"{name} must be a bool or None, got {value!r}{hint}")
    if size_average is None and reduce is None:
        return parsed
    if reduce is not None and not reduce:
        parsed = Reduction.NONE
    elif size_average is not None and not size_average:
        parsed = Reduction.SUM
    else:
        parsed = Reduction.MEAN
    warnings.warn(
        f"size_average and reduce are deprecated: use reduction={parsed.value!r}",
        DeprecationWarning,
        stacklevel=caller_level(),
    )
    return parsed

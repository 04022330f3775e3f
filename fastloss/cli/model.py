"""What a fit has found, as the command line reports it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastloss.cli.errors import CommandError
from fastloss.cli.tables import Data
from fastloss.cli.values import WITH_THRESHOLD

INTERCEPT = "intercept"
# Of the object below; one with other keys, or other meanings of them, has another number.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a fit."""

    result: Any
    """See :func:`fastloss.fit`; of one that was interrupted ``x``, ``fun`` and ``nit`` alone."""
    threshold: float | None
    outliers: int | None
    seconds: float


def described(data: Data, found: Found, loss: str, intercept: bool) -> dict[str, Any]:
    """Give the model as one object of JSON."""
    result, p = found.result, len(data.features)
    coefficients = {INTERCEPT: float(result.x[p])} if intercept else {}
    coefficients.update(zip(data.features, map(float, result.x[:p]), strict=True))
    scale = result.get("scale")
    return {
        "format": FORMAT,
        "coefficients": coefficients,
        "fit_intercept": intercept,
        "loss": loss,
        "beta": found.threshold,
        "fun": float(result.fun),
        "scale": None if scale is None else float(scale),
        "n_rows": data.rows,
        "n_dropped": data.dropped,
        "n_outliers": found.outliers,
        "n_iter": int(result.nit),
        "success": bool(result.success),
        "message": str(result.message),
    }


def as_json(model: dict[str, Any], indent: int | None = None) -> str:
    """Give JSON.

    Raises
    ------
    CommandError
        If a number is not finite.
    """
    try:
        return json.dumps(model, allow_nan=False, indent=indent)
    except ValueError:
        raise CommandError(
            "the fit overflowed to numbers that are not finite: rescale the columns"
        ) from None


def figures(model: dict[str, Any], seconds: float, drop_missing: bool) -> Iterator[tuple[str, str]]:
    """Give what a table shows beside the coefficients."""
    rows: int = model["n_rows"]
    loss: str = model["loss"]
    yield "rows", f"{rows:,}"
    if drop_missing:
        yield "rows dropped", f"{model['n_dropped']:,}"
    if model["n_outliers"] is not None:
        yield "outliers", f"{model['n_outliers']:,} ({model['n_outliers'] / rows:.2%})"
    if model["beta"] is not None:
        loss += f", {WITH_THRESHOLD[loss][0]} {model['beta']:.6g}"
    yield "loss", loss
    yield "loss value", f"{model['fun']:.8g}"
    if model["scale"] is not None:
        yield "scale", f"{model['scale']:.6g}"
    yield "iterations", f"{model['n_iter']}"
    yield "fit time", f"{seconds:.3g} s, {rows / seconds:,.0f} rows per second"
    yield "converged", "yes" if model["success"] else "no"

"""How far results are from the exact ones, in units in the last place, beside torch and NumPy.

Exact values are those of ``tests/reference.py``, from the definitions: float64 for float16 and
float32, numbers of 60 digits for float64. Their residual is the number that is passed (the target
is 0), their threshold the one that the precision holds. ``--write`` makes docs/accuracy.md.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from compare import machine
from rich.progress import track

import fastloss as fl
from tests.ulp import (
    THRESHOLDS,
    errors,
    exact,
    formulas,
    many_residuals,
    nearly_exact,
    residuals,
)

try:
    import torch
except ImportError:
    torch = None

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
SUMS = (1_000, 100_000, 10_000_000)


def ours(formula, r):
    loss = fl.Loss(formula, "none")
    gradient, curvature = loss.grad_and_hess(r, np.zeros_like(r))
    return {"value": loss(r, np.zeros_like(r)), "grad": gradient, "hess": curvature}


def in_torch(formula, r):
    functional, options = torch.nn.functional, {"reduction": "none"}
    call = {
        "SmoothL1": lambda x, y: functional.smooth_l1_loss(x, y, beta=formula[0], **options),
        "Huber": lambda x, y: functional.huber_loss(x, y, delta=formula[0], **options),
        "L1": lambda x, y: functional.l1_loss(x, y, **options),
        "SquaredError": lambda x, y: functional.mse_loss(x, y, **options),
    }[type(formula).__name__]
    x = torch.from_numpy(r.copy()).requires_grad_()
    value = call(x, torch.zeros_like(x))
    value.sum().backward()
    return {"value": value.detach().numpy(), "grad": x.grad.numpy()}


def in_numpy(formula, r):
    """The expressions that people write, in the arrays' own precision."""
    a = np.abs(r)
    half, threshold = r.dtype.type(0.5), r.dtype.type(formula[0] if formula else 0)
    with np.errstate(all="ignore"):
        return {
            "SmoothL1": lambda: {
                "value": np.where(a < threshold, half * r**2 / threshold, a - half * threshold),
                "grad": np.where(a < threshold, r / threshold, np.sign(r)),
                "hess": np.where(a < threshold, 1 / threshold, 0),
            },
            "Huber": lambda: {
                "value": np.where(a <= threshold, half * r**2, threshold * (a - half * threshold)),
                "grad": np.clip(r, -threshold, threshold),
                "hess": np.where(a < threshold, r.dtype.type(1), 0),
            },
            "L1": lambda: {"value": a, "grad": np.sign(r), "hess": np.zeros_like(r)},
            "SquaredError": lambda: {"value": r**2, "grad": 2 * r, "hess": np.full_like(r, 2)},
        }[type(formula).__name__]()


IMPLEMENTATIONS = {"fastloss": ours, "NumPy": in_numpy}
if torch is not None:
    IMPLEMENTATIONS["torch"] = in_torch


class Error(NamedTuple):
    """The errors of some elements, added up."""

    largest: float
    total: float
    count: int
    """Of finite errors, whose sum is ``total``."""

    def __str__(self) -> str:
        return f"{self.largest:.2f} ({self.total / max(1, self.count):.2g})"


def measured(computed, true, dtype) -> Error:
    found = errors(computed, true, dtype)
    finite = found[np.isfinite(found)]
    return Error(float(found.max()), float(finite.sum()), finite.size)


def together(a: Error, b: Error) -> Error:
    return Error(max(a.largest, b.largest), a.total + b.total, a.count + b.count)


def elements(dtype: str, names=tuple(IMPLEMENTATIONS)) -> dict:
    """Give errors by loss and kind, over all thresholds, for each implementation."""
    r = many_residuals(dtype) if dtype == "float32" else residuals(dtype)
    found: dict = {}
    for formula in track(list(formulas(dtype)), dtype):
        true = (exact if dtype == "float64" else nearly_exact)(formula, r)
        for name in names:
            for kind, computed in IMPLEMENTATIONS[name](formula, r).items():
                key = type(formula).__name__, kind, name
                here = measured(computed, true[kind], dtype)
                found[key] = together(found.get(key, Error(0.0, 0.0, 0)), here)
    return found


def sums(dtype: str) -> list:
    """Give relative errors of sums of absolute errors, whose terms have no error of their own."""
    rows = []
    for n in SUMS:
        x = np.random.default_rng(0).standard_normal(n).astype(dtype)
        zero, right = np.zeros_like(x), math.fsum(np.abs(x).tolist())
        row = {"fastloss": fl.l1_loss(x, zero, reduction="sum"), "NumPy": float(np.abs(x).sum())}
        if torch is not None:
            tensors = torch.from_numpy(x), torch.from_numpy(zero)
            row["torch"] = torch.nn.functional.l1_loss(*tensors, reduction="sum").item()
        rows.append((n, {name: abs(total - right) / right for name, total in row.items()}))
    return rows


def page() -> str:
    about, names = machine(), list(IMPLEMENTATIONS)
    versions = ", ".join(f"{name} {about[name.lower()]}" for name in names)
    parts = [
        "# Accuracy",
        "",
        f"Taken by `python bench/accuracy.py --write` on {about['cpu']}: {versions}.",
        "",
        "## Elements",
        "",
        "The largest error of an element and, in brackets, the mean of those that are finite, in",
        "units in the last place of the exact value, which is computed from the residual that is",
        "passed and the threshold that the arithmetic holds (float32 for float16): with 60 digits",
        "for float64, in float64 for the others, which `tests/test_accuracy.py` compares with 60",
        "digits. Residuals: all 65,536 float16; every exponent, subnormal ones too, with 512",
        "mantissas in float32 and six in float64, and both signs; eight numbers on both sides of",
        "each threshold; 0, infinity and NaN. Thresholds:",
        "",
        *(f"- {dtype}: {', '.join(map(str, values))}" for dtype, values in THRESHOLDS.items()),
        "",
        "`inf` is a finite number that came out infinite or NaN, or a NaN that was lost. torch has",
        "no curvature; Huber with a threshold of 0 is refused. `tests/test_exhaustive.py` demands",
        "of every float16 the rounding of a float32 within two units: half a unit, and 1/4096.",
    ]
    for dtype in THRESHOLDS:
        found = elements(dtype)
        parts += ["", f"### {dtype}", "", f"| loss | | {' | '.join(names)} |"]
        parts.append("|---|---" + "|---:" * len(names) + "|")
        for loss, kind in dict.fromkeys(key[:2] for key in found):
            cells = [str(found[loss, kind, n]) if (loss, kind, n) in found else "" for n in names]
            parts.append(f"| {loss} | {kind} | {' | '.join(cells)} |")
    parts += [
        "",
        "## Sums",
        "",
        "Relative error of the sum of absolute values of n normal numbers, which have no error of",
        "their own. fastloss adds in float64 and gives a Python float; its bound is 3.4e-16.",
    ]
    for dtype in ("float32", "float64"):
        parts += ["", f"| {dtype}, n | {' | '.join(names)} |", "|---:" * (1 + len(names)) + "|"]
        for n, row in sums(dtype):
            parts.append(f"| {n:,} | {' | '.join(f'{row[name]:.1e}' for name in names)} |")
    parts += [
        "",
        "The sum has the same bits for any number of threads, any memory layout (arrays that",
        "all lie in Fortran order are added in that, to the last bit), and alone or",
        "beside the gradient; beside outputs larger than the last-level cache, whose blocks begin",
        "where a line of memory does, it may differ in the last bit. The tests prove both:",
        "`tests/cpu/test_elementwise.py`, `tests/cpu/test_streaming.py`, `tests/test_accuracy.py`.",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md")
    given = parser.parse_args()
    text = page()
    if given.write:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The data of a linear model in chunks of rows, on the workers of any of Dask's schedulers."""

from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np

from fastloss.cpu import gram, linear
from fastloss.cpu.design import MOST, Design
from fastloss.cpu.layout import vector
from fastloss.cpu.one_pass import OnePass
from fastloss.dask import schedulers, versions, work
from fastloss.dask.chunks import Chunks
from fastloss.dask.rows import rows
from fastloss.dask.tasks import Call, checked
from fastloss.dask.threads import fair_share
from fastloss.formulas import Formula
from fastloss.model import Asked, Curvature, Curved, bad_weight, check_total_weight
from fastloss.progress import Watch
from fastloss.scale import Spread
from fastloss.stream.look import Look
from fastloss.stream.measure import Measure
from fastloss.stream.middle import Middle
from fastloss.typing import Array, Vector

# Bytes of the rows that are kept as a sample.
LOOK_BYTES = 1 << 26


class DaskModel(OnePass):
    """Rows of a linear model, see :class:`fastloss.model.Model`.

    Nothing but weights is computed before something is asked for. Then a task for each chunk gives
    all that is asked of it, and results are added up in an order that the chunks alone decide: no
    scheduler, number of workers or placement changes a bit. Chunks are loaded at each evaluation,
    unless they are persisted.

    Parameters
    ----------
    X, y, weight
        What the user gave; one is a Dask array at least.
    device : None
        Nothing else is possible.
    """

    watch: Watch | None = None

    def __init__(self, X: Any, y: Any, weight: Any, device: object) -> None:
        if device is not None:
            raise TypeError(
                f"device must be None with Dask arrays, whose chunks are computed where they live, "
                f"got {device!r}"
            )
        self.X, self.y, self.weight = X, y, weight
        met = rows(X, y, weight)
        self._shape: tuple[int, int] = met.X.shape
        client = schedulers.client_of(schedulers.in_force())
        if client is not None:
            versions.check(client)
        self._chunks = Chunks(*met)
        self._lazy = met.X, met.y
        self._passes = 0
        self._look: Look | None = None
        self._count = float(self.shape[0])
        if met.weight is not None:
            self._count = _sum_of_weights(met.weight, "weight" in met.held)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._shape

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""
        return self._count

    @property
    def newton_coefficients(self) -> int:
        """Those of an X'DX that kernels give: the bits of BLAS depend on where chunks lie."""
        return MOST + 1 if self.one_pass else 0

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        found = self._pass(work.evaluated, formula, w, scale, direction)
        return sum(found.total), found.arrays[0]

    def _curved(self, asked: Asked) -> Curved:
        rest = asked._replace(formula=None)  # type: ignore[arg-type]  # it goes packed
        found = self._pass(work.curved, asked.formula, rest)
        return gram.curved(asked, sum(found.total), *found.arrays)

    def head(self, count: int) -> Array | None:
        """Give the first rows of X's first chunk."""
        found: Array = self._chunks.compute(Call(work.head, None, count), first_only=True).parts[0]
        return found

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None] | None:
        """Give rows from all over, as many as were kept in the first pass."""
        return self._looked().sample(count)

    def nearest(self, w: Vector, count: int) -> None:
        """Leave rows where they are."""

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Say that it may be so."""
        return True

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``."""
        return self._pass(work.multiplied, formula, w, curvature, means, size).arrays[0]

    def turned(self, means: Vector, turn: Array) -> None:
        """Leave it: the bits of BLAS depend on where chunks lie."""

    def residuals(self, w: Vector) -> Any:
        """Give ``X @ w - y``, lazily."""
        X, y = self._lazy
        return da.map_blocks(
            partial(_residuals, w=w.copy()), X, y[:, None], drop_axis=1, dtype=np.float64
        )

    def spread(self, w: Vector) -> Spread:
        """Measure the residuals, in one pass and without keeping them."""
        look = self._looked()
        measure = Measure(Middle(look.residuals(w), look.weight))
        for part in self._pass(work.measured, None, w, measure).parts:
            measure.merge(part)
        # Or the sample was nothing like the rest, which has to be held once.
        return measure.spread() or Spread.of(*self._loaded(self.residuals(w), self.weight))

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals whose absolute value is below the threshold."""
        return int(self._pass(work.within, None, w, threshold).total[0])

    def largest_target(self) -> float:
        """Give the largest absolute value of y in the rows that have weight."""
        return self._looked().largest

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row."""
        return next(filter(None, self._pass(work.bad_rows, None).parts), {})

    def where(self, row: int) -> str:
        """Say in which chunk a row lies."""
        return f"in {self._chunks.of_row(row)}"

    def on_host(self) -> tuple[Array, Vector | None]:
        """Compute X and the weights."""
        X, weight = self._loaded(self.X, self.weight)
        return X, weight

    def to_host(self, array: Any) -> Vector:
        """Compute an array."""
        found: Vector = self._loaded(array)[0]
        return found

    def _loaded(self, *arrays: Any) -> Any:
        """Compute arrays in one pass; what is None stays so."""
        self._passes += 1
        found = dask.compute(*arrays, scheduler=schedulers.in_force())
        self._tell()
        return [array if array is None else np.asarray(array) for array in found]

    def _pass(self, function: Any, formula: Any, *arguments: Any) -> work.Result:
        """Do a work on all chunks once; the first one looks at them too."""
        self._passes += 1
        if self._look is not None:
            found = self._chunks.compute(Call(function, formula, *arguments))
        else:
            look = Look(self.shape, self.weight is not None, LOOK_BYTES)
            call = Call(work.looking, formula, look.places, function, *arguments)
            found = self._chunks.compute(call)
            *parts, glances = zip(*found.parts, strict=True)
            for glance in glances:
                look.add(glance)
            self._look = look
            found = found._replace(parts=tuple(part for each in parts for part in each))
        self._tell()
        return found

    def _tell(self) -> None:
        if self.watch is not None:
            self.watch(self._passes, self.shape[0], self.shape[0])

    def _looked(self) -> Look:
        if self._look is None:
            self._pass(work.nothing, None)
        assert self._look is not None
        return self._look


def _sum_of_weights(weight: da.Array, held: bool) -> float:
    column = weight[:, None]  # in X's place
    named = "weight", "weight", ""
    chunks = Chunks(column, weight, None, ("X", "y") if held else (), named)
    found = chunks.compute(Call(work.weights, None))
    if found.parts:
        row, value = found.parts[0]
        raise bad_weight(value, row, f"in {chunks.of_row(row)}")
    total = sum(found.total)
    check_total_weight(total)
    return total


def _residuals(X: Array, y: Array, w: Vector) -> Vector:
    if not X.size and not y.size:
        return np.empty(0)
    X = checked("X", X, (len(y), w.size - 1))
    y = checked("y", y, (len(y), 1))
    with fair_share():
        return linear.residuals(Design.of(X), vector(y[:, 0]), w)

"""The data of a linear model that is read block by block, as often as a fit asks for it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
from numba import get_num_threads

from fastloss.cpu import gram, linear, sums
from fastloss.cpu.design import MOST, Design
from fastloss.cpu.evaluate import total_of
from fastloss.cpu.model import gram_of
from fastloss.curvature import majorising, own
from fastloss.formulas import Formula
from fastloss.model import COEFFICIENTS, Curvature, check_weights
from fastloss.progress import Watch
from fastloss.scale import Spread
from fastloss.stream.look import Glance, Look
from fastloss.stream.measure import Measure
from fastloss.stream.middle import Middle
from fastloss.stream.piece import Piece
from fastloss.stream.rows import Block, Rows
from fastloss.typing import Array, Vector

# Of the budget, what blocks may take; the rest is for results and what reading needs.
SHARE = 0.5
# Rows that show how X will lie.
PROBE = 8


class StreamedModel:
    """Rows of a linear model, see :class:`fastloss.model.Model`.

    Blocks of rows have the bounds that they have in memory, where so much memory may be used, and
    their results are added up in the same order: so value and gradient have the same bits.

    Parameters
    ----------
    rows : Rows
        Where they come from.
    X, y, weight
        What the user calls them.
    memory : int
        Bytes to be used at most, beside what the interpreter and results take.
    """

    watch: Watch | None = None
    newton_coefficients = COEFFICIENTS

    def __init__(self, rows: Rows, X: Any, y: Any, weight: Any, memory: int) -> None:
        self.X, self.y, self.weight = X, y, weight
        self.shape = rows.shape
        self._rows = rows
        self._passes = 0
        self._look: Look | None = None
        n, p = self.shape
        self._like = like = Design.of(rows.block(0, min(n, PROBE)).X).among(n)
        suits = rows.block_bytes // (max(p, 1) * rows.dtype.itemsize)
        most = min(rows.rows_within(int(SHARE * memory)), max(suits, get_num_threads() * like.rows))
        # Whole blocks of the kernels', or parts of one.
        whole = like.rows if most >= like.rows else like.tile
        self._step = min(n, max(1, most // whole) * whole)
        self._count = float(n)
        if weight is not None:
            self._count = self._sum_of_weights()

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""
        return self._count

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        totals, gradient = [], np.zeros(w.size)
        curvature = None if direction is None else np.empty(self._step)
        for piece in self._pieces():
            rows = piece.design, piece.y, piece.weight
            here = None if curvature is None else curvature[: piece.y.size]
            found = linear.evaluate(formula, *rows, w, scale, direction, here)
            totals.append(found.totals)
            _add(gradient, found.gradients)
        return sums.total(np.concatenate(totals)), gradient

    @property
    def one_pass(self) -> bool:
        """Whether X has few columns."""
        return self.shape[1] <= MOST

    def curved(
        self, formula: Formula, w: Vector, scale: float, curvature: Curvature, means: Vector
    ) -> tuple[float, Vector, Array] | None:
        """Do so for few columns, and the curvatures that are known to kernels."""
        p = self.shape[1]
        if p > MOST or curvature not in (own, majorising):
            return None
        totals: list[Array] = []
        results: list[Vector] = []
        for piece in self._pieces():
            rows = piece.design, piece.y, piece.weight
            found = gram.evaluate(formula, *rows, w, scale, means[:p], curvature is majorising)
            totals.append(found.totals)
            parts = found.gradients, found.grams, found.ones
            results = results or [np.zeros(part.shape[1]) for part in parts]
            for total, part in zip(results, parts, strict=True):
                _add(total, part)
        gradient, grams, ones = results
        return sums.total(np.concatenate(totals)), gradient, gram.whole(grams, ones)

    def head(self, count: int) -> Array | None:
        """Give X's first rows."""
        return np.asarray(self._rows.block(0, min(count, self.shape[0])).X, np.float64)

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None] | None:
        """Give rows from all over, as many as were kept in the first pass."""
        return self._looked().sample(count)

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, block by block."""
        total = np.zeros((size, size))
        for piece in self._pieces():
            rows = piece.X, piece.y, piece.weight
            total += gram_of(*rows, formula, w, curvature, means, size)
        return total

    def residuals(self, w: Vector) -> Vector:
        """Give ``X @ w - y``."""
        out = np.empty(self.shape[0])
        for piece in self._pieces():
            out[piece.low : piece.low + piece.y.size] = piece.residuals(w)
        return out

    def spread(self, w: Vector) -> Spread:
        """Measure the residuals, in one pass and without keeping them."""
        look = self._looked()
        measure = Measure(Middle(look.residuals(w), look.weight))
        for piece in self._pieces():
            measure.add(piece.residuals(w), piece.weight)
        # Or the sample was nothing like the rest, which has to be held once.
        return measure.spread() or Spread.of(self.residuals(w), self._all_weights())

    def within(self, w: Vector, threshold: float) -> int:
        """Count the residuals whose absolute value is below the threshold."""
        return sum(piece.within(w, threshold) for piece in self._pieces())

    def largest_target(self) -> float:
        """Give the largest absolute value of y."""
        return self._looked().largest

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row."""
        for piece in self._pieces():
            if bad := piece.first_bad_rows():
                return bad
        return {}

    def where(self, row: int) -> str:
        """Say in which file a row lies, if its source has several."""
        return self._rows.where(row)

    def on_host(self) -> tuple[Array, Vector | None]:
        """Read X and the weights."""
        block = self._rows.block(0, self.shape[0])
        return block.X, block.weight

    def to_host(self, array: Any) -> Vector:
        """Give the array itself."""
        vector: Vector = array
        return vector

    def _pieces(self) -> Iterator[Piece]:
        """Read all rows once."""
        n, p = self.shape
        self._passes += 1
        look = Look(n, p, self.weight is not None) if self._look is None else None
        with closing(self._rows.blocks(self._step)) as blocks:
            for block in blocks:
                if look is not None:
                    look.add(Glance.of(look.places, *block))
                yield self._piece(block)
                if self.watch is not None:
                    self.watch(self._passes, block.low + block.y.size, n)
        if look is not None:
            self._look = look

    def _piece(self, block: Block) -> Piece:
        return Piece.of(block.low, Design.of(block.X, self._like), *block[1:])

    def _looked(self) -> Look:
        if self._look is None:
            for _ in self._pieces():
                pass
        assert self._look is not None
        return self._look

    def _sum_of_weights(self) -> float:
        parts, low = [], np.inf
        for piece in self._pieces():
            assert piece.weight is not None
            parts.append((total_of(piece.weight, piece.weight.dtype), 0.0))
            low = min(low, float(piece.weight.min()))
        total = sums.total(np.array(parts))
        check_weights(low, total)
        return total

    def _all_weights(self) -> Vector | None:
        if self.weight is None:
            return None
        return np.concatenate([np.array(p.weight, np.float64) for p in self._pieces()])


def _add(total: Vector, parts: Array) -> None:
    """Add rows up, one after the other, as those of blocks in memory are."""
    for part in parts:
        total += part

"""The data of a linear model that is read block by block, as often as a fit asks for it."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from fastloss.cpu import nearby, sums
from fastloss.cpu.design import Design
from fastloss.cpu.evaluate import sums_of_blocks
from fastloss.cpu.layout import vector
from fastloss.cpu.model import gram_of
from fastloss.cpu.one_pass import OnePass
from fastloss.cpu.sizes import BLOCK
from fastloss.formulas import Formula
from fastloss.model import (
    COEFFICIENTS,
    Asked,
    Curvature,
    Curved,
    Model,
    Nearest,
    check_each_weight,
    check_total_weight,
)
from fastloss.parallelism import get_num_threads
from fastloss.progress import Watch
from fastloss.scale import Spread
from fastloss.stream.look import Glance, Look
from fastloss.stream.mapped import parts
from fastloss.stream.measure import Measure
from fastloss.stream.middle import Middle
from fastloss.stream.piece import Piece
from fastloss.stream.rows import Block, Rows
from fastloss.stream.totals import Evaluation, Quadratic
from fastloss.stream.turned import Turned
from fastloss.typing import Array, Vector

# Of the budget: what blocks may take with what is made of one, the rows that are kept, and weights
# of a map, which takes some pages around them. Short blocks cost: within 200 MB, 8,000,000 x 20
# float32 of Parquet take 1.2 times what pyarrow alone takes, 1.5 where blocks have half of it.
BLOCKS_SHARE = 0.75
LOOK_SHARE = 0.0625
WEIGHTS_SHARE = 0.5
# Weights that are added up at a time, whole blocks of a sum.
WEIGHTS = 8 * BLOCK
# Rows that show how X will lie.
PROBE = 8


class Total(Protocol):
    """What is added up over rows."""

    def add(self, piece: Piece) -> None:
        """Add some rows."""


class StreamedModel(OnePass):
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
        self._rows = rows
        self._memory = memory
        self._look_bytes = int(LOOK_SHARE * memory)
        self._passes = 0
        self._look: Look | None = None
        n = self.shape[0]
        first = rows.block(0, min(n, PROBE))
        self._weighted = first.weight is not None
        self._like = Design.of(first.X).among(n)
        self._step = self._block_rows(memory)
        self._count = self._sum_of_weights() if self._weighted else float(n)

    def _block_rows(self, memory: int) -> int:
        """Give the rows that are read at once: whole blocks of the kernels', or parts of one."""
        n, p = self.shape
        suits = self._rows.block_bytes // (max(p, 1) * self._rows.dtype.itemsize)
        most = min(
            self._rows.rows_within(int(BLOCKS_SHARE * memory)),
            max(suits, get_num_threads() * self._like.rows),
        )
        whole = self._like.rows if most >= self._like.rows else self._like.tile
        count = max(1, most // whole)
        if count > get_num_threads():  # as many for each: of 11 one thread would take 6
            count -= count % get_num_threads()
        rows: int = min(n, count * whole)
        return rows

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._rows.shape

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""
        return self._count

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        found = Evaluation(formula, w, scale, direction)
        self._read(found)
        return found.total, found.gradient

    def _curved(self, asked: Asked) -> Curved:
        found = Quadratic(asked)
        self._read(found)
        return found.curved()

    def head(self, count: int) -> Array | None:
        """Give X's first rows."""
        return np.asarray(self._rows.block(0, min(count, self.shape[0])).X, np.float64)

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None] | None:
        """Give rows from all over, as many as were kept in the first pass."""
        return self._looked().sample(count)

    def nearest(self, w: Vector, count: int) -> Nearest | None:
        """Give the ``count`` rows of smallest residuals, in two passes, if they may be held."""
        if 8 * count * (self.shape[1] + 3) > self._look_bytes:
            return None
        kept = nearby.find(self._pieces(), w, count)
        return None if kept is None else nearby.apart(kept, self._pieces(), w)

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Whether a residual beyond the bound at ``before`` has another sign at ``after``."""
        with closing(self._pieces()) as pieces:
            return nearby.changed(pieces, bound, before, after)

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, block by block."""
        total = np.zeros((size, size))
        for piece in self._pieces():
            rows = piece.X, piece.y, piece.weight
            total += gram_of(*rows, formula, w, curvature, means, size)
        return total

    def turned(self, means: Vector, turn: Array) -> Model | None:
        """Turn the rows as they are read."""
        return StreamedModel(Turned(self._rows, means, turn), None, None, None, self._memory)

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
        """Give the largest absolute value of y in the rows that have weight."""
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
        self._passes += 1
        block = self._rows.block(0, self.shape[0])
        self._tell(block)
        return np.asarray(block.X), block.weight

    def to_host(self, array: Any) -> Vector:
        """Give the array itself."""
        own: Vector = array
        return own

    def _read(self, *totals: Total) -> None:
        for piece in self._pieces():
            for total in totals:
                total.add(piece)

    def _pieces(self) -> Generator[Piece, None, None]:
        """Read all rows once."""
        self._passes += 1
        look = self._new_look() if self._look is None else None
        with closing(self._rows.blocks(self._step)) as blocks:
            for block in blocks:
                if look is not None:
                    look.add(Glance.of(look.places, *block))
                yield Piece.of(block.low, Design.of(block.X, self._like), *block[1:])
                self._tell(block)
        if look is not None:
            self._look = look

    def _tell(self, block: Block) -> None:
        if self.watch is not None:
            self.watch(self._passes, block.low + block.y.size, self.shape[0])

    def _new_look(self) -> Look:
        return Look(self.shape, self._weighted, self._look_bytes)

    def _looked(self) -> Look:
        if self._look is None:
            self._read()
        assert self._look is not None
        return self._look

    def _sum_of_weights(self) -> float:
        parts, low = [], 0
        for weight in self._weights():
            check_each_weight(weight, low, self.where)
            parts.append(sums_of_blocks(weight, weight.dtype))
            low += weight.size
        total = sums.total(np.concatenate(parts))
        check_total_weight(total)
        return total

    def _all_weights(self) -> Vector | None:
        if not self._weighted:
            return None
        return np.concatenate([np.array(weight, np.float64) for weight in self._weights()])

    def _weights(self) -> Iterator[Vector]:
        """Give the weights in order; a pass over all rows is needed where they lie with these."""
        if isinstance(self.weight, np.ndarray):
            memory = int(WEIGHTS_SHARE * self._memory)
            yield from map(vector, parts(self.weight, WEIGHTS, memory))
            return
        for piece in self._pieces():
            assert piece.weight is not None
            yield piece.weight

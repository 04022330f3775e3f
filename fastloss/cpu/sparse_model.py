"""The data of a linear model whose X is sparse."""

from typing import Any

import numpy as np

from fastloss.cpu.design import Design
from fastloss.cpu.model import HostModel, diagonal_of
from fastloss.cpu.sparse import centred, compressed
from fastloss.formulas import Formula
from fastloss.model import Curvature
from fastloss.place import Place
from fastloss.typing import Array, Vector

# Rows that are multiplied out at once.
ROWS = 1 << 16
# To cut rows from a matrix of columns reads all of it: so often at most.
CUTS = 16


class SparseModel(HostModel):
    """Sparse rows, see :class:`fastloss.model.Model`: of CSR or CSC; others become CSR."""

    def _matrix(self, place: Place, X: Any) -> Any:
        return compressed(X)

    def _describe(self) -> Design:
        return Design.of_sparse(self.X)

    @property
    def one_pass(self) -> bool:
        """It is not: SciPy's product of sparse matrices makes few zeros."""
        return False

    def head(self, count: int) -> None:
        """Leave it: most entries are zero."""

    def sample(self, count: int) -> None:
        """Leave it: most entries are zero."""

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, of the rows that have curvature."""
        total = np.zeros((size, size))
        rows = ROWS if self.X.format == "csr" else max(ROWS, -(-self.shape[0] // CUTS))
        for low in range(0, self.shape[0], rows):
            block = self.X[low : low + rows].tocsr()
            high = low + block.shape[0]
            weight = None if self.weight is None else self.weight[low:high]
            diagonal = diagonal_of(block, self.y[low:high], weight, formula, w, curvature)
            curved = np.flatnonzero(diagonal)
            block, diagonal = block[curved].astype(np.float64), diagonal[curved]
            scaled = block.copy()
            scaled.data *= np.repeat(diagonal, np.diff(block.indptr))
            gram = (block.T @ scaled).toarray()
            total += centred(gram, block.T @ diagonal, diagonal.sum(), means, size)
        return (total + total.T) / 2  # SciPy's products differ by rounding

    def turned(self, means: Vector, turn: Array) -> None:
        """Leave it: other coordinates have few zeros."""

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row."""
        rows = np.flatnonzero(~np.isfinite(self.y))
        bad = {"y": int(rows[0])} if rows.size else {}
        entries = np.flatnonzero(~np.isfinite(self.X.data))
        if entries.size:
            if self.X.format == "csr":
                bad["X"] = int(np.searchsorted(self.X.indptr, entries[0], "right")) - 1
            else:
                bad["X"] = int(self.X.indices[entries].min())
        return bad

    def on_host(self) -> tuple[Array, Vector | None]:
        """Give X, filled up with zeros, and the weights."""
        return self.X.toarray(), self.weight

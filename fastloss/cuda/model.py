"""The data of a linear model on a GPU: X read once for an evaluation where a kernel can do it.

``Rows`` launches the kernels of ``linear.py``. ``DeviceModel`` uses it where it moves less memory
than the library's products, which do the rest.
"""

from typing import Any

import numpy as np

from fastloss.binding import bind
from fastloss.cuda import launch, linear, parts
from fastloss.cuda.address import addresses
from fastloss.cuda.arrays import Device
from fastloss.cuda.jit import THREADS, VECTOR_BYTES
from fastloss.cuda.layout import first_element
from fastloss.cuda.libraries import library_of
from fastloss.cuda.linear import Tiling
from fastloss.formulas import Formula
from fastloss.matrix import ArrayModel
from fastloss.place import Place
from fastloss.typing import Array, Vector
from fastloss.uncompilable import compiling

ABSENT = ()
FLOAT64 = np.dtype(np.float64)
# Blocks at most, whatever the GPU: some four times those that an H100 or A100 runs at a time (528
# and 432), so that the last ones to end leave little of it idle.
BLOCKS = 2048
# Rows of a block at least: the 16 bytes that it leaves for each column are written and read, which
# is 32 for 256 of float32 X.
ROWS_OF_A_BLOCK = 64


def tiling(X: Array) -> Tiling | None:
    """Say how a matrix on a GPU is read once, or None where it is not.

    That takes rows of float32 or float64 without gaps between their elements, and no more columns
    than a block of threads has room for: 1,024 of float32, 512 of float64.

    By bytes for each element of float32 X, a gradient takes 4 here. The products read X twice, and
    widen it twice, block by block: 40 (twice read 4, write 8, read 8), of which 8 come from memory
    where the blocks stay in a second-level cache. It is 8 and 16 for float64, and 4 and 60 for a
    Hessian product, which has three products. The partial sums of the blocks add an eighth at most.

    On an H200 (copies at 4.2 TB/s) the kernel reads float64 at 4.2 TB/s at 8 and 32 columns and 3.2
    to 3.6 from 100 on, float32 at 3.3, 3.8 and 2.6 to 3.5; where rows are not aligned at 2.4 and
    3.2, and at one column at 1.4 and 2.1, there bound by some 100 instructions a row. What binds is
    their number: with signed indices of 64 bits it took half as many again, and 2.9 TB/s at 32
    columns of float32. Loading the next tile beside this one, with 80 or more registers and so
    fewer threads, is slower. A whole evaluation, with 0.1 ms for launches, the coefficients' way
    there and the results' back, is nowhere slower than by the products: 1.5 to 5 times as fast in
    float64, 6 to 11 times in float32 (docs/benchmarks-gpu.md).
    """
    n, p = X.shape
    size = X.dtype.itemsize
    if X.dtype not in (np.float32, np.float64) or not p or (p > 1 and X.strides[1] != size):
        return None
    lanes = VECTOR_BYTES // size
    threads = _ceil(p, lanes)
    if threads > THREADS:
        return None
    address = X.__array_interface__["data"][0]
    aligned = not (p % lanes or address % VECTOR_BYTES or X.strides[0] % VECTOR_BYTES)
    slots = THREADS // threads
    pitch = threads | 1  # odd, see ``parts.PARTS``
    height = parts.UNROLL * slots
    each = height * _ceil(max(ROWS_OF_A_BLOCK, _ceil(n, BLOCKS)), height)
    return Tiling(
        singly=ABSENT if aligned else 1,
        threads=threads,
        slots=slots,
        pitch=pitch,
        down=slots * pitch,
        height=height,
        shares=threads if threads <= parts.AT_ONCE else _ceil(threads, parts.FAN),
        each=each,
        blocks=_ceil(n, each),
    )


class Rows:
    """Rows of a linear model on a GPU, by kernels that read X once."""

    def __init__(
        self, place: Device, X: Array, y: Array, weight: Array | None, how: Tiling
    ) -> None:
        self._place = place
        self._how = how
        n, p = X.shape
        # For every launch the same. A plain tuple, as ``prepared`` takes others for formulas.
        self._arrays = [ABSENT if a is None else launch.argument(a) for a in (X, y, weight)]
        strides = _steps(y), ABSENT if weight is None else _steps(weight)
        self._sizes = n, p, *_steps(X), strides, tuple(how)
        self._owners = X, y, weight  # whose memory the arguments are

    @staticmethod
    def of(place: Device, X: Any, y: Any, weight: Any) -> "Rows | None":
        """Give the rows of a matrix that can be read once, or None; y and weight are float64."""
        described = place.array("X", X)
        how = tiling(described)
        if how is None:
            return None
        weights = None if weight is None else place.array("weight", weight)
        return Rows(place, described, place.array("y", y), weights, how)

    def evaluate(self, formula: Formula, w: Vector, direction: Vector | None) -> Vector:
        """Give the gradient of the sum of the losses and that sum.

        ``w`` and the direction end with the intercept's entry. With a direction, the Hessian times
        it stands for the gradient.
        """
        with launch.active(self._place.index), compiling(formula):
            return self._run(bind(formula, FLOAT64), w, direction)

    def _run(self, formula: Any, w: Vector, direction: Vector | None) -> Vector:
        """Launch both kernels; what they need beside X, y and weight is one piece of memory."""
        stream = launch.stream_at(self._place.library.stream(self._place.index))
        blocks, outputs = self._how.blocks, w.size + 1
        sent = np.concatenate([w] if direction is None else [w, direction])
        memory = self._place.scratch(sent.size + outputs + 2 * outputs * blocks, FLOAT64)
        at, _ = addresses(memory)
        result = at + sent.nbytes
        pairs = launch.vector(result + 8 * outputs, 2 * outputs * blocks, FLOAT64)
        launch.send_to(at, sent, stream)
        launch.run(
            linear.rows,
            blocks,
            stream,
            formula,
            *self._arrays,
            launch.vector(at, w.size, FLOAT64),
            ABSENT if direction is None else launch.vector(at + w.nbytes, w.size, FLOAT64),
            pairs,
            *self._sizes,
        )
        found = launch.vector(result, outputs, FLOAT64)
        launch.run(linear.outputs, outputs, stream, pairs, blocks, found)
        return launch.fetch_at(result, outputs, FLOAT64, stream)


class DeviceModel(ArrayModel):
    """Rows of a linear model on a GPU, see :class:`fastloss.model.Model`."""

    rows: Rows | None
    """What reads X once; None where the library's products are used."""

    def __init__(self, place: Place, X: Any, y: Any, weight: Any) -> None:
        super().__init__(place, X, y, weight)
        assert isinstance(place, Device)
        # On the stream and by the allocator of the library that the arrays are in by now.
        own = Device(place.index, library_of(self.X))
        self.rows = Rows.of(own, self.X, self.y, self.weight)

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        if self.rows is None:
            return super().evaluate(formula, w, scale, direction)
        result = self.rows.evaluate(formula, w, direction)
        return float(result[-1]), scale * result[:-1]


def _steps(array: Array) -> tuple[int, int]:
    """Give where the first element lies and the distance to the next along the first axis."""
    return first_element(array), array.strides[0] // array.itemsize


def _ceil(a: int, b: int) -> int:
    return -(-a // b)

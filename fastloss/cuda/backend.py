"""A GPU as a back end: one call of a loss, from checked arrays to launched kernels.

Nothing here waits for the GPU but a total that is given as a Python number.
"""

import warnings
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastloss.arrays import Operands, caller_level, inverse, require_divisor, smallest_divisor
from fastloss.binding import Itself, bind
from fastloss.cuda import elementwise, launch
from fastloss.cuda.arrays import Device
from fastloss.cuda.choice import EACH, EACH_OF_A_SUM, blocks_of, contiguous
from fastloss.cuda.jit import VECTOR_BYTES
from fastloss.cuda.layout import PIECE, axes, first_element, pieces
from fastloss.formulas import Formula
from fastloss.typing import Array
from fastloss.uncompilable import compiling

ABSENT = ()
FLOAT64 = np.dtype(np.float64)


def compute(
    formula: Formula,
    arrays: Operands,
    *,
    mean: bool = False,
    scale: float = 1.0,
    value: Array | None = None,
    grad: Array | None = None,
    hess: Array | None = None,
    total: bool = False,
    slot: Array | None = None,
) -> float | None:
    """Write the outputs that are given; give the sum or mean of the losses if ``total``.

    The parameters are those of the CPU's ``compute``. With a ``slot``, the total is written there
    and None is given, so that nobody has to wait for it.
    """
    place = arrays.place
    assert isinstance(place, Device)
    with launch.active(place.index):
        call = _Call(formula, arrays, place, scale)
        with compiling(formula):
            return call.run(mean, value, (grad, hess), total, slot)


class _Call:
    """One call: what its launches have in common."""

    def __init__(self, formula: Formula, arrays: Operands, place: Device, scale: float) -> None:
        self.formula = bind(formula, arrays.compute)
        self.arrays = arrays
        self.place = place
        self.stream = launch.stream_at(place.library.stream(place.index))
        for array, value in place.pending:
            launch.run(elementwise.fill, 1, self.stream, value, launch.argument(array))
        self.number = arrays.compute.type
        self.scale: Any = self.number(scale)
        self.inverse: Any = ABSENT
        self.kept: list[Array] = []

    def run(
        self,
        mean: bool,
        value: Array | None,
        outs: tuple[Array | None, Array | None],
        total: bool,
        slot: Array | None,
    ) -> float | None:
        size = self.arrays.size
        # The divisor, and the total over it: fetched together.
        results = self._scratch(2, FLOAT64) if total or mean else None
        divisor: Any = 1.0
        if mean and (self.arrays.arrays[2] is None or not size):
            divisor = float(size)
            self.scale = self.number(inverse(divisor))
        elif mean:
            assert results is not None
            divisor = self._sum_weights(results[:1])
        folds = any(out is not None and out.size != size for out in outs)
        elements = (value, None, None) if folds else (value, *outs)
        if total or any(out is not None for out in elements):
            inputs = self.arrays.arrays
            apart = total and not self._alike(inputs, elements)
            partials = self._elements(
                self.formula, inputs, (None, None, None) if apart else elements, total
            )
            if total:
                assert results is not None
                self._finish(partials, divisor, results[1:] if slot is None else slot, ABSENT)
            if apart:
                self._elements(self.formula, inputs, elements, False)
        if folds:
            self._fold(outs)
        if total and mean and not size:
            _warn("mean of no elements")
        if not total or slot is not None:
            return None
        assert results is not None
        return self._fetch(results, divisor)

    def _scratch(self, count: int, dtype: np.dtype[Any]) -> Array:
        """Give memory that stays until the call ends.

        JAX would use it for its next array while kernels, of which JAX knows nothing, still read.
        """
        memory = self.place.scratch(count, dtype)
        self.kept.append(memory)
        return memory

    def _sum_weights(self, result: Array) -> Any:
        weight = self.arrays.arrays[2]
        partials = self._elements(
            bind(Itself(), self.arrays.compute), (weight, None, None), (None, None, None), True
        )
        inverse = self._scratch(1, self.arrays.compute)
        self._finish(partials, 1.0, result, inverse)
        self.inverse = launch.argument(inverse)
        return launch.argument(result)

    def _elements(
        self,
        formula: Any,
        inputs: Sequence[Array | None],
        outs: Sequence[Array | None],
        total: bool,
    ) -> Array | None:
        """Launch the kernels that take each element once; give the pairs that they leave."""
        if not self.arrays.size:
            return None
        launches = list(self._launches([*inputs, *outs], total))
        blocks = [count for count, *_ in launches]
        partials = self._scratch(2 * sum(blocks), FLOAT64) if total else None
        low = 0
        for count, kernel, rest, parts in launches:
            pairs = None if partials is None else partials[2 * low : 2 * (low + count)]
            x, y, w, *written = map(_argument, (*parts, pairs))
            launch.run(
                kernel, count, self.stream, formula, x, y, w, self.scale, self.inverse, *written,
                *rest,
            )  # fmt: skip
            low += count
        return partials

    def _launches(self, arrays: list[Array | None], total: bool) -> Any:
        """Choose kernels: the number of blocks, the kernel, its last arguments and its arrays."""
        found = axes(arrays)
        size = self.arrays.size
        lanes = self._lanes(arrays)
        if not found.shape:
            yield *contiguous(size, lanes, total), arrays
            return
        each = EACH_OF_A_SUM if total else EACH
        for part in pieces(arrays, PIECE):
            here = axes(part)
            elements = next(a.size for a in part if a is not None)
            count = blocks_of(elements, each)
            yield count, elementwise.scalars, (elements, *here, each), part

    def _alike(self, inputs: Sequence[Array | None], outs: Sequence[Array | None]) -> bool:
        """Whether the outputs leave the order of a sum as it is without them."""
        together = [*inputs, *outs]
        alone, beside = axes(inputs), axes(together)
        same = alone.shape == beside.shape and alone.strides == beside.strides[: len(inputs)]
        return same and self._lanes(inputs) == self._lanes(together)

    def _lanes(self, arrays: Sequence[Array | None]) -> int:
        """Count the elements in 16 bytes if all arrays can be moved so, or give 0."""
        present = [a for a in arrays if a is not None]
        dtype = present[0].dtype
        native = dtype == np.float16 if self.number is np.float32 else False
        if not (dtype == self.arrays.compute or native):
            return 0
        for array in present:
            address = array.__array_interface__["data"][0]
            if array.dtype != dtype or address % VECTOR_BYTES:
                return 0
        return int(VECTOR_BYTES // dtype.itemsize)

    def _finish(self, partials: Array | None, divisor: Any, result: Array, inverse: Any) -> None:
        target = launch.argument(result)
        launch.run(
            elementwise.finish,
            1,
            self.stream,
            target if partials is None else launch.argument(partials),
            0 if partials is None else partials.size // 2,
            divisor,
            target,
            ABSENT if isinstance(inverse, tuple) else launch.argument(inverse),
            smallest_divisor(self.arrays.compute),
        )

    def _fold(self, outs: Sequence[Array | None]) -> None:
        """Sum gradient and curvature over the axes along which the input is broadcast."""
        x, y, w = self.arrays.arrays
        shape, own = self.arrays.shape, self.arrays.input.shape
        full = (1,) * (len(shape) - len(own)) + own
        along = [k for k, n in enumerate(shape) if full[k] != n]
        kept = [k for k, n in enumerate(shape) if full[k] == n and n > 1]
        count = prod(shape[k] for k in along)
        blocks = prod(own)
        if max(count, blocks) >= PIECE:
            raise ValueError(
                f"input must not meet {PIECE} targets or more with each element on a GPU, got the "
                f"shape {own} in {shape}: sum the gradient in pieces"
            )
        # One axis at least, as kernels take no strides without.
        there = tuple(shape[k] for k in kept) or (1,)
        # Two axes at least: with the division that a second one takes, the kernel's loop is not
        # unrolled, which would take up to 128 registers instead of 46.
        pad = (1,) * (2 - len(along))
        folded = (*pad, *(shape[k] for k in along))
        seen = [None if out is None else out.reshape(full) for out in outs]
        launch.run(
            elementwise.folded,
            blocks,
            self.stream,
            self.formula,
            *map(_argument, (x, y, w)),
            self.scale,
            self.inverse,
            *map(_argument, outs),
            there,
            tuple(_strides(a, kept, True) for a in (x, y, w, *seen)),
            count,
            folded,
            tuple(
                () if a is None else (*(0 for _ in pad), *_strides(a, along, False))
                for a in (x, y, w)
            ),
        )

    def _fetch(self, results: Array, divisor: Any) -> float:
        found = launch.fetch(results, self.stream)
        if isinstance(divisor, float):
            return float(found[1])
        return checked_total(found, self.arrays.compute)


def checked_total(results: Array, dtype: np.dtype[Any]) -> float:
    """Give the weighted mean, fetched behind the sum of the weights, which is checked."""
    weights, total = map(float, results)
    require_divisor(weights, dtype)
    if not weights:
        _warn("mean with weights that sum to zero")
    return total


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=caller_level())


def _argument(array: Array | None) -> Any:
    return ABSENT if array is None else launch.argument(array)


def _strides(array: Array | None, kept: Sequence[int], first: bool) -> tuple[int, ...]:
    if array is None:
        return ()
    steps = tuple(array.strides[k] // array.itemsize for k in kept)
    return (first_element(array), *(steps or (0,))) if first else steps

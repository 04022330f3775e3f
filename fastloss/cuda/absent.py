"""Arguments that may be absent: ``()`` in place of an array.

numba-cuda takes no ``None`` for an argument. Each function here is resolved by the types of its
arguments when a kernel is compiled, so what is absent costs nothing; the simulator runs the
functions as they stand.
"""

from typing import Any

from fastloss.cuda.jit import SIMULATED, VECTOR_BYTES, device

if SIMULATED:
    from fastloss.cuda.plain_lanes import load, store
else:
    from numba.core import types
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import lanes_of, load, store


def number(value: Any) -> Any:
    """Give a number that is passed as itself or in an array of one element."""
    return value if not hasattr(value, "__getitem__") else value[0]


def times(number: Any, inverse: Any) -> Any:
    """Multiply by what an array of one element holds."""
    return number if isinstance(inverse, tuple) else number * inverse[0]


def lanes_in(array: Any) -> int:
    """Count the elements in 16 bytes of an array."""
    return int(VECTOR_BYTES // array.dtype.itemsize)


def load_or(array: Any, i: Any, absent: Any, like: Any) -> Any:
    """Load the lanes at element i; as many as ``like`` of another value where there are none."""
    return tuple(absent for _ in like) if isinstance(array, tuple) else load(array, i)


def store_if(array: Any, i: Any, lanes: Any) -> None:
    """Store the lanes from element i on."""
    if not isinstance(array, tuple):
        store(array, i, lanes)


def element(array: Any, i: Any, absent: Any) -> Any:
    """Give one element in the precision of ``absent``, as a tuple of one lane."""
    return (absent,) if isinstance(array, tuple) else (type(absent)(array[i]),)


def set_element(array: Any, i: Any, lanes: Any) -> None:
    """Store a tuple of one lane."""
    if not isinstance(array, tuple):
        array[i] = lanes[0]


def position(shape: Any, strides: Any, i: Any) -> Any:
    """Give where element i of an array lies.

    Without strides, at i; otherwise they start with where the first element lies.
    """
    return i if not len(strides) else strides[0] + place(shape, strides[1:], i)


def place(shape: Any, strides: Any, i: Any) -> Any:
    """Give the distance from element 0 of an array to element i; 0 of one that is absent."""
    if not len(strides):
        return 0
    outer, inner = divmod(int(i), int(shape[-1]))
    return inner * strides[-1] + (place(shape[:-1], strides[:-1], outer) if outer else 0)


def leave_element(array: Any, i: Any, pair: Any) -> None:
    """Store what a sum and its rounding error make; infinite terms leave an error that is NaN."""
    if not isinstance(array, tuple):
        array[i] = settled(pair[0], pair[1])


@device
def settled(total: Any, error: Any) -> Any:
    """Give the sum with its error added; infinite terms leave an error that is no number."""
    return total if error != error else total + error


if not SIMULATED:

    def _is_absent(array: Any) -> bool:
        return isinstance(array, BaseTuple)

    # Numba compares the signatures of both functions as text, so none here is annotated.
    @overload(number)
    def _number(value):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(value, types.Array):
            return lambda value: value[0]
        return lambda value: value

    @overload(times)
    def _times(number, inverse):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if _is_absent(inverse):
            return lambda number, inverse: number
        return lambda number, inverse: number * inverse[0]

    @overload(lanes_in)
    def _lanes_in(array):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        count = lanes_of(array.dtype)
        return lambda array: count

    @overload(load_or)
    def _load_or(array, i, absent, like):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not _is_absent(array):
            return lambda array, i, absent, like: load(array, i)
        if len(like) == 1:
            return lambda array, i, absent, like: (absent,)
        return lambda array, i, absent, like: (absent, *load_or(array, i, absent, like[1:]))

    @overload(store_if)
    def _store_if(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if _is_absent(array):
            return lambda array, i, lanes: None
        return lambda array, i, lanes: store(array, i, lanes)

    @overload(element)
    def _element(array, i, absent):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if _is_absent(array):
            return lambda array, i, absent: (absent,)
        return lambda array, i, absent: (type(absent)(array[i]),)

    @overload(set_element)
    def _set_element(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if _is_absent(array):
            return lambda array, i, lanes: None

        def set_one(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            array[i] = lanes[0]

        return set_one

    @overload(leave_element)
    def _leave_element(array, i, pair):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if _is_absent(array):
            return lambda array, i, pair: None

        def leave_one(array, i, pair):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            array[i] = settled(pair[0], pair[1])

        return leave_one

    @overload(position)
    def _position(shape, strides, i):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not len(strides):
            return lambda shape, strides, i: i
        return lambda shape, strides, i: strides[0] + place(shape, strides[1:], i)

    @overload(place)
    def _place(shape, strides, i):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not len(strides):
            return lambda shape, strides, i: 0
        if len(shape) == 1:
            return lambda shape, strides, i: i * strides[0]

        def outer(shape, strides, i):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            # Both are below 2**32: a division of 64 bits is a subroutine.
            row = types.uint32(types.uint32(i) // types.uint32(shape[-1]))
            column = types.uint32(i) - row * types.uint32(shape[-1])
            return types.int64(column) * strides[-1] + place(
                shape[:-1], strides[:-1], types.int64(row)
            )

        return outer

"""Arrays of any strides as few axes as there can be, and in pieces that 32-bit numbers count."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from fastloss.cuda.address import addresses
from fastloss.typing import Array

# Elements of a strided piece: their numbers are divided in 32 bits.
PIECE = 1 << 31

Strides = tuple[int, ...]


class Axes(NamedTuple):
    """How to find the elements of several arrays of one shape, see ``absent.position``.

    With contiguous arrays, the shape and all strides are ``()``.
    """

    shape: tuple[int, ...]
    strides: tuple[Strides, ...]


def axes(arrays: Sequence[Array | None]) -> Axes:
    """Merge the axes that all arrays step along alike; leave out those of one element."""
    present = [a for a in arrays if a is not None]
    if all(a.flags.c_contiguous for a in present):
        return Axes((), ((),) * len(arrays))
    shape = present[0].shape
    kept = [k for k, n in enumerate(shape) if n > 1]
    # The innermost axis is the one with the shortest steps of the first array.
    kept.sort(key=lambda k: [-abs(a.strides[k]) for a in present])
    extents: list[int] = []
    steps: list[list[int]] = [[] for _ in present]
    for k in kept:
        here = [a.strides[k] // a.itemsize for a in present]
        n = shape[k]
        if extents and all(s[-1] == step * n for s, step in zip(steps, here, strict=True)):
            extents[-1] *= n
            for s, step in zip(steps, here, strict=True):
                s[-1] = step
        else:
            extents.append(n)
            for s, step in zip(steps, here, strict=True):
                s.append(step)
    if not extents or (len(extents) == 1 and all(s == [1] for s in steps)):
        return Axes((), ((),) * len(arrays))
    found = iter((first_element(a), *s) for a, s in zip(present, steps, strict=True))
    return Axes(tuple(extents), tuple(() if a is None else next(found) for a in arrays))


def first_element(array: Array) -> int:
    """Count the elements in memory before element 0, which steps backwards leave there."""
    start: int = array.__array_interface__["data"][0]
    return (start - addresses(array)[0]) // array.itemsize


def pieces(arrays: Sequence[Array | None], size: int = PIECE) -> Iterator[list[Array | None]]:
    """Cut arrays of one shape along their longest axis until each piece has few elements."""
    shape = next(a.shape for a in arrays if a is not None)
    if prod(shape) < size:
        yield list(arrays)
        return
    longest = max(range(len(shape)), key=lambda k: shape[k])
    middle = shape[longest] // 2
    for part in (slice(None, middle), slice(middle, None)):
        index: tuple[Any, ...] = (*[slice(None)] * longest, part)
        yield from pieces([None if a is None else a[index] for a in arrays], size)

"""When outputs go past the cache: where they are larger than it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fastloss.cpu.streaming import LINE
from fastloss.typing import Vector

# Where the system does not say how large the last cache is.
USUAL_CACHE = 32 << 20
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@cache
def last_level_cache() -> int:
    """Give the size of the largest cache in bytes."""
    sizes = [0]
    try:
        for path in _CACHES.glob("index*/size"):
            text = path.read_text().strip()
            sizes.append(int(text[:-1]) * _UNITS[text[-1]])
    except (OSError, ValueError, KeyError):
        pass
    return max(sizes) or USUAL_CACHE


def beyond_cache(outs: Sequence[Vector]) -> bool:
    """Whether outputs are larger than the last cache, all together."""
    return sum(out.nbytes for out in outs) > last_level_cache()


def before_line(outs: Sequence[Vector | None]) -> int | None:
    """Count the elements before the first line of memory, if outputs should go past the cache.

    None if they should not, or cannot, as their lines do not begin at the same elements.
    """
    present = [out for out in outs if out is not None]
    if not beyond_cache(present):
        return None
    past = {out.ctypes.data % LINE for out in present}
    if len(past) > 1:
        return None
    return -past.pop() % LINE // present[0].itemsize

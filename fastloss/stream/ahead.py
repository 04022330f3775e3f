"""The next item is made while the consumer works on the one before."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar, cast

from fastloss.stream.pools import submit

T = TypeVar("T")
_END = object()


def ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Give the items in order, made on a thread of their own, ``depth`` of them ahead.

    At most ``depth + 1`` items are there at once: the consumer's, and those that are made or being
    made. So a producer may make item i in the buffer ``i % (depth + 1)``, where an item is then
    valid until the next one is asked for.

    The thread starts with the first item and has ended when the generator ends, whether the items
    are used up, one of them raises, or the generator is closed or forgotten; an item that is being
    made is waited for. A generator among the items' iterators is closed then, too.

    Parameters
    ----------
    items : iterable
        Iterated on the other thread alone.
    depth : int
        How many items are made before they are asked for.

    Yields
    ------
    object
        The items. What making one raises is raised here, with its traceback.
    """
    iterator = iter(items)
    # Where Ctrl-C is heard while the pool starts its thread, the pool does not know of that.
    making = Lock()

    def make() -> Any:
        with making:
            return next(iterator, _END)

    try:
        # Leaving the pool joins its thread; that thread never waits for the consumer, only for
        # orders, so nothing here can hang.
        with ThreadPoolExecutor(1, "fastloss-ahead") as pool:
            ordered = deque(submit(pool, make) for _ in range(depth))
            try:
                while (item := ordered.popleft().result()) is not _END:
                    ordered.append(submit(pool, make))
                    yield cast(T, item)
            finally:
                for order in ordered:
                    order.cancel()
    finally:
        if isinstance(iterator, Generator):
            with making:
                iterator.close()

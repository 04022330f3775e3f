"""Pools of threads, for callers that may outlive them."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def submit(pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> Future[T]:
    """Have a pool call a function; or call it now, where pools take no more as Python ends.

    They end with the main thread. Other threads go on after it, and functions of ``atexit`` follow.
    """
    try:
        return pool.submit(call, *arguments)
    except RuntimeError as error:
        if "cannot schedule" not in str(error):  # no thread can be started, but the call is queued
            raise
    done: Future[T] = Future()
    try:
        done.set_result(call(*arguments))
    except BaseException as error:
        done.set_exception(error)
    return done


def each(pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: Iterable[object]) -> list[T]:
    """Have a pool call a function with each of its arguments, and give what comes of it in order.

    Where one fails, those that have not begun are not called.
    """
    orders = [submit(pool, call, *some) for some in zip(*arguments, strict=True)]
    try:
        return [order.result() for order in orders]
    finally:
        for order in orders:
            order.cancel()

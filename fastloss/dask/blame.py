"""Which chunk it is that cannot be computed."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from dask.callbacks import Callback
from dask.core import get_dependencies

from fastloss.dask.schedulers import client_of

Graph = dict[Any, Any]


class Begun(Callback):
    """The tasks of a local scheduler that have begun and not ended: one of them has failed."""

    def __init__(self) -> None:
        super().__init__(pretask=self._begin, posttask=self._end)
        self.keys: set[Any] = set()

    def _begin(self, key: Any, *_: Any) -> None:
        self.keys.add(key)

    def _end(self, key: Any, *_: Any) -> None:
        self.keys.discard(key)


def failing(
    get: Callable[..., Any],
    graph: Graph,
    chunks: Sequence[list[Any]],
    error: Exception,
    begun: set[Any],
    tasks: Sequence[Any] = (),
) -> int | None:
    """Give which of the chunks, each the keys of its arrays, cannot be loaded or computed.

    A scheduler says what has gone wrong, but not where. Of a local one the data are asked for
    again, which costs reading them; a cluster may still know which tasks have failed. ``tasks`` are
    the keys of the chunks' own tasks, if each has one.
    """
    client = client_of(get)
    if client is None:
        suspects = [i for i, keys in enumerate(chunks) if begun & _behind(graph, keys)]
        return next((i for i in suspects if not _loads(get, graph, chunks[i])), None)
    if (task := getattr(error, "task", None)) is not None:  # a KilledWorker's: do not kill another
        return _killing(str(task), graph, chunks, tasks)
    return _first_erred(client, graph, chunks)


def _loads(get: Callable[..., Any], graph: Graph, keys: list[Any]) -> bool:
    try:
        get({**graph, "loaded": (_nothing, keys)}, "loaded")
    except Exception:
        return False
    return True


def _first_erred(client: Any, graph: Graph, chunks: Sequence[list[Any]]) -> int | None:
    run = uuid4().hex
    names = [f"loaded-{run}-{i}" for i in range(len(chunks))]
    probes = {name: (_nothing, keys) for name, keys in zip(names, chunks, strict=True)}
    futures: list[Any] = client.get({**graph, **probes}, names, sync=False)
    for which, future in enumerate(futures):
        if future.exception() is not None:
            return which
    return None


def _killing(
    task: str, graph: Graph, chunks: Sequence[list[Any]], tasks: Sequence[Any]
) -> int | None:
    # All tasks that were on a worker as it died count as its cause, the one that brings what is
    # asked of all chunks too.
    if len(chunks) == 1:
        return 0
    names = ({str(key) for key in _behind(graph, keys)} for keys in chunks)
    loading = (i for i, some in enumerate(names) if task in some)
    computing = (i for i, key in enumerate(tasks) if task == str(key))
    return next(loading, next(computing, None))


def _nothing(arrays: Any) -> None:
    """Take arrays, which are there then."""


def _behind(graph: Graph, keys: Sequence[Any]) -> set[Any]:
    """Give all keys that some depend on."""
    found: set[Any] = set()
    left = list(keys)
    while left:
        key = left.pop()
        if key not in found:
            found.add(key)
            task = graph.get(key)
            left.extend(getattr(task, "dependencies", None) or get_dependencies(graph, key))
    return found

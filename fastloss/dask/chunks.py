"""The row chunks of X, y and weights, and one way to compute something of all of them."""

from typing import Any
from uuid import uuid4

from dask.system import CPU_COUNT

from fastloss.dask import schedulers
from fastloss.dask.blame import Begun, failing
from fastloss.dask.data import Data, Source
from fastloss.dask.tasks import Call, Chunk, Failure, Named, combined, computed
from fastloss.dask.versions import UnfitWorkerError
from fastloss.dask.work import Result

# Results that one task adds up, a power of two: by twos it would be a task for each chunk, which
# takes a cluster's scheduler a millisecond or two.
FAN = 32
# Chunks of so few bytes are taken by one task, as many as FAN: a core reads so much in the time
# that a task takes the scheduler. On a cluster, where chunks of a task are brought to one worker,
# it is no more than that. Threads of this process load some more, and of what is in memory already
# take as many as leave each thread some tasks: chunks of 4, 16 and 64 MB are at 0.76, 0.89 and 0.93
# of the speed in memory so (by tasks of one, those of 4 MB at 0.56).
GROUP_BYTES = 1 << 22
LOCAL_GROUP_BYTES = 1 << 25
TASKS_A_THREAD = 4


class Chunks:
    """Chunks of rows.

    Parameters
    ----------
    X, y, weight : da.Array
        Chunks of rows that meet; no weights are None.
    held : tuple of str
        What comes from this process's memory, and is sent to a cluster's workers once.
    named : tuple of str, optional
        What errors call them.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        weight: Any,
        held: tuple[str, ...],
        named: tuple[str, str, str] = ("X", "y", "weight"),
    ) -> None:
        self._named = Named(named, X.shape[1])
        given = {"X": X, "y": y, "weight": weight}
        self._data = Data({name: a for name, a in given.items() if a is not None}, held)
        low, self.all = 0, []
        for index, rows in enumerate(X.chunks[0]):
            self.all.append(Chunk(index, low, low + rows))
            low += rows
        self._filled = [chunk for chunk in self.all if chunk.high > chunk.low]
        self._longest = max(X.chunks[0]) * X.dtype.itemsize * X.shape[1]

    def name(self, index: int) -> str:
        """Name a chunk for people."""
        return f"chunk {index + 1} of {len(self.all)}"

    def of_row(self, row: int) -> str:
        """Name the chunk that has a row."""
        return self.name(next(chunk.number for chunk in self.all if chunk.high > row))

    def compute(self, call: Call, first_only: bool = False) -> Result:
        """Compute something of all chunks, or of the first one, and add it up.

        Raises
        ------
        RuntimeError
            If a chunk cannot be computed, naming it, from what was raised; or if a worker has other
            versions.
        """
        chunks = self._filled[:1] if first_only else self._filled
        get = schedulers.in_force()
        client = schedulers.client_of(get)
        source = self._data.of(client)
        group = self._group(len(chunks), client, source.held)
        graph, root = _tasks(call, self._named, source, chunks, group, client is None)
        begun = Begun()
        try:
            with begun:
                found = get({**source.graph, **graph}, root)
        except UnfitWorkerError:
            raise
        except Exception as error:
            keys = [source.loaded(chunk.number) for chunk in chunks]
            tasks = [(root[0], 0, i) for i in range(len(chunks))] if group == 1 else ()
            which = failing(get, source.graph, keys, error, begun.keys, tasks)
            if which is None:
                raise
            raise self._failed(chunks[which], error) from error
        if isinstance(found, Failure):
            raise self._failed(self.all[found.chunk], found.error) from found.error
        result: Result = found
        return result

    def _failed(self, chunk: Chunk, error: Exception) -> RuntimeError:
        return RuntimeError(
            f"{self.name(chunk.number)} (rows {chunk.low} to {chunk.high - 1}) cannot be computed: "
            f"{type(error).__name__}: {error}"
        )

    def _group(self, count: int, client: Any, held: bool) -> int:
        """Give how many chunks a task takes, a power of two: that does not change the tree."""
        group = 1
        while self._serves(2 * group, count, client, held):
            group *= 2
        return group

    def _serves(self, group: int, count: int, client: Any, held: bool) -> bool:
        size = group * self._longest
        if group <= FAN and size <= GROUP_BYTES:
            return True
        near = client is None and group <= FAN and size <= LOCAL_GROUP_BYTES
        return (held or near) and count >= group * TASKS_A_THREAD * CPU_COUNT


def _tasks(
    call: Call, named: Named, source: Source, chunks: list[Chunk], group: int, local: bool
) -> tuple[dict[Any, Any], Any]:
    """Give the tasks of a call and the key of the last one: a tree, by level and place."""
    run = f"rows-{uuid4().hex}"
    graph: dict[Any, Any] = {}
    for i in range(0, len(chunks), group):
        some = chunks[i : i + group]
        arrays = {name: source.chunks(name, [c.number for c in some]) for name in source.keys}
        here = {name: arrays.pop(name) for name in source.here}
        asked = call if local else f"call-{run}"
        # In an object, as a tuple of numbers might be taken for a key.
        task = _Computed(some, named, here, tuple(arrays))
        graph[run, 0, i // group] = (task, asked, *arrays.values())
    level, size = 0, len(graph)
    while size > 1:
        level += 1
        for i in range(0, size, FAN):
            below = [(run, level - 1, j) for j in range(i, min(size, i + FAN))]
            graph[run, level, i // FAN] = (combined, below)
        size = -(-size // FAN)
    if not local:
        graph[f"call-{run}"] = call  # sent to each worker once
    return graph, (run, level, 0)


class _Computed:
    """The task of some chunks."""

    def __init__(
        self, chunks: list[Chunk], named: Named, here: dict[str, Any], coming: tuple[str, ...]
    ) -> None:
        self.chunks, self.named, self.here, self.coming = chunks, named, here, coming

    def __call__(self, call: Call, *loaded: Any) -> Result | Failure:
        arrays = dict(zip(self.coming, loaded, strict=True), **self.here)
        return computed(call, self.chunks, self.named, **arrays)

"""The row chunks of X, y and weights, and one way to compute something of all of them."""

from typing import Any
from uuid import uuid4

from dask.array.optimization import optimize
from dask.highlevelgraph import HighLevelGraph
from dask.system import CPU_COUNT

from fastloss.dask import schedulers
from fastloss.dask.blame import Begun, failing
from fastloss.dask.tasks import Call, Chunk, Failure, Named, combined, computed
from fastloss.dask.versions import UnfitWorkerError
from fastloss.dask.work import Result

# Results that one task adds up, a power of two: by twos it would be a task for each chunk, which
# takes a cluster's scheduler a millisecond or two.
FAN = 32
# Chunks of so few bytes are taken by one task, as many as FAN: a core reads so much in the time
# that a task takes the scheduler. On a cluster, where chunks of a task are brought to one worker,
# it is no more than that. Threads of this process have chunks of 4 MB at 0.7 of the speed in memory
# so, at 0.36 by tasks of one; but each thread should have some tasks.
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
        self._arrays = {name: array for name, array in given.items() if array is not None}
        self._held = held
        self._client: Any = None
        self._graph: dict[Any, Any] = {}
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
        data = self._data(client)
        graph, root = self._tasks(call, chunks, self._group(len(chunks), client))
        begun = Begun()
        try:
            with begun:
                found = get({**data, **graph}, root)
        except UnfitWorkerError:
            raise
        except Exception as error:
            keys = [self._keys(chunk) for chunk in chunks]
            which = failing(get, data, keys, error, begun.keys)
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

    def _group(self, count: int, client: Any) -> int:
        """Give how many chunks a task takes, a power of two: that does not change the tree."""
        group = 1
        while group < FAN and self._serves(2 * group, count, client):
            group *= 2
        return group

    def _serves(self, group: int, count: int, client: Any) -> bool:
        if group * self._longest <= GROUP_BYTES:
            return True
        near = client is None and group * self._longest <= LOCAL_GROUP_BYTES
        return near and count >= group * TASKS_A_THREAD * CPU_COUNT

    def _tasks(self, call: Call, chunks: list[Chunk], group: int) -> tuple[dict[Any, Any], Any]:
        """Give the tasks of a call and the key of the last one: a tree, by level and place."""
        run = f"rows-{uuid4().hex}"
        graph: dict[Any, Any] = {f"call-{run}": call}
        for i in range(0, len(chunks), group):
            some = chunks[i : i + group]
            columns = map(list, zip(*map(self._keys, some), strict=True))
            graph[run, 0, i // group] = _task(f"call-{run}", some, self._named, *columns)
        level, size = 0, len(graph) - 1
        while size > 1:
            level += 1
            for i in range(0, size, FAN):
                below = [(run, level - 1, j) for j in range(i, min(size, i + FAN))]
                graph[run, level, i // FAN] = (combined, below)
            size = -(-size // FAN)
        return graph, (run, level, 0)

    def _keys(self, chunk: Chunk) -> list[Any]:
        """Give the keys of a chunk's arrays."""
        return [(a.name, chunk.number) + (0,) * (a.ndim - 1) for a in self._arrays.values()]

    def _data(self, client: Any) -> dict[Any, Any]:
        """Give the arrays' graph; with a cluster's copies of what comes from this process."""
        if not self._graph or client is not self._client:
            arrays = dict(self._arrays)
            if client is not None:
                for name in self._held:
                    arrays[name] = client.persist(arrays[name])
            self._graph = _optimised(list(arrays.values()))
            self._client = client
        return self._graph

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a cluster."""
        return {**vars(self), "_client": None, "_graph": {}}


def _optimised(arrays: list[Any]) -> dict[Any, Any]:
    """Give the graph of arrays, together, so that what several come from is loaded once."""
    whole = HighLevelGraph.merge(*(array.dask for array in arrays))
    found = dict(optimize(whole, [array.__dask_keys__() for array in arrays]))
    # What is persisted on a cluster is a future of its own key, which Dask takes for a name of
    # nothing and leaves out.
    futures = {key: task for key, task in whole.items() if schedulers.is_future(task)}
    return found | futures


def _task(call: str, chunks: list[Chunk], named: Named, X: Any, y: Any, weight: Any = None) -> Any:
    # In an object, as a tuple of numbers might be taken for a key.
    return (_Computed(chunks, named), call, X, y, weight)


class _Computed:
    """The task of some chunks."""

    def __init__(self, chunks: list[Chunk], named: Named) -> None:
        self.chunks, self.named = chunks, named

    def __call__(self, call: Call, X: Any, y: Any, weight: Any) -> Result | Failure:
        return computed(call, self.chunks, self.named, X, y, weight)

"""What is the user's own and goes to workers: it is unpacked where it can fail as a task does."""

from functools import lru_cache
from typing import Any

import cloudpickle
from dask.base import normalize_token

from fastloss.dask.versions import UnfitWorkerError, worker


class Packed:
    """A loss or a formula, with its class, which workers may be unable to import.

    It stays packed until a task asks for it. An error while a message is read would close the
    worker's connection, and the scheduler would send the message again, for ever.

    Parameters
    ----------
    content : object
        What is packed when it is sent to another process.
    """

    def __init__(self, content: Any) -> None:
        self._content = content
        self._bytes: bytes | None = None

    def get(self) -> Any:
        """Give it, or raise UnfitWorkerError where it cannot be loaded."""
        if self._bytes is None:
            return self._content
        try:
            return _unpacked(self._bytes)
        except Exception as error:
            raise UnfitWorkerError(
                f"{worker()} cannot load the loss's formula: {type(error).__name__}: {error}. "
                "Install its module there, or see cloudpickle.register_pickle_by_value"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Pack it."""
        packed = cloudpickle.dumps(self._content) if self._bytes is None else self._bytes
        return {"_content": None, "_bytes": packed}

    def __dask_tokenize__(self) -> Any:
        """Give what names the tasks that use it."""
        return normalize_token(self.get())


@lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Any:
    # Once: to unpack a class again replaces its methods, which are then compiled anew.
    return cloudpickle.loads(packed)

"""The scheduler in force, and the cluster behind it."""

import sys
from typing import Any

import dask
import dask.threaded


def in_force() -> Any:
    """Give the ``get`` of the scheduler in force: threads, if nothing else was said."""
    return dask.base.get_scheduler() or dask.threaded.get


def client_of(get: Any) -> Any:
    """Give the client whose ``get`` this is; None for a scheduler of this machine."""
    distributed = sys.modules.get("distributed")
    owner = getattr(get, "__self__", None)
    return owner if distributed is not None and isinstance(owner, distributed.Client) else None


def is_future(task: Any) -> bool:
    """Whether this is what a cluster holds."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(task, distributed.Future)

"""Whether all workers run what the client runs: others may give other bits, or none."""

import sys
from typing import Any, TypeAlias

import numba

import fastloss

Versions: TypeAlias = dict[str, str]


class UnfitWorkerError(RuntimeError):
    """A worker has another version of fastloss or numba than the client, or lacks a formula."""


def installed() -> Versions:
    """Give the versions in this process."""
    return {"fastloss": fastloss.__version__, "numba": numba.__version__}


def require(expected: Versions) -> None:
    """Raise UnfitWorkerError unless this process has the versions of the client."""
    own = installed()
    if own != expected:
        raise UnfitWorkerError(_words(worker(), own, expected))


def check(client: Any) -> None:
    """Raise RuntimeError unless all workers of a client have its versions."""
    if client.status in ("closing", "closed"):
        raise RuntimeError(f"the cluster must be running, but its client is {client.status}")
    expected = installed()
    for address, found in client.run(installed, on_error="return").items():
        # A worker that is going or coming says so by itself: its tasks are done by others.
        if found != expected and not isinstance(found, OSError):
            raise UnfitWorkerError(_words(f"worker {address}", found, expected))


def worker() -> str:
    """Name the process that this runs in."""
    distributed = sys.modules.get("distributed")
    try:
        return f"worker {distributed.get_worker().address}" if distributed else "a worker"
    except ValueError:  # not a task of a cluster
        return "a worker"


def _words(worker: str, found: Any, expected: Versions) -> str:
    has = found if isinstance(found, dict) else f"no fastloss that can be loaded ({found})"
    return (
        f"workers must have the client's versions, but {worker} has {_listed(has)} and the client "
        f"{_listed(expected)}: install the same"
    )


def _listed(versions: Any) -> str:
    if not isinstance(versions, dict):
        return str(versions)
    return ", ".join(f"{name} {version}" for name, version in versions.items())

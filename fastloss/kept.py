"""Files of compiled kernels, never stale.

Numba's own cache recognises a kernel by its own byte code, not by that of the functions it calls:
after a change in a formula it would run the old machine code. Here the name of a file holds a
digest of everything that goes into it: fastloss's own sources, the signature, the processor and
the versions. A formula that is not fastloss's own is compiled anew in each process, since what it
calls cannot be known.

Each file is written whole under a temporary name, then renamed, and carries its own checksum: two
processes cannot mix their files, and a damaged one is compiled again instead of run.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl
from numba.core.types.containers import BaseNamedTuple

# What kernels are made from besides their own package.
SHARED = ("formulas.py", "binding.py")

CHECKSUM = hashlib.sha256
CHECKSUM_SIZE = CHECKSUM().digest_size


@cache
def sources(package: Path) -> str:
    """Digest of the code that machine code is made from: the formulas and a package of kernels."""
    digest = hashlib.sha256()
    for path in (*map(package.parent.joinpath, SHARED), *sorted(package.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def folder(function: Callable[..., Any]) -> Path | None:
    """Where the kernel's file goes by Numba's rules (NUMBA_CACHE_DIR first), or None."""
    try:
        return Path(CompileResultCacheImpl(function).locator.get_cache_path())
    except (RuntimeError, OSError):  # no folder can be written
        return None


def formulas(signature: Iterable[Any], known: Iterable[type]) -> list[tuple[str, str]] | None:
    """Name the formulas among the arguments' types; None where one of them is not known."""
    classes = [t.instance_class for t in signature if isinstance(t, BaseNamedTuple)]
    if not all(c in known for c in classes):
        return None
    return [(c.__module__, c.__qualname__) for c in classes]


_has_warned = False


def _warn(reason: str) -> None:
    """Say once what every process pays for."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        warnings.warn(
            f"fastloss cannot keep compiled kernels ({reason}): each process compiles its own, for "
            "some seconds. Set NUMBA_CACHE_DIR to a writable folder.",
            RuntimeWarning,
            stacklevel=4,
        )


class Files:
    """The files of one kernel, each for a key of whatever its machine code depends on."""

    def __init__(self, function: Callable[..., Any], kind: str) -> None:
        self._function = function
        self._name = f"fastloss-{function.__module__.rpartition('.')[2]}-{function.__name__}-{kind}"
        self._folder: Path | None = None
        self._located = False

    @property
    def folder(self) -> Path | None:
        """The folder in use, or None where nothing can be written."""
        if not self._located:
            self._folder, self._located = folder(self._function), True
        return self._folder

    def read(self, key: object) -> bytes | None:
        """Give what was kept under a key, None if nothing was or it is damaged."""
        if self.folder is None:
            return None
        try:
            content = self._path(self.folder, key).read_bytes()
        except OSError:
            return None
        checksum, data = content[:CHECKSUM_SIZE], content[CHECKSUM_SIZE:]
        return data if CHECKSUM(data).digest() == checksum else None

    def write(self, key: object, data: bytes) -> None:
        """Keep data; a disk that refuses it costs only the next compilation."""
        if self.folder is None:
            _warn("no folder can be written")
            return
        path = self._path(self.folder, key)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                temporary = file.name
                file.write(CHECKSUM(data).digest() + data)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None and os.path.exists(temporary):
                os.unlink(temporary)
            _warn(f"{path.parent}: {error}")

    def _path(self, place: Path, key: object) -> Path:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return place / f"{self._name}-{digest}.bin"

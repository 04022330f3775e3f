"""Compiled kernels on disk, never stale.

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
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.types.containers import BaseNamedTuple

from fastloss.binding import BUILT_IN
from fastloss.cpu.quick import QuickSmoothL1

# What kernels are made from besides their own package.
SHARED = ("formulas.py", "binding.py")

# Formulas whose code is among the sources.
KNOWN = BUILT_IN | {QuickSmoothL1}

CHECKSUM = hashlib.sha256
CHECKSUM_SIZE = CHECKSUM().digest_size


@cache
def sources() -> str:
    """Digest of the code that machine code is made from: the formulas and the CPU kernels."""
    package = Path(__file__).parent
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
            stacklevel=3,
        )


class KernelCache:
    """The part of Numba's cache protocol that a dispatcher uses, for one kernel."""

    def __init__(self, function: Callable[..., Any], kind: str) -> None:
        self._function = function
        self._name = f"fastloss-{function.__module__.rpartition('.')[2]}-{function.__name__}-{kind}"
        self._folder: Path | None = None
        self._located = False

    @property
    def cache_path(self) -> str | None:
        """The folder in use, or None where nothing can be written."""
        if not self._located:
            self._folder, self._located = folder(self._function), True
        return None if self._folder is None else str(self._folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Give the compiled kernel for this signature, or None."""
        # All that finished code needs of Numba. Its ``refresh`` loads what compiling needs too,
        # SciPy's linear algebra among it: a first call takes 0.3 s with it, 0.1 s without.
        rtsys.initialize(target_context)
        path = self._path(signature, target_context.codegen())
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, data = content[:CHECKSUM_SIZE], content[CHECKSUM_SIZE:]
        if CHECKSUM(data).digest() != checksum:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(data))

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled kernel; a disk that refuses it costs only the next compilation."""
        path = self._path(signature, compiled.codegen)
        if path is None or compiled.library.has_dynamic_globals:
            if self.cache_path is None:
                _warn("no folder can be written")
            return
        data = pickle.dumps(compiled._reduce(), protocol=pickle.HIGHEST_PROTOCOL)
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

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        classes = [t.instance_class for t in signature if isinstance(t, BaseNamedTuple)]
        if self.cache_path is None or not all(c in KNOWN for c in classes):
            return None
        key = (
            sources(),
            [(c.__module__, c.__qualname__) for c in classes],
            str(signature),
            codegen.magic_tuple(),
            (numba.__version__, np.__version__, sys.version),
        )
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return Path(str(self.cache_path)) / f"{self._name}-{digest}.bin"

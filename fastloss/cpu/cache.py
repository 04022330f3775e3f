"""Kernels compiled for the CPU, on disk: see :mod:`fastloss.kept`."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys

from fastloss.binding import BUILT_IN
from fastloss.cpu.quick import QuickSmoothL1
from fastloss.kept import Files, formulas, sources

# Formulas whose code is among the sources.
KNOWN = BUILT_IN | {QuickSmoothL1}


class KernelCache:
    """The part of Numba's cache protocol that a dispatcher uses, for one kernel."""

    def __init__(self, function: Callable[..., Any], kind: str) -> None:
        self._files = Files(function, kind)

    @property
    def cache_path(self) -> str | None:
        """The folder in use, or None where nothing can be written."""
        return None if self._files.folder is None else str(self._files.folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Give the compiled kernel for this signature, or None."""
        # All that finished code needs of Numba. Its ``refresh`` loads what compiling needs too,
        # SciPy's linear algebra among it: a first call takes 0.3 s with it, 0.1 s without.
        rtsys.initialize(target_context)
        key = _key(signature, target_context.codegen())
        data = None if key is None else self._files.read(key)
        if data is None:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(data))

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled kernel."""
        key = _key(signature, compiled.codegen)
        if key is not None and not compiled.library.has_dynamic_globals:
            self._files.write(key, pickle.dumps(compiled._reduce(), pickle.HIGHEST_PROTOCOL))


def _key(signature: Any, codegen: Any) -> object:
    """Give what machine code depends on; None for a formula whose code is not known."""
    found = formulas(signature, KNOWN)
    if found is None:
        return None
    versions = numba.__version__, np.__version__, sys.version
    return sources(Path(__file__).parent), found, str(signature), codegen.magic_tuple(), versions

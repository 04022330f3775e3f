"""``fastloss info``: versions, processor, threads and caches, for reports of faults."""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

HELP = "show versions, threads and caches"
DESCRIPTION = "Show versions, the processor, threads and where compiled kernels are kept."

# Enough elements for a kernel to run on several threads.
ELEMENTS = 1 << 17


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print what :func:`facts` finds; give the exit code."""
    found = facts()
    if arguments.json:
        text = json.dumps(found, allow_nan=False)
    else:
        shown = {
            **found,
            "threading_layer": found["threading_layer"] or "decided at first use",
            "cache_folder": found["cache_folder"] or "none writable",
            "cuda": found["cuda"].get("reason") or ", ".join(found["cuda"]["devices"]),
        }
        width = max(map(len, shown))
        text = "\n".join(f"{k.replace('_', ' '):{width}}  {v}" for k, v in shown.items())
    sys.stdout.write(f"{text}\n")
    return 0


def facts() -> dict[str, Any]:
    """Find out what there is.

    Returns
    -------
    dict
        With the keys that ``--json`` prints.
    """
    import llvmlite
    import numba
    import numpy as np
    import scipy

    import fastloss
    from fastloss import kept
    from fastloss.cpu import elementwise, threads
    from fastloss.parallelism import cores, get_num_threads

    data = np.zeros(ELEMENTS)
    fastloss.smooth_l1_loss(data, data)  # the first parallel call decides the threading layer
    folder = kept.folder(getattr(elementwise.serial, "py_func", elementwise.serial))
    return {
        "fastloss": fastloss.__version__,
        "python": platform.python_version(),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "platform": platform.platform(),
        "cpu": cpu(),
        "cpus": cores(),
        "threads": get_num_threads(),
        "threading_layer": threads.layer(),
        "cache_folder": None if folder is None else str(folder),
        "cuda": cuda(),
    }


def cuda() -> dict[str, Any]:
    """Find out whether kernels run on a GPU, on which, or why not."""
    from fastloss.dispatch import without_cuda

    reason = without_cuda()
    if reason is None:
        from fastloss.cuda import driver

        reason = driver.why_not()
    if reason is not None:
        return {"available": False, "reason": reason}
    return {"available": True, "devices": driver.devices()}


def cpu() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()

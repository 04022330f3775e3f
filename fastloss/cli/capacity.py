"""How much memory there can be at all, for what a file claims to hold."""

import os
from math import inf
from pathlib import Path

from fastloss import container
from fastloss.cli.errors import CommandError
from fastloss.cli.values import shown


def memory() -> float:
    """Give the least of the machine's, the container's and the process's memory in bytes."""
    granted = container.settings("memory", "memory.max", "memory.limit_in_bytes")
    return min(_physical(), _limit(), *map(_number, granted))


def check(path: Path, what: str, size: int, hint: str = "") -> None:
    """Refuse what cannot fit before any of it is read: the system may end the process instead.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What of it.
    size : int
        The bytes that it claims to take in memory.
    hint : str, optional
        What to do about it.

    Raises
    ------
    CommandError
        If there is less memory.
    """
    if size > (there := memory()):
        raise CommandError(
            f"{what} of {path} would take {shown(size)}, more than the {shown(int(there))} of "
            f"memory that there can be{hint}"
        )


def _physical() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # not on Windows
        return inf


def _limit() -> float:
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:  # not on Windows
        return inf
    soft, _ = getrlimit(RLIMIT_AS)
    return inf if soft == RLIM_INFINITY else float(soft)


def _number(words: list[str]) -> float:
    try:
        (number,) = words
        return float(int(number))
    except ValueError:  # "max"
        return inf

"""What a container grants: the files of this process's control group, as Linux shows them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
HIERARCHY = Path("/sys/fs/cgroup")


def settings(controller: str, unified: str, *separate: str) -> Iterator[list[str]]:
    """Give the words of a setting, of the process's own group and of each one above that has it.

    Parameters
    ----------
    controller : str
        Whose setting it is, such as 'cpu'.
    unified : str
        Its file where all controllers share a hierarchy (version 2).
    *separate : str
        Its files where each has its own (version 1).
    """
    try:
        members = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    names: tuple[str, ...]
    for line in members:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = HIERARCHY, (unified,)
        elif controller in controllers.split(","):
            root, names = HIERARCHY / controller, separate
        else:
            continue
        for folder in _upwards(root, path):
            with suppress(OSError):
                yield " ".join((folder / name).read_text() for name in names).split()


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """Give a group's folder and those above, each of which may limit it."""
    folder = root / path.lstrip("/")
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder

"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from fastloss.cli.errors import CommandError


def check_output(path: Path, source: Path) -> None:
    """Refuse a place that cannot be written to, before hours of work.

    Parameters
    ----------
    path : Path
        Where the result shall go.
    source : Path
        The data, which it must not replace.

    Raises
    ------
    CommandError
        If the folder does not exist, or something else than a file is there; or if it lies in the
        folder of the data, all of whose files are read.
    """
    if not path.parent.is_dir():
        raise CommandError(f"the folder of --output {path} does not exist")
    if path.exists() and not path.is_file():
        raise CommandError(f"--output {path} is not a file")
    if path.exists() and source.exists() and path.samefile(source):
        raise CommandError(f"--output {path} would replace the data")
    if source.is_dir() and source.resolve() in path.resolve().parents:
        raise CommandError(f"--output {path} must lie outside {source}, whose files are the data")


def write(path: Path, text: str) -> None:
    """Write text to a file, see :func:`replace`."""
    replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file by renaming a whole one.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    write : callable
        Writes it to a path of the same extension.

    Raises
    ------
    CommandError
        If it cannot be written; what was there before still is.
    """
    # A link stays a link: the file it leads to is replaced.
    path = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            # In a folder of its own the file gets usual permissions, and no name can clash.
            temporary = Path(folder) / path.name
            write(temporary)
            os.replace(temporary, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
